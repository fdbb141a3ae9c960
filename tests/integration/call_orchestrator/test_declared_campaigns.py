"""Declared campaigns on a real nats-server with two replicas: their start, period, limit and finish."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from nats.aio.client import Client
from tests.integration.call_orchestrator.conftest import (
    Ask,
    end,
    outcome_of,
    running,
    until,
    until_created,
    until_dialing,
    until_queued,
    with_status,
)

from call_orchestrator.domain.timers import EARLY_TOLERANCE
from chassis.event_log import EventLog
from contracts import (
    AdmissionGranted,
    CallRequested,
    CallStatus,
    CampaignChangeRequested,
    CampaignCommand,
    CampaignCreateRequested,
    CampaignFinishRequested,
    CampaignStartRequested,
    RequestedTerms,
)
from contracts.filters import campaign_state_filter

LIMITS = {"max_concurrent_calls": 0, "twilio_calls_per_second": 100}
START, FINISH = CampaignStartRequested(campaign_id="spring"), CampaignFinishRequested(campaign_id="spring")


def create(**terms: object) -> CampaignCreateRequested:
    return CampaignCreateRequested(campaign_id="spring", terms=RequestedTerms.model_validate(terms))


def change(**terms: object) -> CampaignChangeRequested:
    return CampaignChangeRequested(campaign_id="spring", terms=RequestedTerms.model_validate(terms))


async def accept(client: Client, *commands: CampaignCommand) -> None:
    for command in commands:
        outcome = await outcome_of(client, command)
        assert outcome.accepted, outcome.reasons


async def granted(calls: EventLog) -> list[UUID]:
    grants = [stored.event for stored in await calls.read([AdmissionGranted.subjects()])]
    return [grant.call_id for grant in grants if isinstance(grant, AdmissionGranted)]


async def test_calls_of_a_draft_wait_for_its_start_also_after_a_restart(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    async with running(nats_url, 2, **LIMITS):
        await accept(bus_client, create())
        ids = await ask("spring", 3)
        await until_queued(calls, ids)
    async with running(nats_url, 2, **LIMITS):
        others = await until_dialing(calls, await ask("other", 2), 2)
        assert sorted(await granted(calls)) == sorted(others)
        await accept(bus_client, START)
        await until_dialing(calls, ids, 3)
    names = [stored.event.event_name for stored in await calls.read([campaign_state_filter("spring")])]
    assert names == ["campaign.created", "campaign.started"]


async def test_a_campaign_has_no_more_live_calls_than_its_terms_permit_and_a_change_applies_to_waiting_calls(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    async with running(nats_url, 2, **LIMITS):
        await accept(bus_client, create(max_concurrent_calls=1), START)
        ids = await ask("spring", 4)
        [first] = await until_dialing(calls, ids, 1)
        await until_dialing(calls, others := await ask("other", 3), 3)
        assert sorted(await granted(calls)) == sorted([first, *others])
        await end(calls, first)
        [second] = await until_dialing(calls, [one for one in ids if one != first], 1)
        await accept(bus_client, change(max_concurrent_calls=3))
        await until_dialing(calls, [one for one in ids if one not in (first, second)], 2)


async def test_calls_begin_at_the_begin_of_the_period_and_not_after_its_end(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    async with running(nats_url, 2, **LIMITS):
        starts_at = datetime.now(UTC) + timedelta(seconds=2)
        await accept(bus_client, create(starts_at=starts_at, max_concurrent_calls=1), START)
        ids = await ask("spring", 2)
        await until_created(calls, ids)
        [first] = await until_dialing(calls, ids, 1)
        [grant] = await calls.read([AdmissionGranted.subjects()])
        assert grant.stored_at
        assert grant.stored_at > starts_at - EARLY_TOLERANCE
        for seconds in (1, 10, 60):  # longer, if the end had passed before the change was decided
            ends_at = datetime.now(UTC) + timedelta(seconds=seconds)
            if (await outcome_of(bus_client, change(ends_at=ends_at, max_concurrent_calls=1))).accepted:
                break

        async def is_over() -> bool:
            return datetime.now(UTC) > ends_at + 2 * EARLY_TOLERANCE

        await until(is_over)
        await end(calls, first)
        await until(lambda: with_status(calls, [first], CallStatus.BUSY))
        await until_dialing(calls, others := await ask("other", 1), 1)
        assert await granted(calls) == [first, *others]
        await accept(bus_client, change())
        await until_dialing(calls, [one for one in ids if one != first], 1)


async def test_a_finished_campaign_refuses_requests_and_its_waiting_calls_expire(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    request = CallRequested(
        request_id="late",
        campaign_id="spring",
        contact_id="c-1",
        phone_number="+12125550123",
        script_template="Hello.",
        language="en",
    )
    async with running(nats_url, 2, **{**LIMITS, "dial_within_minutes": 0.05}):
        await accept(bus_client, create())
        ids = await ask("spring", 2)
        await until_created(calls, ids)
        await accept(bus_client, FINISH)

        async def have_expired() -> bool:
            return len(await with_status(calls, ids, CallStatus.EXPIRED)) == 2

        await until(have_expired)
        outcome = await outcome_of(bus_client, request)
        assert not outcome.accepted
        assert outcome.reasons == ("campaign_id: the campaign spring is finished; create another one",)
    async with running(nats_url, 1, **LIMITS):
        repeated = await outcome_of(bus_client, request.model_copy(update={"request_id": "spring-0"}))
        assert (repeated.accepted, repeated.call_id) == (True, ids[0]), "a repeated request is the call that it created"
    assert await granted(calls) == []
