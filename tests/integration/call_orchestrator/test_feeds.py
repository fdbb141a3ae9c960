"""What admission follows, on a real nats-server."""

from uuid import UUID

import pytest
from nats.aio.client import Client
from tests.builders.events import campaign_paused, campaign_resumed
from tests.fakes.lost_messages import lose
from tests.integration.test_history import pages_of_wildcards, recorded_requests

from call_orchestrator.adapters.nats.feeds import NatsFeeds
from call_orchestrator.domain.slot_events import Begun, Granted
from chassis import live
from chassis.event_log import EventLog, Guard
from chassis.live import Incomplete
from contracts import AdmissionGranted, SpeechHeard
from contracts.examples import EXAMPLES

SPEECH = EXAMPLES[SpeechHeard.event_name]


def grant(number: int, replay_from_sequence: int = 1) -> AdmissionGranted:
    return AdmissionGranted(
        call_id=UUID(int=number),
        campaign_id="spring",
        attempt=1,
        due_sequence=1,
        replay_from_sequence=replay_from_sequence,
    )


async def granted(calls: EventLog, sequence: int) -> Granted:
    """Returns the first grant as the feed has it, with the time at which the server stored it."""
    [stored] = [one for one in await calls.read([AdmissionGranted.subjects()]) if one.sequence == sequence]
    return Granted(sequence, str(UUID(int=1)), "spring", granted_at=stored.stored_at)


async def append(calls: EventLog, number: int, guard_sequence: int) -> int:
    guard = Guard(AdmissionGranted.subjects(), guard_sequence)
    return (await calls.append(grant(number), guard=guard)).sequence


async def test_a_grant_that_was_lost_is_found_at_the_next_grant(
    bus_client: Client, calls: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "CHECK_SECONDS", 3600)
    first = await append(calls, 1, 0)
    lose(monkeypatch, bus_client, first + 1)
    async with NatsFeeds(bus_client, calls).slot_events() as batches:
        assert await anext(batches) == [Begun(first)]
        assert await anext(batches) == [await granted(calls, first)]
        lost = await append(calls, 2, first)
        await append(calls, 3, lost)
        with pytest.raises(Incomplete, match=r"admission\.granted"):
            await anext(batches)


async def test_the_last_grant_of_an_imported_log_is_read_although_it_names_a_later_position(
    bus_client: Client, calls: EventLog
) -> None:
    imported = await calls.append(grant(1, replay_from_sequence=1_400))
    async with NatsFeeds(bus_client, calls).slot_events() as batches:
        assert await anext(batches) == [Begun(imported.sequence)]
        assert await anext(batches) == [await granted(calls, imported.sequence)]


async def test_the_campaigns_are_read_at_the_leader_and_then_followed(bus_client: Client, calls: EventLog) -> None:
    for event in (campaign_paused("a"), SPEECH, campaign_paused("b"), campaign_resumed("a"), SPEECH):
        last = await calls.append(event)
    async with recorded_requests(bus_client) as requests, NatsFeeds(bus_client, calls).campaigns() as changes:
        present = await anext(changes)
        assert present.sequence == last.sequence
        assert {name: one.is_paused for name, one in present.campaigns.items()} == {"a": False, "b": True}
        resumed = await calls.append(campaign_resumed("b"))
        change = await anext(changes)
        assert (change.sequence, change.campaigns["b"].is_paused) == (resumed.sequence, False)
    pages = [request for request in requests if "DIRECT" in request[0]]
    assert pages_of_wildcards(pages) == []
