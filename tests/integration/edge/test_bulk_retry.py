"""Retrying the calls of a campaign over REST, a page at a time."""

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import RawStreamMsg
from openapi_core import OpenAPI
from openapi_core.testing import MockRequest, MockResponse
from tests.integration.edge.conftest import client_of, secret_of

from chassis.barrier import wait_until_processed
from chassis.broker import Broker
from chassis.serve import Bus
from contracts import CallRequested, CallStatus, CampaignCalls, CampaignCallsQuery, Service, call_id_of
from contracts.streams import REQUESTS
from edge.adapters import nats as adapter
from edge.composition import build
from edge.settings import Settings

if TYPE_CHECKING:
    from tests.integration.edge.conftest import As, Orchestrator

RETRY = "/api/v1/campaigns/spring/retry"
EXPIRED = {"statuses": ["expired"]}
Calls = Callable[[int], Awaitable[list[UUID]]]


@pytest.fixture
async def expired(orchestrator: "Orchestrator", body: dict[str, object], bus_client: Client) -> Calls:
    """Makes expired calls; campaign-stats is simulated and names them in the order of their ids."""
    known: list[UUID] = []

    async def name_calls(message: Msg) -> None:
        query = CampaignCallsQuery.model_validate_json(message.data)
        found = sorted(call_id for call_id in known if query.after is None or call_id > query.after)
        page = CampaignCalls(call_ids=tuple(found[: query.limit]), has_more=len(found) > query.limit)
        await message.respond(page.model_dump_json().encode())

    await bus_client.subscribe(CampaignCallsQuery.subject, cb=name_calls)
    await wait_until_processed(bus_client)

    async def make(count: int) -> list[UUID]:
        for number in range(count):
            await orchestrator.decide(CallRequested.model_validate({**body, "request_id": f"r-{number}"}))
            await orchestrator.move(call_id_of(f"r-{number}"), status=CallStatus.EXPIRED)
            known.append(call_id_of(f"r-{number}"))
        return sorted(known)

    return make


async def commands(client: Client) -> list[RawStreamMsg]:
    """Returns the stored commands."""
    js = client.jetstream()
    last = (await js.stream_info(REQUESTS.name)).state.last_seq
    return [await js.get_msg(REQUESTS.name, sequence) for sequence in range(1, last + 1)]


async def requested(client: Client) -> list[tuple[str, str]]:
    """Returns the call and the message id of each stored retry command."""
    messages = await commands(client)
    assert {(message.subject or "").rpartition(".")[0] for message in messages} <= {"call.retry_requested"}
    return [
        (json.loads(message.data or b"")["call_id"], (message.headers or {})["Nats-Msg-Id"]) for message in messages
    ]


async def audit(as_: "As") -> list[dict[str, Any]]:
    answer = await as_("auditor").get("/api/v1/audit", params={"campaign_id": "spring"})
    entries: list[dict[str, Any]] = answer.json()["entries"]
    return entries


async def test_all_pages_together_retry_each_call_once(as_: "As", expired: Calls, bus_client: Client) -> None:
    calls = await expired(5)
    cursor, counts = None, []
    for _ in range(3):
        answer = await as_("caller").post(RETRY, json={**EXPIRED, "limit": 2, "cursor": cursor})
        assert answer.status_code == 202, answer.text
        cursor = answer.json()["next"]
        counts.append(answer.json()["requested"])
    assert (counts, cursor) == ([2, 2, 1], None)
    sent = await requested(bus_client)
    assert sorted(call_id for call_id, _ in sent) == [str(call_id) for call_id in calls]
    assert len({message_id for _, message_id in sent}) == 5


@pytest.mark.parametrize(("is_same", "stored"), [(True, 3), (False, 5)])
async def test_a_repeated_page_has_the_same_messages_and_another_bulk_retry_has_others(
    as_: "As", expired: Calls, bus_client: Client, is_same: bool, stored: int
) -> None:
    await expired(3)
    cursor = (await as_("caller").post(RETRY, json={**EXPIRED, "limit": 1})).json()["next"]
    other = cursor if is_same else f"{uuid4()}.{cursor.partition('.')[2]}"
    for position in (cursor, other):
        answer = await as_("caller").post(RETRY, json={**EXPIRED, "cursor": position})
        assert answer.json()["next"] is None
    assert len(await requested(bus_client)) == stored


async def test_refusals_are_counted_and_the_page_is_audited_with_its_counts(
    as_: "As", expired: Calls, orchestrator: "Orchestrator"
) -> None:
    await expired(3)
    orchestrator.refusal = ("max_retries: dialled 4 times",)
    document = (await as_("desk").post(RETRY, json={**EXPIRED, "limit": 2})).json()
    assert (document["requested"], document["refused"], document["undecided"]) == (0, 2, 0)
    asked, done = await audit(as_)
    assert [asked[name] for name in ("act", "key_name", "target", "stage")] == [
        "campaign.retry",
        "desk",
        "spring",
        "asked",
    ]
    assert (asked["request"]["statuses"], asked["request"]["limit"]) == (["expired"], 2)
    assert (done["stage"], done["act_id"]) == ("accepted", asked["act_id"])
    assert done["after"] == {name: document[name] for name in ("requested", "refused", "undecided", "next")}


async def test_retries_without_an_outcome_are_undecided(
    as_: "As", expired: Calls, orchestrator: "Orchestrator", monkeypatch: pytest.MonkeyPatch
) -> None:
    await expired(2)
    monkeypatch.setattr(adapter, "OUTCOME_SECONDS", 0.2)
    orchestrator.silent = True
    assert (await as_("desk").post(RETRY, json=EXPIRED)).json()["undecided"] == 2
    assert [entry["stage"] for entry in await audit(as_)] == ["asked", "undecided"]


