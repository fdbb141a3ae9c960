"""``kill -9`` of two orchestrators while requests and their cancels arrive together: no cancel is lost (ADR 21).

``PAIRS=10000 pytest tests/chaos/test_command_order.py -s`` is the large run.
"""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import nats
import pytest
from nats.aio.client import Client
from tests.builders.secret_keys import TEST_KEYS

from centralita.embedded.processes import SupervisedProcess
from centralita.embedded.servers import nats_server
from centralita.embedded.vendors import ANY_TIME
from chassis.provision import provision
from chassis.stream_api import jetstream_of
from chassis.stream_reader import last_sequence, read
from contracts import (
    Call,
    CallCancelRequested,
    CallCreated,
    CallDecision,
    CallRequested,
    CallStatus,
    Event,
    HangupReason,
    call_id_of,
)
from contracts.consumers import ORCHESTRATOR_COMMANDS, ORCHESTRATOR_REQUESTS
from contracts.filters import call_state_filter
from contracts.streams import CALLS, DEAD_LETTERS, REQUESTS
from records.messages import Message

PAIRS = int(os.environ.get("PAIRS", "1000"))
BATCH = 500
SECONDS_BETWEEN_KILLS = 4.0
MAX_KILLS = 12


def pair(number: int) -> tuple[CallRequested, CallCancelRequested]:
    request = CallRequested(
        request_id=f"pair-{number}",
        campaign_id="pairs",
        contact_id=str(number),
        phone_number="+12125550123",
        script_template="Hello.",
        language="en",
    )
    return request, CallCancelRequested(call_id=call_id_of(f"pair-{number}"))


async def publish(client: Client, events: Sequence[Event]) -> None:
    js = client.jetstream(publish_async_max_pending=2 * BATCH)
    acks = [await js.publish_async(event.subject, event.model_dump_json().encode()) for event in events]
    await asyncio.gather(*acks)


async def is_handled(client: Client) -> bool:
    consumers = (ORCHESTRATOR_REQUESTS, ORCHESTRATOR_COMMANDS)
    infos = [
        await jetstream_of(client, REQUESTS.name).consumer_info(REQUESTS.name, consumer.name) for consumer in consumers
    ]
    return not any(info.num_pending or info.num_ack_pending for info in infos)


async def kill_in_turn(services: Sequence[SupervisedProcess]) -> int:
    """Kills the services one after the other, `MAX_KILLS` times, and returns how often."""
    for number in range(MAX_KILLS):
        await asyncio.sleep(SECONDS_BETWEEN_KILLS)
        services[number % len(services)].kill()
    return MAX_KILLS


async def messages(client: Client, stream: str, subject: str) -> list[Message]:
    end = await last_sequence(client, stream)
    return [Message.of(one) async for one in read(client, stream, [subject], end_sequence=end)]


@pytest.mark.timeout(1500)
async def test_no_cancel_is_lost_when_orchestrators_are_killed(tmp_path: Path) -> None:
    with nats_server(tmp_path / "nats") as url:
        client = await nats.connect(url)
        await provision(client)
        environment = {
            "PATH": "/usr/bin:/bin",
            "NATS_URL": url,
            "LOG_LEVEL": "WARNING",
            "ALLOWED_COUNTRIES": "US",
            "CALLING_RULES": ANY_TIME,
            **TEST_KEYS,
        }
        services = [
            SupervisedProcess(name, [sys.executable, "-m", "call_orchestrator"], environment, tmp_path / f"{name}.log")
            for name in ("call-orchestrator", "call-orchestrator-2")
        ]
        for service in services:
            await service.start()
        killing = asyncio.create_task(kill_in_turn(services))
        try:
            for start in range(0, PAIRS, BATCH):
                numbers = range(start, min(start + BATCH, PAIRS))
                await publish(client, [event for number in numbers for event in pair(number)])
            while not await is_handled(client):
                await asyncio.sleep(0.5)
        finally:
            killing.cancel()
            for service in services:
                await service.stop()
        await check(client, sum(service.restarts for service in services))
        await client.close()


async def check(client: Client, kills: int) -> None:
    histories: dict[UUID, list[tuple[Message, CallDecision]]] = {}
    for message in await messages(client, CALLS.name, call_state_filter("*")):
        event = message.event()
        assert isinstance(event, CallDecision)
        histories.setdefault(event.call_id, []).append((message, event))
    cancels = await messages(client, REQUESTS.name, CallCancelRequested.subjects())
    canceled_at = {UUID(message.subject.split(".")[2]): message.time for message in cancels}
    lost = [call_id for call_id in canceled_at if not is_canceled(histories[call_id][-1][1].call)]
    overtaken = [
        call_id
        for call_id, history in histories.items()
        if isinstance(history[0][1], CallCreated) and canceled_at[call_id] < history[0][0].time
    ]
    dialled = [call_id for call_id in overtaken if any(event.call.attempt for _, event in histories[call_id])]
    ends = Counter(history[-1][1].call.status.value for history in histories.values())
    sys.stdout.write(
        f"\n{PAIRS} pairs, {kills} kills: {len(overtaken)} cancels were stored before their call was created, "
        f"{len(dialled)} of these calls were dialled; {len(lost)} cancels lost; {dict(ends)}\n"
    )
    assert len(histories) == PAIRS
    assert overtaken
    assert lost == []
    assert dialled == []
    names = Counter(event.event_name for history in histories.values() for _, event in history)
    assert names["call.created"] == PAIRS
    assert names["call.command_refused"] == 0
    assert await last_sequence(client, DEAD_LETTERS.name) == 0


def is_canceled(call: Call) -> bool:
    """Whether the cancel took effect. A live call ends when its hang-up is reported, which no service does here."""
    return call.status is CallStatus.CANCELED or call.hangup_reason is HangupReason.CANCELED
