"""The REST lists of calls and campaigns: what campaign-stats is asked, and the cursors between the pages."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from tests.integration.edge.conftest import LIMITED

from contracts import (
    CallList,
    CallListQuery,
    CallStatus,
    CampaignList,
    CampaignListQuery,
    CampaignStatistics,
    CampaignStatus,
    call_id_of,
)
from contracts.queries import MAX_LIST, ONE_PERSON, ListedCall, ListedCampaign

if TYPE_CHECKING:
    from tests.integration.edge.conftest import As

CREATED_AT = datetime(2026, 11, 20, 12, 0, 0, 123_000, tzinfo=UTC)
CALL = ListedCall(
    call_id=call_id_of("r-1"),
    campaign_id="spring",
    contact_id="c-1",
    status=CallStatus.PENDING,
    attempt=2,
    undialled_attempts=0,
    reason="busy",
    disposition=None,
    duration_seconds=None,
    created_at=CREATED_AT,
    status_changed_at=CREATED_AT,
    due_at=CREATED_AT,
    dialed_at=CREATED_AT,
    answered_at=None,
    ended_at=None,
)
CAMPAIGN = ListedCampaign(
    campaign_id="spring",
    name="Spring reminders",
    status=CampaignStatus.PAUSED,
    is_paused=True,
    changed_at=CREATED_AT,
    reason="a holiday",
    statistics=CampaignStatistics(campaign_id="spring", total=3, completed=1),
)
Asked = list[dict[str, Any]]


@pytest.fixture
async def asked(bus_client: Client) -> Asked:
    """Answers both queries with one item and more to come; returns the queries as they arrive."""
    queries: Asked = []

    def answering(body: str) -> Callable[[Msg], Any]:
        async def answer(message: Msg) -> None:
            queries.append(json.loads(message.data))
            await message.respond(body.encode())

        return answer

    calls, campaigns = CallList(calls=(CALL,), has_more=True), CampaignList(campaigns=(CAMPAIGN,), has_more=True)
    await bus_client.subscribe(CallListQuery.subject, cb=answering(calls.model_dump_json()))
    await bus_client.subscribe(CampaignListQuery.subject, cb=answering(campaigns.model_dump_json()))
    return queries


async def test_a_page_of_calls_names_the_path_of_the_next_one(api: httpx.AsyncClient, asked: Asked) -> None:
    given = {
        "campaign_id": "spring",
        "status": "pending",
        "disposition": "confirmed",
        "created_after": "2026-11-20T00:00:00Z",
        "limit": "1",
    }

    page = (await api.get("/api/v1/calls", params=given)).json()
    following = await api.get(page["next"])

    first, second = asked
    assert first == {**given, "contact_id": None, "limit": 1, "before": None}
    assert second == {**first, "before": {"call_id": str(CALL.call_id), "created_at": "2026-11-20T12:00:00.123000Z"}}
    assert following.json()["calls"] == page["calls"]
    (call,) = page["calls"]
    assert (call["id"], call["attempts"], call["retry_attempts"]) == (str(CALL.call_id), 2, 1)
    assert (call["scheduled_at"], call["next_attempt_at"]) == (None, "2026-11-20T12:00:00.123000Z")
    assert {"phone_number", "script_template", "variables", "metadata"}.isdisjoint(call)


@pytest.mark.parametrize("other", [{"status": "failed"}, {"disposition": "confirmed"}])
async def test_the_calls_of_a_contact_are_filtered_by_their_campaign_only(
    api: httpx.AsyncClient, asked: Asked, other: dict[str, str]
) -> None:
    given = {"contact_id": "c 1", "campaign_id": "spring"}
    page = (await api.get("/api/v1/calls", params=given)).json()
    assert "contact_id=c+1" in page["next"]
    assert (await api.get(page["next"])).status_code == 200
    refused = await api.get("/api/v1/calls", params={**given, **other})
    (name,) = other
    assert (refused.status_code, refused.json()["errors"]) == (422, [{"field": name, "message": ONE_PERSON}])
    assert [one["contact_id"] for one in asked] == ["c 1", "c 1"]


async def test_a_page_of_campaigns_names_the_path_of_the_next_one(api: httpx.AsyncClient, asked: Asked) -> None:
    page = (await api.get("/api/v1/campaigns", params={"limit": 1})).json()
    await api.get(page["next"])

    assert asked == [
        {"campaign_ids": None, "after": None, "limit": 1},
        {"campaign_ids": None, "after": "spring", "limit": 1},
    ]
    (campaign,) = page["campaigns"]
    assert (campaign["campaign_id"], campaign["paused"], campaign["reason"]) == ("spring", True, "a holiday")
    assert (campaign["name"], campaign["status"]) == ("Spring reminders", "paused")
    assert campaign["calls"]["total_calls"] == 3


async def test_the_last_page_names_no_next_one(api: httpx.AsyncClient, bus_client: Client) -> None:
    async def answer(message: Msg) -> None:
        await message.respond(CallList(calls=(CALL,), has_more=False).model_dump_json().encode())

    await bus_client.subscribe(CallListQuery.subject, cb=answer)

    assert (await api.get("/api/v1/calls")).json()["next"] is None


@pytest.mark.parametrize("path", ["calls", "campaigns"])
@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("cursor", "x"),
        ("cursor", "é"),
        ("cursor", "MS54"),
        ("cursor", "OTk5OTk5OTk5OTk5OTk5OTk5OTkuMA"),
        ("cursor", "A" * 401),
        ("limit", "0"),
        ("limit", str(MAX_LIST + 1)),
    ],
)
async def test_an_invalid_parameter_is_refused_before_mongodb_is_asked(
    api: httpx.AsyncClient, asked: Asked, path: str, parameter: str, value: str
) -> None:
    answer = await api.get(f"/api/v1/{path}", params={parameter: value})

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [parameter]
    assert asked == []


async def test_an_invalid_filter_is_refused_before_mongodb_is_asked(api: httpx.AsyncClient, asked: Asked) -> None:
    wrong = {"campaign_id": "a b", "status": "ended", "disposition": "?", "contact_id": "", "created_after": "noon"}

    answer = await api.get("/api/v1/calls", params=wrong)

    assert answer.status_code == 422
    assert {error["field"] for error in answer.json()["errors"]} == set(wrong)
    assert asked == []


async def test_without_a_key_the_largest_query_costs_no_request_to_campaign_stats(
    anyone: httpx.AsyncClient, asked: Asked
) -> None:
    for path in ("calls", "campaigns"):
        answer = await anyone.get(f"/api/v1/{path}", params={"limit": MAX_LIST, "contact_id": "c" * 200})
        assert answer.status_code == 401
    assert asked == []


async def test_the_largest_page_fits_into_one_message(api: httpx.AsyncClient, bus_client: Client) -> None:
    """The longest texts are those that requests permit; a reason is as long as that of a campaign's pause."""
    largest = CALL.model_copy(update={"contact_id": "é" * 200, "campaign_id": "c" * 100, "reason": "é" * 500})
    largest = largest.model_copy(update={"provider_call_ids": ("CA" + "0" * 32,) * 30})
    body = CallList(calls=(largest,) * MAX_LIST, has_more=True).model_dump_json().encode()

    async def answer(message: Msg) -> None:
        await message.respond(body)

    await bus_client.subscribe(CallListQuery.subject, cb=answer)

    assert len(body) < bus_client.max_payload
    assert len((await api.get("/api/v1/calls", params={"limit": MAX_LIST})).json()["calls"]) == MAX_LIST