async def test_the_calls_of_a_finished_campaign_are_not_retried(
    as_: "As", expired: Calls, bus_client: Client, body: dict[str, object]
) -> None:
    await expired(2)
    await as_("caller").post("/api/v1/campaigns", json={"campaign_id": "spring"})
    assert (await as_("caller").post("/api/v1/campaigns/spring/finish")).status_code == 202
    sent = len(await commands(bus_client))

    answer = await as_("desk").post(RETRY, json=EXPIRED)

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (409, "campaign_id")
    assert len(await commands(bus_client)) == sent
    assert [(entry["act"], entry["stage"]) for entry in await audit(as_)][-2:] == [
        ("campaign.retry", "asked"),
        ("campaign.retry", "refused"),
    ]


@pytest.mark.usefixtures("orchestrator")
async def test_without_campaign_stats_nothing_is_sent(as_: "As", bus_client: Client) -> None:
    assert (await as_("desk").post(RETRY, json=EXPIRED)).status_code == 503
    assert await requested(bus_client) == []
    assert [entry["stage"] for entry in await audit(as_)] == ["asked", "undecided"]


@pytest.mark.usefixtures("orchestrator")
async def test_a_key_without_the_scope_is_refused_and_audited(as_: "As", bus_client: Client) -> None:
    assert (await as_("reader").post(RETRY, json=EXPIRED)).status_code == 403
    assert [(entry["act"], entry["stage"]) for entry in await audit(as_)] == [("campaign.retry", "refused")]
    assert await requested(bus_client) == []


ID = UUID(int=7)
CURSOR = f"{ID}.{ID}"


@pytest.mark.usefixtures("orchestrator")
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"statuses": []}, "statuses"),
        ({"statuses": ["asleep"]}, "statuses.0"),
        ({"statuses": ["completed"]}, "statuses.0"),
        ({"statuses": ["expired"] * 6}, "statuses"),
        ({"statuses": "expired"}, "statuses"),
        ({"limit": 0}, "limit"),
        ({"limit": 501}, "limit"),
        ({"limit": 10**30}, "limit"),
        ({"limit": -(10**30)}, "limit"),
        ({"cursor": ""}, "cursor"),
        ({"cursor": "x" * 10_000}, "cursor"),
        ({"cursor": str(ID)}, "cursor"),
        ({"cursor": f"{CURSOR}\n"}, "cursor"),
        ({"cursor": f"{CURSOR}.{ID}"}, "cursor"),
        ({"after": "x"}, "after"),
    ],
    ids=lambda value: str(value)[:40].encode("unicode_escape").decode(),
)
async def test_an_invalid_selection_is_refused_with_its_field(
    api: httpx.AsyncClient, bus_client: Client, changes: dict[str, Any], field: str
) -> None:
    answer = await api.post(RETRY, json={**EXPIRED, **changes})
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert await requested(bus_client) == []


async def test_request_and_answer_match_the_openapi_document(api: httpx.AsyncClient, expired: Calls) -> None:
    await expired(2)
    document = OpenAPI.from_dict((await api.get("/openapi.json")).json())
    body = json.dumps({**EXPIRED, "limit": 1}).encode()
    answer = await api.post(RETRY, content=body, headers={"Content-Type": "application/json"})
    host, kind = "http://edge.internal:8000", "application/json"
    request = MockRequest(host, "post", RETRY, headers=dict(api.headers), data=body, content_type=kind)
    document.validate_request(request)
    document.validate_response(request, MockResponse(answer.content, 202, content_type=kind))
    assert answer.json()["next"] is not None


async def test_a_large_page_sends_a_command_for_each_call(as_: "As", expired: Calls, bus_client: Client) -> None:
    await expired(120)
    answer = await as_("caller").post(RETRY, json={**EXPIRED, "limit": 500})
    assert (answer.json()["requested"], answer.json()["next"]) == (120, None)
    assert len(await requested(bus_client)) == 120


@pytest.fixture
def limited(settings: Settings) -> Settings:
    return settings.model_copy(update={"max_dials_per_key_per_day": 3})


async def test_each_retried_call_counts_towards_the_daily_cap_of_the_key(
    bus_client: Client, limited: Settings, expired: Calls
) -> None:
    await expired(5)
    async with (
        build(limited, Bus(bus_client, Broker(), Service.EDGE)) as app,
        client_of(app, **{"X-API-Key": secret_of("caller")}) as caller,
    ):
        first = await caller.post(RETRY, json={**EXPIRED, "limit": 2})
        second = await caller.post(RETRY, json={**EXPIRED, "limit": 2, "cursor": first.json()["next"]})
    assert (first.status_code, second.status_code) == (202, 429)
    assert len(await requested(bus_client)) == 2


class TestDailyCap:
    """The key may reserve three dials a day."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"max_dials_per_key_per_day": 3})

    async def test_a_repeated_page_reserves_its_dials_once(self, as_: "As", expired: Calls) -> None:
        await expired(3)
        cursor = (await as_("caller").post(RETRY, json={**EXPIRED, "limit": 1})).json()["next"]
        statuses = [
            (await as_("caller").post(RETRY, json={**EXPIRED, "limit": 2, "cursor": cursor})).status_code
            for _ in range(2)
        ]
        beyond = await as_("caller").post(RETRY, json={**EXPIRED, "limit": 1})
        assert (statuses, beyond.status_code) == ([202, 202], 429)
