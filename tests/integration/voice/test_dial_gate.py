"""The dial gate on a real nats-server, with a circuit breaker in each replica, while Twilio refuses the account."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from nats.aio.client import Client
from prometheus_client import REGISTRY
from tests.builders.calls import a_call
from tests.builders.events import status_changed
from tests.fakes.providers import provider
from tests.integration.voice.conftest import ACCOUNT_SID, AUTH_TOKEN, CALLER, StartCall, cause_of, dial_events

from chassis.barrier import wait_until_processed
from chassis.event_log import EventLog, StoredEvent
from chassis.provision import consumer_config
from chassis.serve import connect_bus
from chassis.subscriptions import subscribe
from contracts import (
    CallHangupRequested,
    CallSettlementRequested,
    CallStatus,
    CallStatusChanged,
    DialClaimed,
    DialPlaced,
    DialRefused,
    Service,
)
from contracts.consumers import VOICE_DIALS
from contracts.streams import CALLS
from providers import BreakerState, CircuitBreaker
from simulators.faults import FaultRule
from simulators.server import Simulators
from voice.adapters import twilio
from voice.adapters.clips import StoredClips
from voice.adapters.elevenlabs import ElevenLabs
from voice.adapters.twilio import Twilio
from voice.application.speech.prepared_clips import PreparedClips
from voice.application.speech.synthesis import SpeechSynthesis
from voice.application.telephony.attempts import CALLED_OFF
from voice.application.telephony.dial_gate import DialGate
from voice.application.telephony.dialing import Dialing
from voice.application.telephony.hangup import HangUp
from voice.application.telephony.settlement import NOT_DIALLED_IN_TIME, Settlement

FAILURES = 2
TOKEN_REFUSED = FaultRule(target="twilio", kind="status", status=401)


@dataclass(frozen=True)
class Replica:
    """The part of one replica that dials."""

    breaker: CircuitBreaker
    dialing: Dialing


@pytest.fixture
def prepared(calls: EventLog, speech: ElevenLabs, clips: StoredClips) -> PreparedClips:
    return PreparedClips(SpeechSynthesis([speech], clips, calls))


@pytest.fixture
async def replicas(
    calls: EventLog, simulators: Simulators, edge_url: str, prepared: PreparedClips
) -> AsyncIterator[list[Replica]]:
    async with AsyncExitStack() as stack:
        started = []
        for _ in range(2):
            twilio_provider = provider("twilio", max_failures=FAILURES, cooldown_seconds=1)
            connecting = twilio.connect(
                account_sid=ACCOUNT_SID,
                auth_token=AUTH_TOKEN,
                base_url=simulators.twilio_url,
                number=CALLER,
                callbacks=edge_url,
                provider=twilio_provider,
            )
            telephony = await stack.enter_async_context(connecting)
            gate = DialGate(twilio_provider.breaker, asyncio.Event())
            started.append(Replica(twilio_provider.breaker, Dialing(calls, telephony, prepared, gate=gate)))
        yield started


async def dial(replica: Replica, start_call: StartCall) -> None:
    event = await start_call()
    await replica.dialing.dial(event, cause_of(event))


async def refuse_until_open(simulators: Simulators, replicas: list[Replica], start_call: StartCall) -> None:
    simulators.faults.rules = [TOKEN_REFUSED]
    for replica in replicas:
        for _ in range(FAILURES):
            await dial(replica, start_call)
        assert replica.breaker.state is not BreakerState.CLOSED, "its cooldown may be over already"


async def count_of(calls: EventLog, kind: type[DialPlaced | DialRefused]) -> int:
    return len(await calls.read([kind.subjects()]))


async def test_while_the_account_is_refused_few_orders_try_and_then_each_is_dialled_once(
    replicas: list[Replica], start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    await refuse_until_open(simulators, replicas, start_call)
    refused = await count_of(calls, DialRefused)
    assert refused == FAILURES * len(replicas)
    async with asyncio.TaskGroup() as orders:
        for number in range(10):
            orders.create_task(dial(replicas[number % 2], start_call))
        async with asyncio.timeout(60):
            while (
                await count_of(calls, DialRefused) < refused + 2
            ):  # each replica has tried again, or one of them twice
                await asyncio.sleep(0.02)
        simulators.faults.rules = []
    tried = await count_of(calls, DialRefused) - refused
    assert tried < 10, "most of them waited"
    assert await count_of(calls, DialPlaced) == len(simulators.ledger.calls) == 10 - tried
    claims = await calls.read([DialClaimed.subjects()])
    assert len(claims) == refused + 10, "each attempt was claimed once"


@pytest.mark.parametrize("reason", [CALLED_OFF, NOT_DIALLED_IN_TIME])
async def test_a_waiting_order_can_be_refused_and_is_then_not_dialled(
    reason: str,
    start_call: StartCall,
    calls: EventLog,
    telephony: Twilio,
    prepared: PreparedClips,
    simulators: Simulators,
) -> None:
    breaker = CircuitBreaker(max_failures=1, cooldown_seconds=0)
    breaker.failed(breaker.begin())
    gate = DialGate(breaker, asyncio.Event())
    dialing = Dialing(calls, telephony, prepared, gate=gate)
    event = await start_call()
    async with asyncio.TaskGroup() as orders, gate.enter():  # another order tries
        for _ in range(2):  # the same order, delivered twice
            orders.create_task(dialing.dial(event, cause_of(event)))
        async with asyncio.timeout(60):
            while REGISTRY.get_sample_value("centralita_held_dials") != 3:
                await asyncio.sleep(0.02)
        now = datetime.now(UTC)
        if reason == CALLED_OFF:
            request = CallHangupRequested(call=event.call, occurred_at=now)
            await HangUp(calls, telephony, telephony).hang_up(request, cause_of(event))
        else:
            overdue = CallSettlementRequested(call=event.call, occurred_at=now)
            await Settlement(calls, telephony).settle(overdue, cause_of(event))
    refused = DialRefused(call_id=event.call_id, attempt=1, is_permanent=False, reason=reason)
    assert await dial_events(calls, event) == [DialClaimed.of(event.call, 1), refused]
    assert simulators.ledger.calls == []


@asynccontextmanager
async def consuming(nats_url: str, gate: DialGate, received: "asyncio.Queue[int]") -> AsyncIterator[None]:
    """Runs a consumer of dial orders that enter the gate. `received` gets the number of each delivery."""

    async def on_dial_ordered(event: CallStatusChanged, stored: StoredEvent[CallStatusChanged]) -> None:
        received.put_nowait(stored.deliveries)
        async with gate.enter():
            pass

    bus = await connect_bus(Service.VOICE, nats_url)
    subscribe(bus.broker, VOICE_DIALS, on_dial_ordered)
    await bus.broker.start()
    await wait_until_processed(bus.client)
    try:
        yield
    finally:
        await bus.broker.stop()


async def test_an_order_that_waits_when_the_service_stops_is_delivered_before_its_ack_wait(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    long = consumer_config(replace(VOICE_DIALS, ack_wait=600))
    await bus_client.jetstream().add_consumer(CALLS.name, config=long)
    breaker, stopping = CircuitBreaker(max_failures=1, cooldown_seconds=3600), asyncio.Event()
    breaker.failed(breaker.begin())
    received: asyncio.Queue[int] = asyncio.Queue()
    async with asyncio.timeout(120):
        async with consuming(nats_url, DialGate(breaker, stopping), received):
            await calls.append(status_changed(a_call(CallStatus.DIALING)))
            assert await received.get() == 1
            stopping.set()
        closed = CircuitBreaker(max_failures=1, cooldown_seconds=0)
        async with consuming(nats_url, DialGate(closed, asyncio.Event()), received):
            assert await received.get() > 1
