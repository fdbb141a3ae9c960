"""Deleting and erasing messages of a stream, and what remains of them in the files of nats-server."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.js.errors import APIError, NotFoundError

from call_orchestrator.adapters.nats.queue import NatsQueue
from centralita.embedded.servers import nats_server
from chassis.deletion import delete_message, erase_message
from chassis.event_log import EventLog, publish
from chassis.provision import provision
from contracts.streams import AUDIT, QUEUE, REQUESTS, Stream

NUMBERS = ("+12125550123", "+12125550124", "+12125550125")


@dataclass
class Server:
    client: Client
    folder: Path

    def files(self, stream: Stream) -> dict[int, bytes]:
        """The files of messages by their inodes: a file that is written again has another one."""
        return {file.stat().st_ino: file.read_bytes() for file in self.folder.rglob(f"{stream.name}/msgs/*.blk")}

    def contains(self, text: str) -> bool:
        return any(text.encode() in file.read_bytes() for file in self.folder.rglob("*") if file.is_file())


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    with nats_server(tmp_path) as url:
        client = await nats.connect(url)
        await provision(client)
        yield Server(client, tmp_path)
        await client.close()


async def store(server: Server) -> list[int]:
    return [(await publish(server.client, "call.requested", number.encode(), {})).seq for number in NUMBERS]


async def test_an_erased_message_is_in_no_file_of_the_server(server: Server) -> None:
    first, erased, last = await store(server)
    assert server.contains(NUMBERS[1])
    await erase_message(server.client, REQUESTS.name, erased)
    assert [server.contains(number) for number in NUMBERS] == [True, False, True]
    js = server.client.jetstream()
    assert [(await js.get_msg(REQUESTS.name, one)).data for one in (first, last)] == [
        NUMBERS[0].encode(),
        NUMBERS[2].encode(),
    ]
    with pytest.raises(NotFoundError):
        await js.get_msg(REQUESTS.name, erased)


@pytest.mark.parametrize("delete", [delete_message, erase_message])
async def test_a_message_that_no_longer_exists_is_deleted_without_effect(
    server: Server, delete: Callable[[Client, str, int], Awaitable[None]]
) -> None:
    sequences = await store(server)
    for _ in range(2):
        await delete(server.client, REQUESTS.name, sequences[0])
    await delete(server.client, REQUESTS.name, sequences[-1] + 1)
    assert (await server.client.jetstream().stream_info(REQUESTS.name)).state.messages == 2


async def test_a_refused_deletion_is_an_error(server: Server) -> None:
    stored = await publish(server.client, AUDIT.subjects[0].replace("*", "1").replace(">", "1"), b"{}", {})
    with pytest.raises(APIError):
        await delete_message(server.client, AUDIT.name, stored.seq)


async def test_a_call_that_leaves_the_queue_does_not_make_the_server_write_the_file_again(server: Server) -> None:
    stored = [(await publish(server.client, f"queue.joined.{number}", b"{}", {})).seq for number in range(2)]
    before = server.files(QUEUE)
    await NatsQueue(server.client, EventLog(server.client, QUEUE.name, source="test")).leave(stored[0])
    assert (await server.client.jetstream().stream_info(QUEUE.name)).state.messages == 1
    assert server.files(QUEUE).keys() == before.keys()
