"""The weekly hours and the purpose of a declared campaign, on a real nats-server with two replicas."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from nats.aio.client import Client
from tests.builders.policies import ANY_TIME_POLICY
from tests.integration.call_orchestrator.conftest import (
    Ask,
    call_of,
    outcome_of,
    running,
    until,
    until_dialing,
    until_queued,
)

from centralita.replay.record import from_streams
from centralita.replay.scope import Scope
from centralita.replay.verifying import verify
from chassis.event_log import EventLog
from contracts import (
    AdmissionGranted,
    CallPutOff,
    CallRequested,
    CampaignChangeRequested,
    CampaignCreateRequested,
    CampaignStartRequested,
    DialClaimed,
    RequestedTerms,
)
from contracts.queries import CallingTimes, CallingTimesQuery

LIMITS = {"max_concurrent_calls": 0, "twilio_calls_per_second": 100}
NEW_YORK = ZoneInfo("America/New_York")
START = CampaignStartRequested(campaign_id="spring")


def closed_now() -> dict[str, object]:
    """Returns terms with hours of the day after tomorrow in the callee's zone."""
    day = f"{datetime.now(NEW_YORK) + timedelta(days=2):%a}".lower()
    return {"purpose": "service", "weekly_hours": [{"days": [day], "opens_at": "10:00", "closes_at": "24:00"}]}


def create(terms: dict[str, object]) -> CampaignCreateRequested:
    return CampaignCreateRequested(campaign_id="spring", terms=RequestedTerms.model_validate(terms))


async def test_a_call_that_is_created_in_closed_hours_is_due_when_they_open(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    async with running(nats_url, 2, **LIMITS):
        for command in (create(closed_now()), START):
            assert (await outcome_of(bus_client, command)).accepted

        async def is_due_later() -> bool:
            [call_id] = await ask("spring", 1)
            call = await call_of(calls, call_id)
            return bool(call and call.due_at and call.due_at - call.created_at > timedelta(hours=20))

        await until(is_due_later)
        contradictory = CallRequested.model_validate(
            {
                "request_id": "sales",
                "campaign_id": "spring",
                "contact_id": "c-1",
                "phone_number": "+12125550123",
                "script_template": "Hello.",
                "purpose": "sales",
            }
        )
        refused = await outcome_of(bus_client, contradictory)
        query = CallingTimesQuery(campaign_id="spring", country="US", regions=("NY",), zones=("America/New_York",))
        answer = await bus_client.request(query.subject, query.model_dump_json().encode(), timeout=60)
    assert refused.reasons == ("purpose: its campaign is for service; leave purpose out, or use another campaign",)
    times = CallingTimes.model_validate_json(answer.data)
    assert times.first_at
    assert (times.rule, times.first_at.astimezone(NEW_YORK).hour) == ("campaign_hours", 10)
    verification = await verify(await from_streams(bus_client, Scope()), calling_policy=ANY_TIME_POLICY)
    assert (verification.drifts, verification.doubts) == ((), ())


async def test_changed_hours_apply_to_a_call_that_waits_already(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    async with running(nats_url, 2, **LIMITS):
        assert (await outcome_of(bus_client, create({}))).accepted
        [waiting] = await ask("spring", 1)
        await until_queued(calls, [waiting])
        changed = CampaignChangeRequested(campaign_id="spring", terms=RequestedTerms.model_validate(closed_now()))
        for command in (changed, START):
            assert (await outcome_of(bus_client, command)).accepted

        async def is_put_off() -> bool:
            call = await call_of(calls, waiting)
            return bool(call and not call.is_queued)

        await until(is_put_off)
        call = await call_of(calls, waiting)
        await until_dialing(calls, await ask("other", 1), 1)
    assert call
    assert call.permission
    assert call.permission.rule == "campaign_hours"
    assert call.permission.campaign.purpose == "service"
    assert call.permission.campaign.weekly_hours[0].opens_at == "10:00"
    [put_off] = await calls.read([CallPutOff.subjects()])
    grants = [stored.event for stored in await calls.read([AdmissionGranted.subjects()])]
    dial_terms = [one.dial_terms for one in grants if isinstance(one, AdmissionGranted) and one.call_id == waiting]
    assert dial_terms == [call.permission.campaign]
    assert put_off.event.model_dump()["call"]["attempt"] == 0
    assert await calls.read([DialClaimed.subject_for(waiting)]) == []
    verification = await verify(await from_streams(bus_client, Scope()), calling_policy=ANY_TIME_POLICY)
    assert (verification.drifts, verification.doubts) == ((), ())
