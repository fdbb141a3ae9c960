"""How often the orchestrator reads at the leaders of its streams, and how many messages a call costs."""

import asyncio
import json
from base64 import b64decode
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from tests.builders.numbers import number_for
from tests.builders.secret_keys import TEST_KEYS
from tests.integration.call_orchestrator.conftest import Ask, running

from chassis import live, stream_reader
from chassis.barrier import wait_until_processed
from chassis.event_log import EventLog
from contracts import (
    DialClaimed,
    DialPlaced,
    Event,
    NumberChanged,
    TelephonyStatus,
    TelephonyStatusReported,
)
from contracts.filters import call_commands_filter, campaign_state_filter
from contracts.number_digests import NumberDigests
from contracts.streams import CALLS, NUMBERS, QUEUE, REQUESTS


class Traffic:
    """The messages that the server stores, and the reads at the leaders."""

    def __init__(self) -> None:
        self.subjects: list[str] = []
        self.reads: list[tuple[str, Any]] = []
        self.consumed: Counter[str] = Counter()

    async def on_stored(self, message: Msg) -> None:
        self.subjects.append(message.subject.split(".", 2)[2])

    async def on_read(self, message: Msg) -> None:
        body = json.loads(message.data or b"{}")
        self.reads.append((message.subject.rsplit(".", 1)[1], body.get("last_by_subj", body)))

    async def on_acknowledged(self, message: Msg) -> None:
        self.consumed[message.subject.split(".")[-6]] += 1

    def events(self, call_id: UUID) -> list[str]:
        """The events of CALLS about a call, and those of the chains, without the id."""
        return [one.replace(f".{call_id}", "") for one in self.subjects]


@asynccontextmanager
async def recorded(client: Client) -> AsyncIterator[Traffic]:
    traffic = Traffic()
    subscriptions = [
        await client.subscribe(f"live.{CALLS.name}.>", cb=traffic.on_stored),
        await client.subscribe("$JS.API.STREAM.MSG.GET.*", cb=traffic.on_read),
        await client.subscribe("$JS.ACK.>", cb=traffic.on_acknowledged),
    ]
    await client.flush()
    yield traffic
    for subscription in subscriptions:
        await subscription.unsubscribe()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


def report(call_id: UUID, status: TelephonyStatus) -> TelephonyStatusReported:
    return TelephonyStatusReported(call_id=call_id, attempt=1, provider_call_id="CA1", status=status)


async def until_quiet(client: Client, traffic: Traffic) -> None:
    """Waits until nothing is read or stored for a second, and the server does not stand still meanwhile."""
    while True:
        before = (len(traffic.reads), len(traffic.subjects), traffic.consumed.total())
        await asyncio.sleep(1)
        await wait_until_processed(client)
        if before == (len(traffic.reads), len(traffic.subjects), traffic.consumed.total()):
            return


async def test_an_unanswered_call_leads_to_three_reads_and_stores_few_messages(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "CHECK_SECONDS", 3600)
    monkeypatch.setattr(stream_reader, "IDLE_SECONDS", 3600)
    async with running(nats_url, 1, twilio_calls_per_second=100), recorded(bus_client) as traffic:
        # The service reads the newest grant and the clock when it starts, and the campaign at its first call.
        [first_id] = await ask("reminders", 1)
        await until(lambda: f"call.status_changed.{first_id}.dialing" in traffic.subjects)
        await until(lambda: traffic.consumed["orchestrator-facts"] == 1)
        await until_quiet(bus_client, traffic)
        for record in (traffic.reads, traffic.subjects, traffic.consumed):
            record.clear()
        [call_id] = await ask("reminders", 1, begin=1)
        await until(lambda: f"call.status_changed.{call_id}.dialing" in traffic.subjects)
        events: list[Event] = [
            DialClaimed(call_id=call_id, attempt=1),
            DialPlaced(call_id=call_id, attempt=1, provider_call_id="CA1"),
            report(call_id, TelephonyStatus.RINGING),
        ]
        for event in events:
            await calls.append(event)
        await until(lambda: f"call.status_changed.{call_id}.ringing" in traffic.subjects)
        await calls.append(report(call_id, TelephonyStatus.BUSY))
        await until(lambda: f"call.status_changed.{call_id}.busy" in traffic.subjects)
        await until(lambda: traffic.consumed["orchestrator-facts"] == 3)
    campaign, digests = campaign_state_filter("reminders"), NumberDigests(b64decode(TEST_KEYS["NUMBER_DIGEST_KEY"]))
    assert Counter(traffic.reads) == {
        (REQUESTS.name, call_commands_filter(call_id)): 1,
        (CALLS.name, campaign): 1,
        (NUMBERS.name, NumberChanged.subject_for(digests.of(number_for("reminders-1")))): 1,
    }, "the last one shows whether a call waits for the number"
    assert traffic.events(call_id) == [
        "call.created.pending",
        "admission.granted",
        "call.status_changed.dialing",
        "dial.claimed",
        "dial.placed",
        "telephony.status_reported",
        "call.status_changed.ringing",
        "telephony.status_reported",
        "call.status_changed.busy",
    ]
    assert traffic.consumed == {"orchestrator-requests": 1, "orchestrator-facts": 3}, "the grant and two reports"
    assert (await bus_client.jetstream().stream_info(QUEUE.name)).state.last_seq == 1, "only the first call joined"
