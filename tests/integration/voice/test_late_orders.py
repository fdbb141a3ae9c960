"""The composed service starts with dial orders that were given long before: it dials none of them."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from nats.aio.client import Client
from pydantic import AnyHttpUrl, SecretStr
from tests.integration.voice.conftest import ACCOUNT_SID, AUTH_TOKEN, StartCall, dial_events

from chassis.event_log import EventLog
from chassis.serve import connect_bus
from contracts import CallSettlementRequested, CallStatusChanged, DialClaimed, DialPlaced, DialRefused, Service
from contracts.call import Permission
from simulators.server import Simulators
from voice.composition import build
from voice.settings import Settings

ORDERS = 3


@pytest.fixture
def settings(nats_url: str, bus_client: Client, simulators: Simulators, edge_url: str) -> Settings:
    return Settings(
        nats_url=nats_url,
        app_base_url=AnyHttpUrl(edge_url),
        twilio_account_sid=ACCOUNT_SID,
        twilio_auth_token=SecretStr(AUTH_TOKEN),
        twilio_phone_number="+12125550100",
        twilio_base_url=AnyHttpUrl(simulators.twilio_url),
        twilio_calls_per_second=20,
        elevenlabs_api_key=SecretStr("fictional-key"),
        elevenlabs_base_url=AnyHttpUrl(simulators.elevenlabs_url),
    )


async def order(start_call: StartCall, dialed_at: datetime, deadline_at: datetime) -> list[CallStatusChanged]:
    numbers = [f"+1212555012{number}" for number in range(ORDERS)]
    return [await start_call(phone_number=number, dialed_at=dialed_at, deadline_at=deadline_at) for number in numbers]


async def dialled_attempts(
    settings: Settings, nats_url: str, calls: EventLog, events: list[CallStatusChanged]
) -> list[list[type]]:
    """Runs the service until each attempt has an outcome, and returns the kinds of their events."""
    bus = await connect_bus(Service.VOICE, nats_url)
    async with build(settings, bus), asyncio.timeout(60):
        await bus.broker.start()
        while len(await calls.read(["dial.refused.*", "dial.placed.*"])) < len(events):
            await asyncio.sleep(0.05)
        await bus.broker.stop()
    return [[type(event) for event in await dial_events(calls, one)] for one in events]


async def test_after_a_restart_of_the_installation_no_person_is_dialled_by_an_old_order(
    settings: Settings, nats_url: str, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    ordered_at = datetime.now(UTC) - timedelta(hours=2)
    events = await order(start_call, ordered_at, ordered_at + timedelta(seconds=50))
    attempts = await dialled_attempts(settings, nats_url, calls, events)
    assert attempts == [[DialClaimed, DialRefused]] * ORDERS
    assert simulators.ledger.calls == []


async def test_settlements_that_were_requested_meanwhile_dial_no_old_order_either(
    settings: Settings, nats_url: str, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    now = datetime.now(UTC)
    events = await order(start_call, now - timedelta(hours=2), now + timedelta(minutes=10))
    for event in events:
        for checks in range(1, 4):
            call = event.call.model_copy(update={"settlement_checks": checks})
            await calls.append(CallSettlementRequested(call=call, occurred_at=now))
    attempts = await dialled_attempts(settings, nats_url, calls, events)
    assert attempts == [[DialClaimed, DialRefused]] * ORDERS
    assert simulators.ledger.calls == []


async def test_no_person_is_dialled_after_the_calling_hours_by_an_order_of_their_last_second(
    settings: Settings, nats_url: str, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    """Another order is as old, and its hours last."""
    now = datetime.now(UTC)
    hours = Permission(rule="calling_hours", detail="within 08:00-21:00", policy_version="test", until=now)
    longer = hours.model_copy(update={"until": now + timedelta(hours=1)})
    events = [
        await start_call(phone_number=f"+1212555013{number}", permission=permission, dialed_at=now)
        for number, permission in enumerate([hours, longer, hours])
    ]
    attempts = await dialled_attempts(settings, nats_url, calls, events)
    assert attempts == [[DialClaimed, DialRefused], [DialClaimed, DialPlaced], [DialClaimed, DialRefused]]
    assert len(simulators.ledger.calls) == 1