async def test_the_reason_of_campaign_stats_is_passed_on(api: httpx.AsyncClient, bus_client: Client) -> None:
    async def answer(message: Msg) -> None:
        headers = {"Nats-Service-Error-Code": "503", "Nats-Service-Error": "MongoDB is unavailable"}
        await bus_client.publish(message.reply, b"", headers=headers)

    await bus_client.subscribe(CallListQuery.subject, cb=answer)

    refused = await api.get("/api/v1/calls")

    assert refused.status_code == 503
    assert "MongoDB is unavailable" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 403),
        ("?campaign_id=winter", 404),
        ("?campaign_id=spring&campaign_id=winter", 404),
        ("?campaign_id=spring", 200),
    ],
)
async def test_a_limited_key_lists_the_calls_of_its_own_campaigns_only(
    as_: "As", asked: Asked, query: str, status: int
) -> None:
    assert (await as_(LIMITED).get(f"/api/v1/calls{query}")).status_code == status
    assert [one["campaign_id"] for one in asked] == (["spring"] if status == 200 else [])


async def test_a_limited_key_lists_its_own_campaigns_only(as_: "As", asked: Asked) -> None:
    first = (await as_(LIMITED).get("/api/v1/campaigns")).json()
    await as_(LIMITED).get(first["next"])

    assert [one["campaign_ids"] for one in asked] == [["autumn", "spring"]] * 2


@pytest.mark.parametrize("path", ["calls", "campaigns"])
async def test_lists_require_the_scope_read(as_: "As", asked: Asked, path: str) -> None:
    assert (await as_("caller").get(f"/api/v1/{path}")).status_code == 403
    assert (await as_("reader").get(f"/api/v1/{path}")).status_code == 200
    assert len(asked) == 1


async def test_the_cursor_survives_as_a_query_parameter(api: httpx.AsyncClient, asked: Asked) -> None:
    page = (await api.get("/api/v1/calls")).json()

    (cursor,) = parse_qs(urlsplit(page["next"]).query)["cursor"]

    assert cursor.replace("-", "").replace("_", "").isalnum()
