"""Queries about admission, answered by a real call-orchestrator from the log."""

from uuid import UUID

from nats.aio.client import Client
from tests.integration.call_orchestrator.conftest import Ask, outcome_of, running, until_dialing, until_queued

from chassis.event_log import EventLog
from contracts import CampaignPauseRequested, DialClaimed
from contracts.queries import AdmissionQuery, AdmissionState

LIMITS = {"max_concurrent_calls": 2, "twilio_calls_per_second": 100}


async def state(client: Client, campaign_id: str | None = None) -> AdmissionState:
    query = AdmissionQuery(campaign_id=campaign_id)
    reply = await client.request(query.subject, query.model_dump_json().encode(), timeout=60)
    return AdmissionState.model_validate_json(reply.data)


async def test_slots_waiting_calls_and_dials_are_shown_with_their_limits(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    async with running(nats_url, 1, **LIMITS):
        assert (await outcome_of(bus_client, CampaignPauseRequested(campaign_id="paused"))).accepted
        await until_queued(calls, await ask("paused", 1))
        dialing: list[UUID] = await until_dialing(calls, await ask("spring", 3), 2)
        await calls.append(DialClaimed(call_id=dialing[0], attempt=1))
        while (everything := await state(bus_client)).dials_in_minute < 1 or everything.waiting < 2:
            pass
        spring, paused = await state(bus_client, "spring"), await state(bus_client, "paused")

    assert (everything.live, everything.max_live, everything.max_dials_per_second) == (2, 2, 100)
    assert (everything.waiting, everything.waiting_closed) == (2, 1)
    assert [one.campaign_id for one in everything.longest_waiting] == ["spring"]
    assert (spring.live, spring.waiting, spring.is_open, spring.dials_in_minute) == (2, 1, True, 1)
    assert (paused.live, paused.waiting_closed, paused.is_open) == (0, 1, False)


async def test_an_invalid_query_is_answered_with_an_error(nats_url: str, bus_client: Client) -> None:
    async with running(nats_url, 1):
        await outcome_of(bus_client, CampaignPauseRequested(campaign_id="spring"))
        reply = await bus_client.request(AdmissionQuery.subject, b'{"campaign_id": "a b"}', timeout=60)
    assert (reply.headers or {})["Nats-Service-Error-Code"] == "400"
