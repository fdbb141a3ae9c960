"""The REST API of outcomes: what campaign-stats is asked, what is answered, and what is refused before it is asked."""

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from tests.integration.edge.conftest import LIMITED

from contracts import Outcomes, OutcomesQuery
from contracts.outcomes import LISTED_BY, EndReason, Funnel, Interval, OutcomePoint

if TYPE_CHECKING:
    from tests.integration.edge.conftest import As

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ANSWER = Outcomes(
    funnel=Funnel(requested=9, dialled=8, rang=7, answered=6, person=5, goal=4),
    reasons=dict.fromkeys(EndReason, 1) | {EndReason.FAX: 3},
    undialled_attempts=2,
    points=(OutcomePoint(at=NOON, attempts=2, busy=1),),
)
PATHS = ["/api/v1/campaigns/spring/outcomes", "/api/v1/outcomes"]


@pytest.fixture
async def asked(bus_client: Client) -> list[dict[str, Any]]:
    """Answers the query; returns the queries as they arrive."""
    queries: list[dict[str, Any]] = []

    async def answer(message: Msg) -> None:
        queries.append(json.loads(message.data))
        await message.respond(ANSWER.model_dump_json().encode())

    await bus_client.subscribe(OutcomesQuery.subject, cb=answer)
    return queries


async def test_the_outcomes_of_a_campaign_have_funnel_reasons_and_points(
    api: httpx.AsyncClient, asked: list[dict[str, Any]]
) -> None:
    given = {"interval": "5m", "since": "2026-11-20T11:02:03Z", "until": "2026-11-20T12:03:04Z"}
    found = (await api.get(PATHS[0], params=given)).json()
    assert asked == [{"campaign_id": "spring", **given}]
    assert (found["since"], found["until"]) == ("2026-11-20T11:00:00Z", "2026-11-20T12:03:04Z")
    assert found["funnel"] == {"requested": 9, "dialled": 8, "rang": 7, "answered": 6, "person": 5, "goal": 4}
    [point] = found["points"]
    assert (point["at"], point["attempts"], point["busy"], point["completed"]) == ("2026-11-20T12:00:00Z", 2, 1, 0)
    assert (found["undialled_attempts"], found["reasons"][0]["reason"]) == (2, "fax")


async def test_a_reason_names_the_list_of_exactly_its_calls_if_there_is_one(
    api: httpx.AsyncClient, asked: list[dict[str, Any]]
) -> None:
    by_reason = {one["reason"]: one for one in (await api.get(PATHS[0])).json()["reasons"]}
    assert by_reason["busy"]["list"] == "/api/v1/calls?campaign_id=spring&status=busy"
    declined = "/api/v1/calls?campaign_id=spring&status=completed&disposition=declined"
    assert by_reason["declined"]["list"] == declined
    assert by_reason["fax"] == {"reason": "fax", "calls": 3, "status": None, "disposition": None, "list": None}
    assert {reason for reason, one in by_reason.items() if one["list"]} == {*LISTED_BY}
    of_all = {one["reason"]: one["list"] for one in (await api.get(PATHS[1])).json()["reasons"]}
    assert of_all["busy"] == "/api/v1/calls?status=busy"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("interval", Interval)
async def test_without_an_instant_the_newest_intervals_are_asked_for(
    api: httpx.AsyncClient, asked: list[dict[str, Any]], path: str, interval: Interval
) -> None:
    assert (await api.get(path, params={"interval": interval})).status_code == 200
    query = OutcomesQuery.model_validate(asked[0])
    assert timedelta(hours=1) <= query.until - query.since <= interval.max_points * interval.length


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"interval": "1m", "since": "2026-01-01T00:00:00Z"}, "more than 180 intervals of 1m; choose a later since"),
        ({"interval": "1d", "since": "1970-01-01T00:00:00Z", "until": "2262-01-01T00:00:00Z"}, "more than 31"),
        ({"since": "0001-01-01T00:00:00+14:00", "until": "9999-12-31T23:59:59-12:00"}, "more than"),
        ({"since": "2026-11-20T12:00:00Z", "until": "2026-11-20T12:00:00Z"}, "since is not before until"),
        ({"until": "0001-01-01T00:00:00Z"}, "since is not before until"),
        ({"interval": "1s"}, "Input should be"),
        ({"interval": "$ne"}, "Input should be"),
        ({"since": "2026-11-20T12:00:00"}, "timezone"),
        ({"until": "x" * 5_000}, "Input should be a valid datetime"),
    ],
)
async def test_what_cannot_be_answered_cheaply_is_refused_before_campaign_stats_is_asked(
    api: httpx.AsyncClient, asked: list[dict[str, Any]], path: str, given: dict[str, str], reason: str
) -> None:
    answer = await api.get(path, params=given)
    assert (answer.status_code, asked) == (422, [])
    assert reason in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize("campaign", ["*", "spring*", "a%2Fb", "x" * 101, "%24ne", "<img src=x onerror=alert(1)>"])
async def test_an_impossible_campaign_is_not_asked_for(
    api: httpx.AsyncClient, asked: list[dict[str, Any]], campaign: str
) -> None:
    assert (await api.get(f"/api/v1/campaigns/{campaign}/outcomes")).status_code in (404, 405)
    assert (await api.get("/api/v1/outcomes", params={"campaign_id": campaign})).status_code == 422
    assert asked == []


async def test_a_key_of_campaigns_reads_only_theirs(as_: "As", asked: list[dict[str, Any]]) -> None:
    limited = as_(LIMITED)
    assert (await limited.get("/api/v1/outcomes")).status_code == 403
    for path in ("/api/v1/outcomes?campaign_id=other", "/api/v1/campaigns/other/outcomes"):
        assert (await limited.get(path)).status_code == 404
    assert asked == []
    for path in ("/api/v1/outcomes?campaign_id=spring", PATHS[0]):
        assert (await limited.get(path)).status_code == 200
    assert [one["campaign_id"] for one in asked] == ["spring", "spring"]


@pytest.mark.parametrize("path", PATHS)
async def test_outcomes_require_the_scope_read(as_: "As", asked: list[dict[str, Any]], path: str) -> None:
    assert (await as_("caller").get(path)).status_code == 403
    assert (await as_("reader").get(path)).status_code == 200
    assert len(asked) == 1


async def test_without_campaign_stats_the_answer_is_503(api: httpx.AsyncClient) -> None:
    assert (await api.get(PATHS[0])).status_code == 503
