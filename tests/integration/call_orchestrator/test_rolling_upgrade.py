"""Two builds of the orchestrator on the same durable consumers: the newer one knows a value and a field more.

The newer build is a process with a changed copy of the package `contracts`, the older one is this build.
"""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError
from tests.builders.calls import NOW, a_call
from tests.builders.consumers import is_settled
from tests.builders.secret_keys import TEST_KEYS
from tests.integration.call_orchestrator.conftest import running

import contracts
from centralita.embedded.vendors import ANY_TIME
from chassis import delivery
from chassis.event_log import EventLog
from chassis.metrics import UNREADABLE
from contracts import (
    CallConcluded,
    CallDecision,
    CallStatus,
    ConversationEnded,
    Disposition,
    Envelope,
    Service,
    TelephonyStatus,
    TelephonyStatusReported,
)
from contracts.consumers import ORCHESTRATOR_FACTS
from contracts.filters import call_state_filter
from contracts.streams import CALLS, DEAD_LETTERS

COUNT = 12
NEW_VALUE = "escalated"


@pytest.fixture
def newer_contracts(tmp_path: Path) -> Path:
    """A folder with the contracts of the newer build: one more disposition, one more field of a call."""
    package = tmp_path / "contracts"
    shutil.copytree(Path(contracts.__file__).parent, package)
    for module, before, added in (
        ("vocabulary.py", '    CONFIRMED = "confirmed"\n', f'    ESCALATED = "{NEW_VALUE}"\n'),
        ("call.py", "    created_at: Instant\n", "    priority: int = 0\n"),
    ):
        text = (package / module).read_text()
        assert text.count(before) == 1
        (package / module).write_text(text.replace(before, before + added))
    return tmp_path


@asynccontextmanager
async def newer_replica(nats_url: str, contracts_folder: Path) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "call_orchestrator"),
        env={
            "PATH": os.environ["PATH"],
            "NATS_URL": nats_url,
            "ALLOWED_COUNTRIES": "US",
            "CALLING_RULES": ANY_TIME,
            **TEST_KEYS,
            "PYTHONPATH": str(contracts_folder),
        },
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout
        async with asyncio.timeout(60):
            while b"listening" not in (line := await process.stdout.readline()):
                assert line, "the process has ended"
        yield
    finally:
        process.terminate()
        await process.communicate()


async def append_as_newer_build(client: Client, event: CallDecision, **call: object) -> UUID:
    """Appends the event with fields of its call replaced, as the newer build writes it."""
    body = event.model_dump(mode="json")
    body["call"] |= call
    envelope = Envelope.of(id=str(uuid4()), source=Service.ORCHESTRATOR, time=NOW)
    await client.jetstream().publish(
        event.subject, json.dumps(body).encode(), headers=envelope.headers(envelope.source)
    )
    return event.call_id


async def newest(client: Client, call_id: UUID) -> tuple[str, dict[str, object]]:
    message = await client.jetstream().get_last_msg(CALLS.name, call_state_filter(call_id))
    return (message.subject or "").split(".")[-1], json.loads(message.data or b"")["call"]


async def test_a_rolling_upgrade_over_an_additive_change_loses_nothing(
    nats_url: str, bus_client: Client, calls: EventLog, newer_contracts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "UNREADABLE_DELAYS", (0.2,))  # the server may choose the older build several times
    met = UNREADABLE.labels(reader=ORCHESTRATOR_FACTS.name)
    before, js = met._value.get(), bus_client.jetstream()
    ids: list[UUID] = []
    async with running(nats_url, 1):
        for number in range(3 * COUNT):
            call = a_call(CallStatus.IN_PROGRESS, call_id=uuid4(), disposition=Disposition.CONFIRMED)
            unreadable_state = {"disposition": NEW_VALUE} if number < COUNT else {}
            call_id = await append_as_newer_build(
                bus_client, CallConcluded(call=call, occurred_at=NOW), priority=7, **unreadable_state
            )
            ids.append(call_id)
            if number >= 2 * COUNT:  # the message itself has the new value
                ended = ConversationEnded(
                    call_id=call_id, attempt=1, turn=1, disposition=Disposition.CONFIRMED, summary=""
                )
                body = ended.model_dump(mode="json") | {"disposition": NEW_VALUE}
                headers = Envelope.of(id=str(uuid4()), source="", time=NOW).headers(implied_source="")
                await js.publish(ended.subject, json.dumps(body).encode(), headers=headers)
            await calls.append(
                TelephonyStatusReported(
                    call_id=call_id, attempt=1, provider_call_id="CA1", status=TelephonyStatus.COMPLETED
                )
            )
        async with asyncio.timeout(60):
            while met._value.get() < before + 2 * COUNT:  # the older build has met every one of them
                await asyncio.sleep(0.05)
        async with newer_replica(nats_url, newer_contracts), asyncio.timeout(120):
            while not await is_settled(bus_client, ORCHESTRATOR_FACTS):
                await asyncio.sleep(0.2)
    assert {(await newest(bus_client, call_id))[0] for call_id in ids} == {CallStatus.COMPLETED}
    assert {(await newest(bus_client, call_id))[1]["priority"] for call_id in ids} == {7}
    assert (await js.stream_info(DEAD_LETTERS.name)).state.messages == 0
    with pytest.raises(NotFoundError):
        await js.get_last_msg(DEAD_LETTERS.name, "dead_letter.>")
