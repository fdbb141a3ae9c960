"""Searching the calls of a phone number over REST: what campaign-stats is asked, who may ask, and the audit log."""

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import SecretStr
from tests.builders.secret_keys import TEST_KEYS
from tests.integration.edge.conftest import LIMITED
from tests.integration.edge.test_lists import CALL

from chassis.settings import key_bytes
from contracts import CallList, CallListQuery, NumberCallsQuery
from contracts.number_digests import NumberDigests
from contracts.queries import MAX_LIST

if TYPE_CHECKING:
    from tests.integration.edge.conftest import As

PATH, NUMBER = "/api/v1/calls/search", "+12125550123"
DIGEST = NumberDigests(key_bytes(SecretStr(TEST_KEYS["NUMBER_DIGEST_KEY"]))).of(NUMBER)
Asked = list[dict[str, Any]]


@pytest.fixture
async def asked(bus_client: Client) -> Asked:
    """Answers the query with one call and more to come; returns the queries as they arrive."""
    queries: Asked = []

    async def answer(message: Msg) -> None:
        queries.append(json.loads(message.data))
        await message.respond(CallList(calls=(CALL,), has_more=True).model_dump_json().encode())

    await bus_client.subscribe(NumberCallsQuery.subject, cb=answer)
    return queries


async def searches(as_: "As") -> list[dict[str, Any]]:
    answer = await as_("auditor").get("/api/v1/audit?limit=500")
    assert NUMBER[1:] not in answer.text
    return [entry for entry in answer.json()["entries"] if entry["act"] == "number.search"]


async def test_the_calls_of_a_number_are_found_by_its_digest_in_pages(as_: "As", asked: Asked) -> None:
    page = (await as_("reader").post(PATH, json={"phone_number": NUMBER}, params={"limit": 1})).json()
    assert (page["calls"][0]["id"], NUMBER in json.dumps(page)) == (str(CALL.call_id), False)
    following = await as_("reader").post(page["next"], json={"phone_number": NUMBER})
    assert following.json()["calls"] == page["calls"]
    first, second = asked
    assert {name: value for name, value in first.items() if value} == {"number_digest": DIGEST, "limit": 1}
    assert second == {**first, "before": {"call_id": str(CALL.call_id), "created_at": "2026-11-20T12:00:00.123000Z"}}
    entries = [(one["key_name"], one["stage"], one["target"]) for one in await searches(as_)]
    assert entries == [("reader", "accepted", DIGEST)] * 2, "the digest stands for the number"


@pytest.mark.parametrize(
    ("query", "status"),
    [("", 403), ("?campaign_id=winter", 404), ("?campaign_id=spring&campaign_id=winter", 404)],
)
async def test_a_limited_key_searches_its_own_campaigns_only(as_: "As", asked: Asked, query: str, status: int) -> None:
    assert (await as_(LIMITED).post(f"{PATH}{query}", json={"phone_number": NUMBER})).status_code == status
    assert asked == []
    found = await as_(LIMITED).post(f"{PATH}?campaign_id=spring", json={"phone_number": NUMBER})
    assert (found.status_code, [one["campaign_id"] for one in asked]) == (200, ["spring"])
    assert "campaign_id=spring" in found.json()["next"]


async def test_a_request_that_is_refused_costs_no_query_and_no_entry(
    anyone: httpx.AsyncClient, as_: "As", asked: Asked
) -> None:
    body = {"phone_number": NUMBER}
    assert (await anyone.post(PATH, json=body)).status_code == 401
    assert (await anyone.post(PATH, json=body, headers={"X-API-Key": "x" * 40})).status_code == 401
    for name in ("caller", "auditor"):
        assert (await as_(name).post(PATH, json=body)).status_code == 403
    wrong: list[dict[str, object]] = [{}, {"phone_number": "212"}, {"phone_number": "+1" * 9_000}, {**body, "x": 1}]
    for refused in wrong:
        assert (await as_("reader").post(PATH, json=refused)).status_code == 422
    for query in (f"limit={MAX_LIST + 1}", "limit=0", "cursor=x", "campaign_id=a%20b"):
        assert (await as_("reader").post(f"{PATH}?{query}", json=body)).status_code == 422
    assert (asked, await searches(as_)) == ([], [])


async def test_an_older_campaign_stats_is_not_asked(as_: "As", bus_client: Client) -> None:
    """It would ignore the digest, and answer with the calls of every number."""
    received: list[Msg] = []

    async def answer(message: Msg) -> None:
        received.append(message)
        await message.respond(CallList(calls=(CALL,), has_more=False).model_dump_json().encode())

    await bus_client.subscribe(CallListQuery.subject, cb=answer)
    refused = await as_("reader").post(PATH, json={"phone_number": NUMBER})
    assert (refused.status_code, received) == (503, [])
    assert await searches(as_) == []
