"""Paused campaigns on a real nats-server with two replicas, which go on granting slots to other campaigns."""

from itertools import cycle, islice
from uuid import UUID

import pytest
from nats.aio.client import Client
from prometheus_client import REGISTRY
from tests.integration.call_orchestrator.conftest import (
    Ask,
    call_of,
    end,
    outcome_of,
    running,
    until,
    until_dialing,
    until_queued,
    with_status,
)

from chassis.event_log import EventLog
from chassis.provision import provision
from contracts import (
    AdmissionGranted,
    CallCancelRequested,
    CallChangeRequested,
    CallStatus,
    CampaignEvent,
    CampaignPauseRequested,
    CampaignResumeRequested,
    TimerDue,
)
from contracts.examples import CALL
from contracts.filters import call_state_filter, campaign_state_filter
from contracts.streams import CALLS, DEAD_LETTERS, REQUESTS

LIMITS = {"max_concurrent_calls": 0, "twilio_calls_per_second": 100}
PAUSE = CampaignPauseRequested(campaign_id="spring", reason="a wrong number in the script")
RESUME = CampaignResumeRequested(campaign_id="spring")


async def event_names(calls: EventLog, campaign_id: str = "spring") -> list[str]:
    return [stored.event.event_name for stored in await calls.read([campaign_state_filter(campaign_id)])]


async def granted(calls: EventLog) -> list[UUID]:
    grants = [stored.event for stored in await calls.read([AdmissionGranted.subjects()])]
    return [grant.call_id for grant in grants if isinstance(grant, AdmissionGranted)]


async def shown(*, campaigns: float, calls: float) -> bool:
    names = ("centralita_paused_campaigns", "centralita_waiting_calls_paused")
    return [REGISTRY.get_sample_value(name) for name in names] == [campaigns, calls]


