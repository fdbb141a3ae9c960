"""An import is all or nothing, also if it is cancelled, its process is killed, or the server fails."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from nats.aio.client import Client
from nats.js.api import DiscardPolicy

from centralita.commands.connections import connected
from centralita.embedded.servers import nats_server
from centralita.replay import importing
from centralita.replay.export_file import ExportWriter
from centralita.replay.import_headers import FoundImport, find_imports
from centralita.replay.importing import MAX_IN_FLIGHT, ImportInterrupted, ImportRefused, import_file
from centralita.replay.lost_requests import recorded_after
from centralita.replay.publisher import BatchPublisher
from centralita.replay.scope import Scope
from centralita.replay.undo_import import UndoRefused, undo_import, wait_until_processed
from chassis.dead_letter_acts import drop
from chassis.provision import provision
from chassis.stream_reader import last_sequence, read
from contracts.dead_letters import DeadLetter
from contracts.streams import CALLS, REQUESTS
from records.messages import Message

if TYPE_CHECKING:
    from tests.integration.centralita.conftest import Command

COUNT = 5 * MAX_IN_FLIGHT + 6
FOREIGN = "dial.claimed.foreign"
STARTED_AT = datetime(2026, 3, 2, 15, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An export with one message a second; every fifth is a request, and one message id occurs several times."""
    path = tmp_path / "log.jsonl.gz"
    with ExportWriter(path) as writer:
        for number in range(1, COUNT + 1):
            stream, subject = (
                (REQUESTS.name, "call.requested") if number % 5 == 0 else (CALLS.name, "dial.claimed.imported")
            )
            headers = {"ce-id": f"id-{max(number, 7)}", "Nats-Msg-Id": f"id-{max(number, 7)}"}
            time = STARTED_AT + timedelta(seconds=number)
            writer.write(Message(stream, number, time, subject, headers, str(number).encode()))
        writer.close(Scope(), {}, ())
    return path


async def bodies(client: Client) -> dict[str, list[int]]:
    """Returns the message bodies of each stream, in order; 0 for a message of no import."""
    return {
        name: [
            int(one.data or b"0") async for one in read(client, name, end_sequence=await last_sequence(client, name))
        ]
        for name in (CALLS.name, REQUESTS.name)
    }


WHOLE = {
    CALLS.name: [number for number in range(1, COUNT + 1) if number % 5],
    REQUESTS.name: [number for number in range(1, COUNT + 1) if number % 5 == 0],
}
NOTHING: dict[str, list[int]] = {CALLS.name: [], REQUESTS.name: []}


def after_publishing(number: int, act: Callable[[], object]) -> importing.Progress:
    """Returns a progress callback that calls `act` after that many messages are published."""

    def progress(stage: str, done: int, _: int) -> None:
        if (stage, done) == ("importing", number):
            act()

    return progress


async def wait_for_first_message(client: Client) -> None:
    """Returns when the target contains a message of an import."""
    while not await find_imports(client):
        await asyncio.sleep(0.01)


async def limit_requests(client: Client, max_messages: int) -> None:
    """Makes the stream REQUESTS refuse further messages once it has `max_messages`."""
    js = client.jetstream()
    config = (await js.stream_info(REQUESTS.name)).config
    await js.update_stream(replace(config, discard=DiscardPolicy.NEW, max_msgs=max_messages))


async def test_an_import_stores_its_messages_in_order_and_can_be_undone(bus_client: Client, file: Path) -> None:
    done = await import_file(bus_client, file, speed=None)
    assert await bodies(bus_client) == WHOLE
    assert await find_imports(bus_client) == [FoundImport(done.import_id, COUNT, COUNT)]
    assert await undo_import(bus_client, done.import_id) == COUNT
    assert await bodies(bus_client) == NOTHING
    assert await recorded_after(bus_client) == len(WHOLE[REQUESTS.name]), "verify takes no removed message for lost"


async def test_an_import_with_a_dead_letter_is_undone_only_after_it_is_dropped(bus_client: Client, file: Path) -> None:
    done = await import_file(bus_client, file, speed=None)
    first = await bus_client.jetstream().get_msg(REQUESTS.name, 1)
    dead_letter = DeadLetter.of(
        stream=REQUESTS.name, sequence=1, consumer="test", subject=first.subject or "", reasons=[], deliveries=1
    )
    await bus_client.jetstream().publish(dead_letter.dead_letter_subject, dead_letter.model_dump_json().encode())
    with pytest.raises(UndoRefused, match="Dead letters refer to 1 messages of this import in REQUESTS"):
        await undo_import(bus_client, done.import_id)
    assert await bodies(bus_client) == WHOLE
    await drop(bus_client, 1)
    assert await undo_import(bus_client, done.import_id) == COUNT - 1, "the dropped request is erased"


