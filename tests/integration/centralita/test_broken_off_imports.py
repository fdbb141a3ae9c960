"""An import is whole or nothing, whatever breaks it off: its own process, the person who waits, the server."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from nats.aio.client import Client
from nats.js.api import DiscardPolicy, StreamConfig

from centralita.commands import options
from centralita.embedded.servers import nats_server
from centralita.replay import importing
from centralita.replay.files import Writer
from centralita.replay.importing import IN_FLIGHT, Interrupted, Refused, import_file
from centralita.replay.marks import Standing, standing
from centralita.replay.messages import Message
from centralita.replay.reading import last_sequence, read
from centralita.replay.scope import Scope
from centralita.replay.undo_import import settled, take_back
from chassis.provision import provision
from contracts.streams import CALLS, REQUESTS

if TYPE_CHECKING:
    from tests.integration.centralita.conftest import Command

COUNT = 5 * IN_FLIGHT + 6
FOREIGN = "dial.claimed.foreign"
BEGUN = datetime(2026, 3, 2, 15, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An export in which every fifth message is a request, one a second; one id comes twice."""
    path = tmp_path / "log.jsonl.gz"
    with Writer(path) as writer:
        for number in range(1, COUNT + 1):
            stream, subject = (
                (REQUESTS.name, "call.requested") if number % 5 == 0 else (CALLS.name, "dial.claimed.imported")
            )
            headers = {"ce-id": f"id-{max(number, 7)}", "Nats-Msg-Id": f"id-{max(number, 7)}"}
            time = BEGUN + timedelta(seconds=number)
            writer.write(Message(stream, number, time, subject, headers, str(number).encode()))
        writer.close(Scope(), {}, ())
    return path


async def bodies(client: Client) -> dict[str, list[int]]:
    """What stands in each of the two streams, in its order; a foreign message is 0."""
    return {
        name: [int(one.body or b"0") async for one in read(client, name, upto=await last_sequence(client, name))]
        for name in (CALLS.name, REQUESTS.name)
    }


WHOLE = {
    CALLS.name: [number for number in range(1, COUNT + 1) if number % 5],
    REQUESTS.name: [number for number in range(1, COUNT + 1) if number % 5 == 0],
}
NOTHING: dict[str, list[int]] = {CALLS.name: [], REQUESTS.name: []}


def at(number: int, act: Callable[[], object]) -> importing.Progress:
    """Does something once that many messages are published."""

    def told(step: str, done: int, _: int) -> None:
        if (step, done) == ("importing", number):
            act()

    return told


async def begun(client: Client) -> None:
    """Until something of an import stands in the target."""
    while not await standing(client):
        await asyncio.sleep(0.01)


async def limit(client: Client, most: int) -> None:
    """Makes REQUESTS refuse what comes after so many messages."""
    subjects = list(REQUESTS.subjects)
    config = StreamConfig(REQUESTS.name, subjects=subjects, discard=DiscardPolicy.NEW, max_msgs=most)
    await client.jetstream().update_stream(config)


async def test_what_is_imported_stands_there_in_its_order_and_can_be_taken_back(bus_client: Client, file: Path) -> None:
    done = await import_file(bus_client, file, speed=None)
    assert await bodies(bus_client) == WHOLE
    assert await standing(bus_client) == [Standing(done.import_id, COUNT, COUNT)]
    assert await take_back(bus_client, done.import_id) == COUNT
    assert await bodies(bus_client) == NOTHING


async def test_right_after_one_was_taken_back_an_import_is_whole_too(bus_client: Client, file: Path) -> None:
    """The server remembers for two minutes what it has heard, even if it has been removed."""
    for _ in range(3):
        done = await import_file(bus_client, file, speed=None)
        assert await bodies(bus_client) == WHOLE
        await take_back(bus_client, done.import_id)


async def test_the_same_file_is_not_imported_twice(bus_client: Client, file: Path) -> None:
    done = await import_file(bus_client, file, speed=None)
    with pytest.raises(Refused, match=f"already, as the import {done.import_id}; `centralita replay take-back"):
        await import_file(bus_client, file, speed=None, into_existing=True)
    assert await bodies(bus_client) == WHOLE


