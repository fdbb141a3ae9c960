"""Finding a call by the telephone provider's id of an attempt: what campaign-stats is asked, and who may ask."""

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from starlette.types import ASGIApp
from tests.integration.edge.conftest import LIMITED
from tests.integration.edge.test_lists import CALL
from tests.integration.edge.test_why_command import OnAPort, why

from contracts import Call, CallList, CallListQuery, ProviderCallsQuery
from contracts.provider_calls import ONE_ATTEMPT
from contracts.queries import MAX_LIST, ListedCall

if TYPE_CHECKING:
    from tests.integration.edge.conftest import As

PATH, ID = "/api/v1/calls", "CA" + "0a" * 16
FOUND = CALL.model_copy(update={"provider_call_ids": (ID, "CA" + "0b" * 16)})
Asked = list[dict[str, Any]]


async def answered(client: Client, subject: str, call: ListedCall) -> Asked:
    """Answers the query with one call and more to come; returns the queries as they arrive."""
    queries: Asked = []

    async def answer(message: Msg) -> None:
        queries.append(json.loads(message.data))
        await message.respond(CallList(calls=(call,), has_more=True).model_dump_json().encode())

    await client.subscribe(subject, cb=answer)
    return queries


@pytest.fixture
async def asked(bus_client: Client) -> Asked:
    return await answered(bus_client, ProviderCallsQuery.subject, FOUND)


async def test_the_call_of_an_attempt_is_found_with_the_ids_of_all_its_attempts(as_: "As", asked: Asked) -> None:
    given: dict[str, str | int] = {"provider_call_id": ID, "created_after": "2026-11-20T00:00:00Z", "limit": 1}
    page = (await as_("reader").get(PATH, params=given)).json()
    following = await as_("reader").get(page["next"])
    [call] = page["calls"]
    assert (call["id"], call["provider_call_ids"]) == (str(CALL.call_id), list(FOUND.provider_call_ids))
    assert following.json()["calls"] == page["calls"]
    first, second = asked
    assert {name: value for name, value in first.items() if value} == given
    assert second["before"]["call_id"] == str(CALL.call_id)


@pytest.mark.parametrize("other", [{"status": "failed"}, {"disposition": "confirmed"}, {"contact_id": "c-1"}])
async def test_other_filters_than_the_campaign_are_refused_with_the_remedy(
    as_: "As", asked: Asked, other: dict[str, str]
) -> None:
    refused = await as_("reader").get(PATH, params={"provider_call_id": ID, "campaign_id": "spring", **other})
    [name] = other
    assert (refused.status_code, refused.json()["errors"]) == (422, [{"field": name, "message": ONE_ATTEMPT}])
    assert asked == []


@pytest.mark.parametrize("wrong", ["", "CA 1", "+12125550123", "a.b", "CA1\x00", "é", "\u202eCA1", "C" * 101])
async def test_a_text_that_is_no_id_is_named_with_a_remedy(as_: "As", asked: Asked, wrong: str) -> None:
    refused = await as_("reader").get(PATH, params={"provider_call_id": wrong})
    assert refused.status_code == 422
    [error] = refused.json()["errors"]
    assert error["field"] == "provider_call_id"
    if 0 < len(wrong) < 100:
        assert "copy it as its console shows it, such as CA" in error["message"]
    assert asked == []


@pytest.mark.parametrize(
    ("query", "status"), [("", 403), ("&campaign_id=winter", 404), ("&campaign_id=spring&campaign_id=winter", 404)]
)
async def test_a_limited_key_finds_calls_of_its_own_campaigns_only(
    as_: "As", asked: Asked, query: str, status: int
) -> None:
    path = f"{PATH}?provider_call_id={ID}"
    assert (await as_(LIMITED).get(path + query)).status_code == status
    assert asked == []
    assert (await as_(LIMITED).get(f"{path}&campaign_id=spring")).status_code == 200
    assert [one["campaign_id"] for one in asked] == ["spring"]


async def test_a_key_without_the_scope_and_none_cost_no_query(
    as_: "As", anyone: httpx.AsyncClient, asked: Asked
) -> None:
    path = f"{PATH}?provider_call_id={ID}&limit={MAX_LIST}"
    assert (await as_("caller").get(path)).status_code == 403
    assert (await anyone.get(path)).status_code == 401
    assert asked == []


async def test_an_older_campaign_stats_is_not_asked(as_: "As", bus_client: Client) -> None:
    """It would ignore the id, and answer with every call."""
    received = await answered(bus_client, CallListQuery.subject, CALL)
    assert (await as_("reader").get(PATH, params={"provider_call_id": ID})).status_code == 503
    assert received == []


async def test_the_command_line_explains_the_call_of_an_attempt(
    app: ASGIApp, on_a_port: OnAPort, waiting: Call, bus_client: Client
) -> None:
    found = FOUND.model_copy(update={"call_id": waiting.call_id})
    asked = await answered(bus_client, ProviderCallsQuery.subject, found)
    async with on_a_port(app) as url:
        shown = await why(url, "--provider-call-id", ID)
        listed = await why(url, "--provider-call-id", ID, "--campaign", "spring", "--json")
        unknown = await why(url, "--provider-call-id", "CA9")
        wrong = await why(url, "--provider-call-id", "a b")
        mixed = await why(url, waiting.call_id, "--provider-call-id", ID)
    assert (shown.returncode, f"call {waiting.call_id}" in shown.stdout) == (0, True), shown.stderr
    assert [(one["call_id"], one["type"]) for one in json.loads(listed.stdout)] == [
        (str(waiting.call_id), "call.created.v2")
    ]
    assert [one["campaign_id"] for one in asked] == [None, "spring", None]
    assert (unknown.returncode, "no call has CA9" in unknown.stderr) == (1, True), "an older edge lists another call"
    assert (wrong.returncode, "provider_call_id" in wrong.stderr) == (2, True)
    assert (mixed.returncode, "--provider-call-id" in mixed.stderr) == (2, True)
