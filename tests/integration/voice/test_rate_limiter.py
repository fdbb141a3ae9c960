"""The account's pace on a real nats-server: replicas share it, and it takes nothing from law 4."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID, uuid4

import nats
import pytest
from nats.aio.client import Client
from tests.integration.voice.conftest import StartCall

from chassis.background import run_in_background
from chassis.event_log import EventLog
from contracts import (
    DialClaimed,
    DialCleared,
    DialPlaced,
    DialRefused,
    Envelope,
)
from contracts.streams import CALLS
from simulators.server import Simulators
from voice.adapters.clips import ObjectStoreClips
from voice.adapters.elevenlabs import ElevenLabs
from voice.adapters.nats import DialEventReader
from voice.adapters.twilio import Twilio
from voice.application.speech.greetings import Greetings
from voice.application.speech.synthesis import SpeechSynthesis
from voice.application.telephony.attempts import CLAIM_PATIENCE_SECONDS, StillDialing
from voice.application.telephony.dialing import Dialing
from voice.application.telephony.rate_limiter import RateLimiter
from voice.domain.rate_limit import Pace


@asynccontextmanager
async def replicas(nats_url: str, count: int, per_second: float) -> AsyncIterator[list[tuple[RateLimiter, EventLog]]]:
    """So many replicas, each with a connection of its own."""
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(count):
            client = await nats.connect(nats_url)
            stack.push_async_callback(client.close)
            log = EventLog(client, CALLS.name, source="voice")
            pacing = RateLimiter(Pace(per_second, CLAIM_PATIENCE_SECONDS), log, DialEventReader(client, log))
            await stack.enter_async_context(run_in_background(pacing.run()))
            found.append((pacing, log))
        yield found


def cause_of(call_id: UUID) -> Envelope:
    return Envelope.read({}, subject="test", id=f"cause/{call_id}", time=datetime.now(UTC))


async def dial(pacing: RateLimiter, log: EventLog, dialled: list[float]) -> None:
    """Stands for the request: it is sent, and its outcome is said."""
    call_id = uuid4()
    await pacing.clear(call_id, 1, cause_of(call_id))
    dialled.append(asyncio.get_running_loop().time())
    await log.append(DialPlaced(call_id=call_id, attempt=1, provider_call_id="CA1"))


def most_in_a_second(instants: list[float]) -> int:
    return max(sum(start <= other < start + 1 for other in instants) for start in instants)


async def test_replicas_together_keep_the_pace_of_one_account(nats_url: str, bus_client: Client) -> None:
    dialled: list[float] = []
    async with replicas(nats_url, 3, per_second=5) as running:
        await asyncio.gather(*(dial(*running[number % 3], dialled) for number in range(16)))
    assert most_in_a_second(dialled) <= 5
    assert len(dialled) == 16


async def test_a_replica_that_comes_later_counts_what_was_dialled_before_it_came(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    dialled: list[float] = []
    for _ in range(3):
        async with replicas(nats_url, 1, per_second=2) as [(pacing, log)]:
            await asyncio.gather(*(dial(pacing, log, dialled) for _ in range(2)))
    assert most_in_a_second(dialled) <= 2


async def test_each_clearance_has_seen_all_before_it_and_says_from_where_to_read(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    async with replicas(nats_url, 2, per_second=50) as running:
        await asyncio.gather(*(dial(*running[number % 2], []) for number in range(20)))
    clearances = await calls.read([DialCleared.subjects()])
    assert len(clearances) == 20
    for recorded in clearances:
        assert isinstance(recorded.event, DialCleared)
        assert recorded.event.replay_from_sequence <= recorded.sequence


async def test_a_refusal_counts_too(nats_url: str, bus_client: Client) -> None:
    async with replicas(nats_url, 1, per_second=1) as [(pacing, log)]:
        call_id = uuid4()
        await pacing.clear(call_id, 1, cause_of(call_id))
        await log.append(DialRefused(call_id=call_id, attempt=1, is_permanent=True, reason="no such number"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pacing.clear(uuid4(), 1, cause_of(call_id)), 0.3)


async def test_with_a_pace_too_one_message_delivered_to_many_replicas_is_one_request(
    nats_url: str,
    bus_client: Client,
    calls: EventLog,
    start_call: StartCall,
    simulators: Simulators,
    telephony: Twilio,
    speech: ElevenLabs,
    clips: ObjectStoreClips,
) -> None:
    greetings = Greetings(calls, SpeechSynthesis([speech], clips, calls))
    event = await start_call()
    async with replicas(nats_url, 3, per_second=20) as running:
        dialers = [Dialing(log, telephony, greetings, clearance=pacing) for pacing, log in running]
        told = (dialer.dial(event, cause_of(event.call_id)) for dialer in [*dialers, *dialers])
        results = await asyncio.gather(*told, return_exceptions=True)
        assert all(result is None or isinstance(result, StillDialing) for result in results)
        clearances = len(await calls.read([DialCleared.subjects()]))
        await dialers[0].dial(event, cause_of(event.call_id))
    assert len(simulators.ledger.calls) == 1
    assert len(await calls.read([f"{DialClaimed.event_name}.{event.call_id}"])) == 1
    again = len(await calls.read([DialCleared.subjects()]))
    assert again == clearances, "a message that comes again takes nothing of the pace"
