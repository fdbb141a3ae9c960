from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
from nats.aio.client import Client
from nats.aio.msg import Msg

from chassis.event_log import EventLog
from contracts import Call, CampaignStatistics, CampaignStatisticsQuery, DialClaimed, DialPlaced, call_id_of

if TYPE_CHECKING:
    from tests.integration.edge.conftest import Orchestrator


async def test_a_call_is_found_by_its_request(api: httpx.AsyncClient, waiting: Call) -> None:
    answer = await api.get("/api/v1/calls/by-request/r-1")

    assert answer.status_code == 200
    assert answer.json()["call_id"] == str(waiting.call_id)


async def test_a_request_id_may_hold_a_slash(
    api: httpx.AsyncClient, orchestrator: "Orchestrator", body: dict[str, object]
) -> None:
    await api.post("/api/v1/calls", json={**body, "request_id": "crm/42?x"})

    answer = await api.get("/api/v1/calls/by-request/crm%2F42%3Fx")

    assert answer.json()["call_id"] == str(call_id_of("crm/42?x"))


async def test_a_call_shows_all_its_fields(api: httpx.AsyncClient, waiting: Call) -> None:
    answer = await api.get(f"/api/v1/calls/{waiting.call_id}")

    assert answer.json() == waiting.model_dump(mode="json")


async def test_the_events_of_a_call_are_its_log_in_order(
    api: httpx.AsyncClient, talking: Call, calls: EventLog
) -> None:
    for event in (DialClaimed(call_id=talking.call_id, attempt=1), DialClaimed(call_id=uuid4(), attempt=1)):
        await calls.append(event)
    await calls.append(DialPlaced(call_id=talking.call_id, attempt=1, provider_call_id="CA1"))

    events = (await api.get(f"/api/v1/calls/{talking.call_id}/events")).json()

    assert [event["type"] for event in events] == [
        "call.created.v2",
        "call.status_changed.v2",
        "dial.claimed.v1",
        "dial.placed.v1",
    ]
    assert [event["sequence"] for event in events] == [1, 2, 3, 5]
    assert [event["source"] for event in events] == ["call-orchestrator", "call-orchestrator", "test", "test"]
    assert events[3]["data"] == {
        "call_id": str(talking.call_id),
        "attempt": 1,
        "provider": "twilio",
        "provider_call_id": "CA1",
    }
    assert sorted(events[0]) == ["data", "sequence", "source", "time", "type"]


async def test_an_unknown_call_is_not_found_anywhere(api: httpx.AsyncClient) -> None:
    unknown = uuid4()
    for path in (f"{unknown}", f"{unknown}/events", "by-request/nobody"):
        answer = await api.get(f"/api/v1/calls/{path}")

        assert answer.status_code == 404, path
        assert answer.json()["type"] == "urn:centralita:problem:unknown-call"


async def test_metrics_are_what_campaign_stats_counts(api: httpx.AsyncClient, bus_client: Client) -> None:
    async def count(message: Msg) -> None:
        query = CampaignStatisticsQuery.model_validate_json(message.data)
        counted = CampaignStatistics(
            campaign_id=query.campaign_id,
            total=7,
            completed=3,
            failed=2,
            no_answer=1,
            busy=1,
            average_duration_seconds=41.5,
        )
        await message.respond(counted.model_dump_json().encode())

    await bus_client.subscribe(CampaignStatisticsQuery.subject, cb=count)

    assert (await api.get("/api/v1/calls/metrics", params={"campaign_id": "spring"})).json() == {
        "campaign_id": "spring",
        "total_calls": 7,
        "completed_calls": 3,
        "failed_calls": 2,
        "no_answer_calls": 1,
        "busy_calls": 1,
        "avg_duration": 41.5,
    }
    assert (await api.get("/api/v1/calls/metrics")).json()["campaign_id"] is None


async def test_metrics_are_unavailable_when_nobody_counts(api: httpx.AsyncClient) -> None:
    answer = await api.get("/api/v1/calls/metrics?campaign_id=spring")

    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Retry-After"]
    assert "campaign-stats does not answer" in answer.json()["detail"]


async def test_metrics_are_unavailable_when_the_answer_is_none(api: httpx.AsyncClient, bus_client: Client) -> None:
    async def stammer(message: Msg) -> None:
        await message.respond(b'{"oops": true}')

    await bus_client.subscribe(CampaignStatisticsQuery.subject, cb=stammer)

    assert (await api.get("/api/v1/calls/metrics")).status_code == 503


async def test_metrics_of_a_campaign_that_cannot_be_are_refused(api: httpx.AsyncClient) -> None:
    answer = await api.get("/api/v1/calls/metrics", params={"campaign_id": "a.b"})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "campaign_id"