async def test_an_import_right_after_an_undone_one_is_complete(bus_client: Client, file: Path) -> None:
    """The server remembers message ids for two minutes, even those of deleted messages."""
    for _ in range(3):
        done = await import_file(bus_client, file, speed=None)
        assert await bodies(bus_client) == WHOLE
        await undo_import(bus_client, done.import_id)


async def test_the_same_file_is_not_imported_twice(bus_client: Client, file: Path) -> None:
    done = await import_file(bus_client, file, speed=None)
    with pytest.raises(
        ImportRefused, match=f"contains this file as the import {done.import_id}; `centralita replay undo-import"
    ):
        await import_file(bus_client, file, speed=None, into_existing=True)
    assert await bodies(bus_client) == WHOLE


async def test_undoing_one_of_two_imports_keeps_the_other(bus_client: Client, file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.gz"
    with ExportWriter(other) as writer:
        writer.write(Message(CALLS.name, 1, STARTED_AT, FOREIGN, {"ce-id": "id-7"}, b""))
        writer.close(Scope(), {}, ())
    first = await import_file(bus_client, other, speed=None)
    second = await import_file(bus_client, file, speed=None, into_existing=True)
    await undo_import(bus_client, second.import_id)
    assert await bodies(bus_client) == {CALLS.name: [0], REQUESTS.name: []}
    assert await find_imports(bus_client) == [FoundImport(first.import_id, 1, 1)]


async def test_a_cancelled_import_removes_its_own_messages_and_no_others(bus_client: Client, file: Path) -> None:
    js = bus_client.jetstream()
    await js.publish(FOREIGN, b"")
    import_task = asyncio.create_task(import_file(bus_client, file, speed=0.01, into_existing=True))
    await wait_for_first_message(bus_client)
    await js.publish(FOREIGN, b"")
    import_task.cancel()
    with pytest.raises(asyncio.CancelledError) as stopped:
        await import_task
    assert "are removed again" in stopped.value.__notes__[0]
    assert await bodies(bus_client) == {CALLS.name: [0, 0], REQUESTS.name: []}


async def test_a_cancellation_that_a_library_swallows_still_stops_the_import(
    bus_client: Client, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `asyncio.wait_for` does before Python 3.12, if its result arrives together with the cancellation."""
    publish = BatchPublisher.publish

    async def swallow_a_cancellation(publisher: BatchPublisher, *message: Any) -> None:
        if publisher.unacknowledged == 1:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
        await publish(publisher, *message)

    monkeypatch.setattr(BatchPublisher, "publish", swallow_a_cancellation)
    running = asyncio.create_task(import_file(bus_client, file, speed=None))
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await bodies(bus_client) == NOTHING


@pytest.mark.parametrize("existing", [0, 1])
async def test_an_import_into_a_target_that_becomes_full_is_undone(
    bus_client: Client, file: Path, monkeypatch: pytest.MonkeyPatch, existing: int
) -> None:
    js = bus_client.jetstream()
    for _ in range(existing):
        await js.publish("call.requested", b"")

    async def provision_small(*_: object, **__: object) -> None:
        await limit_requests(bus_client, COUNT // 10)

    monkeypatch.setattr(importing, "provision", provision_small)
    with pytest.raises(ImportInterrupted, match=r"maximum messages exceeded.*are removed again"):
        await import_file(bus_client, file, speed=None, into_existing=True)
    assert await bodies(bus_client) == {CALLS.name: [], REQUESTS.name: [0] * existing}


async def test_messages_in_flight_when_an_import_fails_are_removed_too(bus_client: Client, file: Path) -> None:
    def fail() -> None:
        raise RuntimeError("another error")

    for number in (1, 2, MAX_IN_FLIGHT - 1, MAX_IN_FLIGHT, COUNT - 1, COUNT):
        with pytest.raises(ImportInterrupted, match=r"another error.*are removed again"):
            await import_file(bus_client, file, speed=None, progress=after_publishing(number, fail))
        assert await bodies(bus_client) == NOTHING


async def test_undo_waits_until_received_messages_are_stored(bus_client: Client) -> None:
    """Measured: after 2,000 messages on one connection, stream info may be answered before any of them is stored."""
    for again in range(1, 11):
        for _ in range(2000):
            await bus_client.publish(FOREIGN)
        await wait_until_processed(bus_client.jetstream(), CALLS.name)
        assert await last_sequence(bus_client, CALLS.name) == again * 2000
    assert await bodies(bus_client) == {CALLS.name: [0] * 20_000, REQUESTS.name: []}


async def test_after_a_killed_import_the_next_one_names_the_undo_command(
    bus_client: Client, nats_url: str, file: Path, command: "Callable[..., Command]"
) -> None:
    script = (
        "import asyncio, os, signal, sys, nats\n"
        "from pathlib import Path\n"
        "from centralita.replay.importing import import_file\n"
        "def progress(step, done, of):\n"
        f"    done == {COUNT // 2} and os.kill(os.getpid(), signal.SIGKILL)\n"
        "async def main():\n"
        "    client = await nats.connect(sys.argv[1])\n"
        "    await import_file(client, Path(sys.argv[2]), speed=None, progress=progress)\n"
        "asyncio.run(main())\n"
    )
    killed = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script, nats_url, str(file)], timeout=200, capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (partial,) = await find_imports(bus_client)
    assert 0 < partial.messages < COUNT
    for into_existing in (False, True):
        with pytest.raises(
            ImportRefused, match=f"contains {partial.messages} of {COUNT} messages of the import {partial.import_id}"
        ):
            await import_file(bus_client, file, speed=None, into_existing=into_existing)
    refused = await asyncio.to_thread(command, "replay", "import", file, environment={"NATS_URL": nats_url})
    assert refused.code == 1
    remedy = refused.err.split("`")[1].split()[1:]
    undone = await asyncio.to_thread(command, *remedy, environment={"NATS_URL": nats_url})
    expected = f"{partial.messages} messages of the import {partial.import_id} removed"
    assert (undone.code, undone.out.strip()) == (0, expected)
    await import_file(bus_client, file, speed=None)
    assert await bodies(bus_client) == WHOLE


async def test_ctrl_c_undoes_the_import_and_reports_it(bus_client: Client, nats_url: str, file: Path) -> None:
    line = [sys.executable, "-m", "centralita", "replay", "import", str(file), "--speed", "0.01"]
    process = await asyncio.create_subprocess_exec(
        *line, env={"PATH": os.environ["PATH"], "NATS_URL": nats_url}, stderr=subprocess.PIPE
    )
    await wait_for_first_message(bus_client)
    process.send_signal(signal.SIGINT)
    _, stderr = await process.communicate()
    assert process.returncode == 130
    assert "it was cancelled. All messages that it had published are removed again." in stderr.decode()
    assert await bodies(bus_client) == NOTHING


class RestartableServer:
    """A NATS server that can be killed with SIGKILL and started again with the same data and port."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._stack = folder, ExitStack()
        self.url = self._stack.enter_context(nats_server(folder))

    def kill(self) -> None:
        (ports,) = (self._folder / "ports").glob("*.ports")
        os.kill(int(ports.stem.rpartition("_")[2]), signal.SIGKILL)

    async def restart(self) -> None:
        port = urlsplit(self.url).port
        assert port is not None
        await asyncio.to_thread(self._stack.enter_context, nats_server(self._folder, port=port))

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RestartableServer]:
    restartable = RestartableServer(tmp_path / "restartable")
    yield restartable
    restartable.close()


async def test_a_server_that_is_killed_and_restarted_contains_no_message_of_the_import(
    server: RestartableServer, file: Path
) -> None:
    async with connected(server.url, reconnects=True) as client:
        js = client.jetstream()
        await provision(client)
        await js.publish(FOREIGN, b"")
        kill = after_publishing(COUNT // 2, server.kill)
        running = asyncio.create_task(import_file(client, file, speed=None, into_existing=True, progress=kill))
        while client.is_connected:
            await asyncio.sleep(0.01)
        await server.restart()
        with pytest.raises(ImportInterrupted, match=r"the connection was lost.*are removed again"):
            await running
        assert await bodies(client) == {CALLS.name: [0], REQUESTS.name: []}
        await import_file(client, file, speed=None, into_existing=True)
        assert await bodies(client) == {**WHOLE, CALLS.name: [0, *WHOLE[CALLS.name]]}


async def test_if_the_server_stays_down_the_error_names_what_remains_and_the_undo_command(
    server: RestartableServer, file: Path, monkeypatch: pytest.MonkeyPatch, command: "Callable[..., Command]"
) -> None:
    monkeypatch.setattr(importing, "UNDO_SECONDS", 0)
    async with connected(server.url, reconnects=True) as client:
        with pytest.raises(ImportInterrupted, match="could not be removed") as interrupted:
            await import_file(client, file, speed=None, progress=after_publishing(COUNT // 2, server.kill))
    error = str(interrupted.value)
    await server.restart()
    async with connected(server.url, reconnects=True) as client:
        (partial,) = await find_imports(client)
        assert f"header centralita-import: {partial.import_id}. " in error
        assert partial.messages <= int(error.partition("at most ")[2].split()[0]) < COUNT
        done = await asyncio.to_thread(command, *error.split("`")[1].split()[1:], environment={"NATS_URL": server.url})
        assert done.code == 0, done.err
        assert await bodies(client) == NOTHING
