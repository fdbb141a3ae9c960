"""Replicas of the orchestrator on a real nats-server, requests for calls, and the state of calls in the log."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from nats.aio.client import Client
from tests.builders.numbers import number_for

from call_orchestrator.composition import build
from call_orchestrator.settings import Settings
from chassis.event_log import EventLog
from chassis.serve import connect_bus
from contracts import (
    Call,
    CallDecision,
    CallRequested,
    CallStatus,
    CommandOutcome,
    DialClaimed,
    Envelope,
    Event,
    Service,
    TelephonyStatus,
    TelephonyStatusReported,
    call_id_of,
    outcome_subject,
)
from contracts.filters import call_state_filter

Ask = Callable[..., Awaitable[list[UUID]]]


@pytest.fixture(autouse=True)
def _may_call_the_us(monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers of the tests are of the US. Without a country the service does not start."""
    monkeypatch.setenv("ALLOWED_COUNTRIES", "US")


@asynccontextmanager
async def running(nats_url: str, count: int, **settings: object) -> AsyncIterator[None]:
    """Runs this many replicas of the service."""
    async with AsyncExitStack() as stack:
        for _ in range(count):
            bus = await connect_bus(Service.ORCHESTRATOR, nats_url)
            stack.push_async_callback(bus.client.close)
            await stack.enter_async_context(build(Settings.model_validate(settings), bus))
            stack.push_async_callback(bus.broker.stop)
            stack.push_async_callback(bus.before_drain.aclose)
            await bus.broker.start()
        yield


@pytest.fixture
def ask(bus_client: Client) -> Ask:
    """Requests this many calls of a campaign, each to another number. `begin`: the number of the first one."""

    async def ask(campaign: str, count: int, begin: int = 0) -> list[UUID]:
        ids = []
        for number in range(begin, begin + count):
            request = CallRequested(
                request_id=f"{campaign}-{number}",
                campaign_id=campaign,
                contact_id="c-1",
                phone_number=number_for(f"{campaign}-{number}"),
                script_template="Hello.",
                language="en",
                max_retries=0,
            )
            await bus_client.jetstream().publish(request.subject, request.model_dump_json().encode())
            ids.append(call_id_of(request.request_id or ""))
        return ids

    return ask


async def outcome_of(client: Client, command: Event, headers: Mapping[str, str] | None = None) -> CommandOutcome:
    """Publishes a request or command, with further headers, and returns its outcome."""
    envelope = Envelope.of(id=str(uuid4()), source="test", time=datetime.now(UTC))
    outcomes = await client.subscribe(outcome_subject(envelope.id))
    await client.jetstream().publish(command.subject, command.body(), headers={**envelope.headers(), **(headers or {})})
    message = await outcomes.next_msg(timeout=60)
    await outcomes.unsubscribe()
    return CommandOutcome.model_validate_json(message.data)


async def call_of(calls: EventLog, call_id: UUID) -> Call | None:
    stored = await calls.last(call_state_filter(call_id))
    return stored.event.call if stored and isinstance(stored.event, CallDecision) else None


async def with_status(calls: EventLog, ids: list[UUID], status: CallStatus) -> list[UUID]:
    return [i for i in ids if (call := await call_of(calls, i)) and call.status is status]


async def until(what: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(60):
        while not await what():
            await asyncio.sleep(0.02)


async def until_created(calls: EventLog, ids: list[UUID]) -> None:
    async def created() -> bool:
        return all([await call_of(calls, i) for i in ids])

    await until(created)


async def until_queued(calls: EventLog, ids: list[UUID]) -> None:
    async def queued() -> bool:
        return all([(call := await call_of(calls, i)) and call.is_queued for i in ids])

    await until(queued)


async def until_dialing(calls: EventLog, ids: list[UUID], count: int) -> list[UUID]:
    async def dialing() -> bool:
        return len(await with_status(calls, ids, CallStatus.DIALING)) >= count

    await until(dialing)
    return await with_status(calls, ids, CallStatus.DIALING)


async def end(calls: EventLog, call_id: UUID, attempt: int = 1) -> None:
    await calls.append(DialClaimed(call_id=call_id, attempt=attempt))
    report = TelephonyStatusReported(
        call_id=call_id, attempt=attempt, provider_call_id="CA1", status=TelephonyStatus.BUSY, sequence_number=1
    )
    await calls.append(report)
