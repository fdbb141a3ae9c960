"""The pace of a declared campaign on a real nats-server with three replicas, also after their restart."""

from datetime import datetime, timedelta

from nats.aio.client import Client
from tests.integration.call_orchestrator.conftest import Ask, outcome_of, running, until_dialing

from call_orchestrator.domain.pace import MARGIN
from chassis.event_log import EventLog
from contracts import AdmissionGranted, CampaignCreateRequested, CampaignStartRequested, RequestedTerms

LIMITS = {"max_concurrent_calls": 0, "twilio_calls_per_second": 100}
CALLS_PER_MINUTE = 600
CLOCK_ERROR = timedelta(seconds=0.5)
"""The error of a replica's estimate of the server's time on a busy machine, beyond that in `MARGIN`."""
INTERVAL = (timedelta(minutes=1) + MARGIN) / CALLS_PER_MINUTE


async def granted_at(calls: EventLog, campaign_id: str) -> list[datetime]:
    """Returns when the server stored each grant of the campaign."""
    grants = await calls.read([AdmissionGranted.subjects()])
    return [
        stored.stored_at
        for stored in grants
        if stored.stored_at and isinstance(stored.event, AdmissionGranted) and stored.event.campaign_id == campaign_id
    ]


async def test_three_replicas_never_exceed_the_pace_and_other_campaigns_do_not_wait_for_it(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    terms = RequestedTerms(calls_per_minute=CALLS_PER_MINUTE)
    async with running(nats_url, 3, **LIMITS):
        for command in (
            CampaignCreateRequested(campaign_id="spring", terms=terms),
            CampaignStartRequested(campaign_id="spring"),
        ):
            assert (await outcome_of(bus_client, command)).accepted
        ids = await ask("spring", 16)
        await until_dialing(calls, ids, 4)
        await until_dialing(calls, others := await ask("other", 4), 4)
    async with running(nats_url, 3, **LIMITS):
        await until_dialing(calls, ids, 16)
    times = await granted_at(calls, "spring")
    assert len(times) == 16
    assert len(await granted_at(calls, "other")) == len(others)
    for first, begin in enumerate(times):
        for last, end in enumerate(times[first:]):
            assert end - begin >= last * INTERVAL - MARGIN - CLOCK_ERROR