async def test_of_two_imports_the_one_is_taken_back_and_the_other_stays(
    bus_client: Client, file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.gz"
    with Writer(other) as writer:
        writer.write(Message(CALLS.name, 1, BEGUN, FOREIGN, {"ce-id": "id-7"}, b""))
        writer.close(Scope(), {}, ())
    first = await import_file(bus_client, other, speed=None)
    second = await import_file(bus_client, file, speed=None, into_existing=True)
    await take_back(bus_client, second.import_id)
    assert await bodies(bus_client) == {CALLS.name: [0], REQUESTS.name: []}
    assert await standing(bus_client) == [Standing(first.import_id, 1, 1)]


async def test_a_cancelled_import_takes_back_its_own_messages_and_no_others(bus_client: Client, file: Path) -> None:
    js = bus_client.jetstream()
    await js.publish(FOREIGN, b"")
    slowly = asyncio.create_task(import_file(bus_client, file, speed=0.01, into_existing=True))
    await begun(bus_client)
    await js.publish(FOREIGN, b"")
    slowly.cancel()
    with pytest.raises(asyncio.CancelledError) as stopped:
        await slowly
    assert "nothing of it is left" in stopped.value.__notes__[0]
    assert await bodies(bus_client) == {CALLS.name: [0, 0], REQUESTS.name: []}


@pytest.mark.parametrize("already", [0, 1])
async def test_a_target_that_takes_no_more_is_left_as_it_was(
    bus_client: Client, file: Path, monkeypatch: pytest.MonkeyPatch, already: int
) -> None:
    js = bus_client.jetstream()
    for _ in range(already):
        await js.publish("call.requested", b"")

    async def small(_: object, *, replicas: int) -> None:
        await limit(bus_client, COUNT // 10)

    monkeypatch.setattr(importing, "provision", small)
    with pytest.raises(Interrupted, match=r"maximum messages exceeded.*nothing of it is left"):
        await import_file(bus_client, file, speed=None, into_existing=True)
    assert await bodies(bus_client) == {CALLS.name: [], REQUESTS.name: [0] * already}


async def test_what_is_on_its_way_when_it_is_broken_off_is_taken_back_too(bus_client: Client, file: Path) -> None:
    def broken() -> None:
        raise RuntimeError("something else broke")

    for number in (1, 2, IN_FLIGHT - 1, IN_FLIGHT, COUNT - 1, COUNT):
        with pytest.raises(Interrupted, match=r"something else broke.*nothing of it is left"):
            await import_file(bus_client, file, speed=None, progress=at(number, broken))
        assert await bodies(bus_client) == NOTHING


async def test_what_the_server_has_received_and_not_stored_yet_is_waited_for(bus_client: Client) -> None:
    """Measured: asked after 2,000 messages on the same connection, it may answer before any of them stands there."""
    for again in range(1, 11):
        for _ in range(2000):
            await bus_client.publish(FOREIGN)
        await settled(bus_client.jetstream(), CALLS.name)
        assert await last_sequence(bus_client, CALLS.name) == again * 2000
    assert await bodies(bus_client) == {CALLS.name: [0] * 20_000, REQUESTS.name: []}


async def test_a_process_that_is_killed_leaves_what_the_next_import_refuses_and_names(
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
        subprocess.run, [sys.executable, "-c", script, nats_url, str(file)], timeout=60, capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (left,) = await standing(bus_client)
    assert 0 < left.messages < COUNT
    for into_existing in (False, True):
        with pytest.raises(Refused, match=f"of the import {left.import_id} {left.messages} of {COUNT} messages stand"):
            await import_file(bus_client, file, speed=None, into_existing=into_existing)
    said = await asyncio.to_thread(command, "replay", "import", file, environment={"NATS_URL": nats_url})
    assert said.code == 1
    remedy = said.err.split("`")[1].split()[1:]
    said = await asyncio.to_thread(command, *remedy, environment={"NATS_URL": nats_url})
    assert (said.code, said.out.strip()) == (0, f"{left.messages} messages removed; nothing of it is left")
    await import_file(bus_client, file, speed=None)
    assert await bodies(bus_client) == WHOLE


async def test_ctrl_c_takes_back_and_says_so(bus_client: Client, nats_url: str, file: Path) -> None:
    line = [sys.executable, "-m", "centralita", "replay", "import", str(file), "--speed", "0.01"]
    process = await asyncio.create_subprocess_exec(
        *line, env={"PATH": os.environ["PATH"], "NATS_URL": nats_url}, stderr=subprocess.PIPE
    )
    await begun(bus_client)
    process.send_signal(signal.SIGINT)
    _, said = await process.communicate()
    assert process.returncode == 130
    assert "it was told to stop. What it had published is taken back: nothing of it is left." in said.decode()
    assert await bodies(bus_client) == NOTHING


class Mortal:
    """A NATS server that can be killed as an accident would, and started again where it was."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._stack = folder, ExitStack()
        self.url = self._stack.enter_context(nats_server(folder))

    def kill(self) -> None:
        (ports,) = (self._folder / "ports").glob("*.ports")
        os.kill(int(ports.stem.rpartition("_")[2]), signal.SIGKILL)

    async def start_again(self) -> None:
        port = urlsplit(self.url).port
        assert port is not None
        await asyncio.to_thread(self._stack.enter_context, nats_server(self._folder, port=port))

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Mortal]:
    server = Mortal(tmp_path / "mortal")
    yield server
    server.close()


async def test_a_server_that_dies_and_comes_back_holds_nothing_of_the_import(mortal: Mortal, file: Path) -> None:
    async with options.connected(mortal.url, stays=True) as client:
        js = client.jetstream()
        await provision(js)
        await js.publish(FOREIGN, b"")
        stopped = at(COUNT // 2, mortal.kill)
        running = asyncio.create_task(import_file(client, file, speed=None, into_existing=True, progress=stopped))
        while client.is_connected:
            await asyncio.sleep(0.01)
        await mortal.start_again()
        with pytest.raises(Interrupted, match=r"the connection was lost.*nothing of it is left"):
            await running
        assert await bodies(client) == {CALLS.name: [0], REQUESTS.name: []}
        await import_file(client, file, speed=None, into_existing=True)
        assert await bodies(client) == {**WHOLE, CALLS.name: [0, *WHOLE[CALLS.name]]}


async def test_where_a_server_does_not_come_back_it_is_said_what_is_left_and_what_removes_it(
    mortal: Mortal, file: Path, monkeypatch: pytest.MonkeyPatch, command: "Callable[..., Command]"
) -> None:
    monkeypatch.setattr(importing, "PATIENCE_SECONDS", 0)
    async with options.connected(mortal.url, stays=True) as client:
        with pytest.raises(Interrupted, match="could not be taken back") as interrupted:
            await import_file(client, file, speed=None, progress=at(COUNT // 2, mortal.kill))
    said = str(interrupted.value)
    await mortal.start_again()
    async with options.connected(mortal.url, stays=True) as client:
        (left,) = await standing(client)
        assert f"header centralita-import: {left.import_id}. " in said
        assert left.messages <= int(said.partition("left are at most ")[2].split()[0]) < COUNT
        done = await asyncio.to_thread(command, *said.split("`")[1].split()[1:], environment={"NATS_URL": mortal.url})
        assert done.code == 0, done.err
        assert await bodies(client) == NOTHING
