"""The rate limiter on a real nats-server: replicas share the limit, and each attempt is still dialled at most once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID, uuid4

import nats
import pytest
from nats.aio.client import Client
from tests.fakes.lost_messages import lose
from tests.integration.voice.conftest import StartCall

from chassis import live
from chassis.background import run_in_background
from chassis.event_log import EventLog, Guard
from chassis.live import Incomplete
from contracts import (
    DialClaimed,
    DialCleared,
    DialPlaced,
    DialRefused,
    Envelope,
)
from contracts.streams import CALLS
from simulators.server import Simulators
from voice.adapters.clips import StoredClips
from voice.adapters.elevenlabs import ElevenLabs
from voice.adapters.nats import DialEventReader
from voice.adapters.twilio import Twilio
from voice.application.speech.prepared_clips import PreparedClips
from voice.application.speech.synthesis import SpeechSynthesis
from voice.application.telephony.attempts import MAX_PENDING_SECONDS, AttemptInProgress
from voice.application.telephony.dialing import Dialing
from voice.application.telephony.rate_limiter import DialRateLimiter
from voice.domain.rate_limit import RateLimit


@asynccontextmanager
async def replicas(
    nats_url: str, count: int, per_second: float
) -> AsyncIterator[list[tuple[DialRateLimiter, EventLog]]]:
    """Starts replicas, each with a connection of its own."""
    async with AsyncExitStack() as stack:
        started = []
        for _ in range(count):
            client = await nats.connect(nats_url)
            stack.push_async_callback(client.close)
            log = EventLog(client, CALLS.name, source="voice")
            rate_limiter = DialRateLimiter(
                RateLimit(per_second, MAX_PENDING_SECONDS), log, DialEventReader(client, log)
            )
            await stack.enter_async_context(run_in_background(rate_limiter.run()))
            started.append((rate_limiter, log))
        yield started


def cause_of(call_id: UUID) -> Envelope:
    return Envelope.read({}, id=f"cause/{call_id}", time=datetime.now(UTC))


async def dial(rate_limiter: DialRateLimiter, log: EventLog, dialled_at: list[float]) -> None:
    """Acquires a permit, notes when, and appends an outcome."""
    call_id = uuid4()
    await rate_limiter.acquire(call_id, 1, cause_of(call_id))
    dialled_at.append(asyncio.get_running_loop().time())
    await log.append(DialPlaced(call_id=call_id, attempt=1, provider_call_id="CA1"))


def max_in_a_second(instants: list[float]) -> int:
    return max(sum(start <= other < start + 1 for other in instants) for start in instants)


async def test_replicas_share_the_rate_limit_of_the_account(nats_url: str, bus_client: Client) -> None:
    dialled_at: list[float] = []
    async with replicas(nats_url, 3, per_second=5) as running:
        await asyncio.gather(*(dial(*running[number % 3], dialled_at) for number in range(16)))
    assert max_in_a_second(dialled_at) <= 5
    assert len(dialled_at) == 16


async def test_a_replica_that_starts_later_counts_earlier_dials(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    dialled_at: list[float] = []
    for _ in range(3):
        async with replicas(nats_url, 1, per_second=2) as [(rate_limiter, log)]:
            await asyncio.gather(*(dial(rate_limiter, log, dialled_at) for _ in range(2)))
    assert max_in_a_second(dialled_at) <= 2


async def test_each_permit_names_an_earlier_sequence_from_which_to_replay(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    async with replicas(nats_url, 2, per_second=50) as running:
        await asyncio.gather(*(dial(*running[number % 2], []) for number in range(20)))
    permits = await calls.read([DialCleared.subjects()])
    assert len(permits) == 20
    for stored in permits:
        assert isinstance(stored.event, DialCleared)
        assert stored.event.replay_from_sequence <= stored.sequence


async def test_a_refused_dial_counts(nats_url: str, bus_client: Client) -> None:
    async with replicas(nats_url, 1, per_second=0.01) as [(rate_limiter, log)]:
        call_id = uuid4()
        await rate_limiter.acquire(call_id, 1, cause_of(call_id))
        await log.append(DialRefused(call_id=call_id, attempt=1, is_permanent=True, reason="no such number"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(rate_limiter.acquire(uuid4(), 1, cause_of(call_id)), 0.3)


async def test_with_a_rate_limiter_an_order_delivered_to_many_replicas_is_one_request(
    nats_url: str,
    bus_client: Client,
    calls: EventLog,
    start_call: StartCall,
    simulators: Simulators,
    telephony: Twilio,
    speech: ElevenLabs,
    clips: StoredClips,
) -> None:
    prepared = PreparedClips(SpeechSynthesis([speech], clips, calls))
    event = await start_call()
    async with replicas(nats_url, 3, per_second=20) as running:
        dialers = [Dialing(log, telephony, prepared, rate_limiter=rate_limiter) for rate_limiter, log in running]
        deliveries = (dialer.dial(event, cause_of(event.call_id)) for dialer in [*dialers, *dialers])
        results = await asyncio.gather(*deliveries, return_exceptions=True)
        assert all(result is None or isinstance(result, AttemptInProgress) for result in results)
        permits = len(await calls.read([DialCleared.subjects()]))
        await dialers[0].dial(event, cause_of(event.call_id), is_redelivered=True)
    assert len(simulators.ledger.calls) == 1
    assert len(await calls.read([DialClaimed.subject_for(event.call_id)])) == 1
    again = len(await calls.read([DialCleared.subjects()]))
    assert again == permits, "a repeated delivery uses no permit"


async def test_the_chain_follows_the_permits_of_an_older_build(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    former = DialCleared(call_id=uuid4(), attempt=1, replay_from_sequence=1)
    headers = cause_of(former.call_id).headers()
    subject = f"{DialCleared.subjects()}.{former.call_id}"
    await bus_client.jetstream().publish(subject, former.model_dump_json().encode(), headers=headers)
    await calls.append(DialPlaced(call_id=former.call_id, attempt=1, provider_call_id="CA1"))
    dialled_at: list[float] = []
    async with replicas(nats_url, 2, per_second=20) as running:
        await asyncio.gather(*(dial(*running[number % 2], dialled_at) for number in range(4)))
    assert len(await calls.read([DialCleared.subjects()])) == 4
    assert [stored.event for stored in await calls.read(DialCleared.former_subjects())] == [former]


async def test_orders_that_are_refused_while_they_wait_use_no_permit(nats_url: str, bus_client: Client) -> None:
    async with replicas(nats_url, 1, per_second=1) as [(rate_limiter, log)]:
        first, *waiting = [uuid4() for _ in range(4)]
        await rate_limiter.acquire(first, 1, cause_of(first))  # without an outcome, it counts for a long time
        async with asyncio.timeout(60), asyncio.TaskGroup() as orders:
            for call_id in waiting:
                orders.create_task(rate_limiter.acquire(call_id, 1, cause_of(call_id)))
            for call_id in waiting:
                await log.append(DialRefused(call_id=call_id, attempt=1, is_permanent=False, reason="not in time"))
        assert len(await log.read([DialCleared.subjects()])) == 1


async def permit(calls: EventLog, guard_sequence: int, replay_from_sequence: int = 1) -> int:
    cleared = DialCleared(call_id=uuid4(), attempt=1, replay_from_sequence=replay_from_sequence)
    return (await calls.append(cleared, guard=Guard(DialCleared.subjects(), guard_sequence))).sequence


async def test_a_permit_that_was_lost_is_found_at_the_next_permit(
    bus_client: Client, calls: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "CHECK_SECONDS", 3600)
    first = await permit(calls, 0)
    lose(monkeypatch, bus_client, first + 1)
    async with DialEventReader(bus_client, calls).follow() as (_, batches):
        assert [stored.sequence for stored in await anext(batches)] == [first]
        lost = await permit(calls, first)
        await permit(calls, lost)
        with pytest.raises(Incomplete, match=r"dial\.cleared"):
            await anext(batches)


async def test_the_last_permit_of_an_imported_log_is_read_although_it_names_a_later_position(
    bus_client: Client, calls: EventLog
) -> None:
    imported = await permit(calls, 0, replay_from_sequence=1_400)
    async with DialEventReader(bus_client, calls).follow() as (_, batches):
        assert [stored.sequence for stored in await anext(batches)] == [imported]