async def test_no_replica_dials_a_paused_campaign_and_after_its_resumption_each_call_is_dialled_once(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    async with running(nats_url, 2, **LIMITS):
        assert (await outcome_of(bus_client, PAUSE)).accepted
        ids = await ask("spring", 5)
        await until_queued(calls, ids)
        await until(lambda: shown(campaigns=1, calls=5))
    assert await granted(calls) == [], "the log has no grant that names the sequence from which to read"
    others: list[UUID] = []
    for campaign in ("first", "second"):
        async with running(nats_url, 2, **LIMITS):
            others += await until_dialing(calls, await ask(campaign, 2), 2)
        assert sorted(await granted(calls)) == sorted(others)
    async with running(nats_url, 2, **LIMITS):
        assert (await outcome_of(bus_client, RESUME)).accepted
        await until_dialing(calls, ids, 5)
        await until(lambda: shown(campaigns=0, calls=0))
    assert sorted(await granted(calls)) == sorted([*others, *ids])


async def test_a_call_with_a_slot_goes_on_after_a_pause_and_the_next_one_waits(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    async with running(nats_url, 2, **{**LIMITS, "max_concurrent_calls": 1}):
        ids = await ask("spring", 2)
        [first] = await until_dialing(calls, ids, 1)
        await outcome_of(bus_client, PAUSE)
        await end(calls, first)
        await until(lambda: with_status(calls, [first], CallStatus.BUSY))
        [other] = await until_dialing(calls, await ask("other", 1), 1)
        [waits] = [call_id for call_id in ids if call_id != first]
        assert await granted(calls) == [first, other]
        await outcome_of(bus_client, RESUME)
        await end(calls, other)
        await until_dialing(calls, [waits], 1)


async def test_waiting_calls_of_a_paused_campaign_can_be_canceled_and_changed(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    async with running(nats_url, 2, **LIMITS):
        await outcome_of(bus_client, PAUSE)
        canceled, changed = ids = await ask("spring", 2)
        await until_queued(calls, ids)
        await outcome_of(bus_client, CallCancelRequested(call_id=canceled))
        await outcome_of(bus_client, CallChangeRequested(call_id=changed, metadata={"a": "b"}))
        await until_queued(calls, [changed])
        await outcome_of(bus_client, RESUME)
        await until_dialing(calls, [changed], 1)
    assert await granted(calls) == [changed]
    assert await with_status(calls, [canceled], CallStatus.CANCELED) == [canceled]
    assert (call := await call_of(calls, changed))
    assert call.metadata == {"a": "b"}


async def test_waiting_calls_outlive_a_pause_that_is_longer_than_their_time(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    async def fired(ids: list[UUID]) -> bool:
        newest = [await calls.last(TimerDue.subject_for(call_id)) for call_id in ids]
        deadlines = [(await call_of(calls, call_id) or CALL).deadline_at for call_id in ids]
        return all(
            one and isinstance(one.event, TimerDue) and deadline and one.event.deadline_at >= deadline
            for one, deadline in zip(newest, deadlines, strict=True)
        )

    async with running(nats_url, 2, **{**LIMITS, "dial_within_minutes": 0.15}):
        await outcome_of(bus_client, PAUSE)
        waiting = await ask("spring", 3)
        await until_queued(calls, waiting)
        await until(lambda: fired(waiting))
        events = [stored for call_id in waiting for stored in await calls.read([call_state_filter(call_id)])]
        assert [stored.event.event_name for stored in events] == ["call.created"] * 3
        await outcome_of(bus_client, RESUME)
        await until_dialing(calls, waiting, 3)


async def test_a_command_without_effect_is_accepted_and_changes_nothing(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    async with running(nats_url, 2, **LIMITS):
        assert (await outcome_of(bus_client, RESUME)).accepted
        assert await event_names(calls) == []
        for reason in ("first", "second"):
            outcome = await outcome_of(bus_client, PAUSE.model_copy(update={"reason": reason}))
            assert (outcome.accepted, outcome.campaign_id, outcome.call_id) == (True, "spring", None)
    [paused] = await calls.read([campaign_state_filter("spring")])
    assert paused.event.model_dump()["campaign"]["reason"] == "first"


async def test_commands_are_carried_out_in_the_order_of_their_stream(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    async with running(nats_url, 2, **LIMITS):
        commands: list[CampaignEvent] = list(islice(cycle((PAUSE, RESUME)), 40))
        js = bus_client.jetstream(publish_async_max_pending=40)
        for one in commands:
            await js.publish_async(one.subject, one.model_dump_json().encode())
        await js.publish_async_completed()
        await until(lambda: _has_events(calls, 40))
    assert await event_names(calls) == ["campaign.paused", "campaign.resumed"] * 20


async def _has_events(calls: EventLog, count: int) -> bool:
    return len(await event_names(calls)) >= count


@pytest.mark.parametrize("campaign_id", ["*", "a.b", ">", "a b"])
async def test_an_invalid_campaign_id_is_a_dead_letter_and_the_next_command_is_carried_out(
    nats_url: str, bus_client: Client, calls: EventLog, campaign_id: str
) -> None:
    body = b'{"campaign_id": "%s"}' % campaign_id.encode()
    await bus_client.jetstream().publish("campaign.pause_requested.x", body)
    async with running(nats_url, 2, **LIMITS):
        assert (await outcome_of(bus_client, PAUSE)).accepted
    dead_letter = await bus_client.jetstream().get_last_msg(DEAD_LETTERS.name, "dead_letter.campaign.pause_requested.x")
    assert b"campaign_id: " in (dead_letter.data or b"")
    assert await event_names(calls, "*") == ["campaign.paused"]


async def test_provisioning_moves_campaign_commands_from_the_log_to_the_request_stream(bus_client: Client) -> None:
    """Commands and events share a family, so the streams must be changed in the right order."""
    js = bus_client.jetstream()
    for stream, subjects in ((REQUESTS, ["call.requested"]), (CALLS, ["call.*.*.*", "campaign.*.*"])):
        config = (await js.stream_info(stream.name)).config
        config.subjects = subjects
        await js.delete_stream(stream.name)
        await js.add_stream(config)
    await provision(bus_client)
    assert (await js.publish(PAUSE.subject, PAUSE.model_dump_json().encode())).stream == REQUESTS.name
