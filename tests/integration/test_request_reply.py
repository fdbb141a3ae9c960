"""Requests and reads at a leader, on a real nats-server."""

import asyncio

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError, TimeoutError
from nats.js.errors import APIError, NotFoundError

from chassis import request_reply
from chassis.event_log import publish
from chassis.leader_get import get_newest_of_leader
from chassis.request_reply import request, request_json
from contracts.streams import CALLS


async def test_each_of_several_requests_gets_its_own_reply(bus_client: Client) -> None:
    async def answer(message: Msg) -> None:
        if message.data == b"0":
            await asyncio.sleep(0.05)  # the replies arrive in another order
        await message.respond(message.data)

    await bus_client.subscribe("asked", cb=answer)
    replies = await asyncio.gather(*(request(bus_client, "asked", str(number).encode()) for number in range(5)))
    assert [reply.data for reply in replies] == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_request_that_nobody_receives_fails_at_once(bus_client: Client) -> None:
    with pytest.raises(NoRespondersError):
        await request(bus_client, "asked", b"")


async def test_a_request_without_a_reply_ends_and_a_late_reply_is_ignored(
    bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    received: asyncio.Queue[Msg] = asyncio.Queue()
    await bus_client.subscribe("asked", cb=received.put)
    monkeypatch.setattr(request_reply, "REQUEST_TIMEOUT_SECONDS", 0.05)
    with pytest.raises(TimeoutError):
        await request(bus_client, "asked", b"")
    await (await received.get()).respond(b"late")
    await bus_client.flush()
    monkeypatch.undo()
    assert (await request(bus_client, f"$JS.API.STREAM.INFO.{CALLS.name}", b"")).data


async def test_an_error_of_the_api_is_raised_with_its_code(bus_client: Client) -> None:
    with pytest.raises(APIError) as error:
        await request_json(bus_client, "$JS.API.STREAM.INFO.NONE", b"")
    assert error.value.err_code == 10059


async def test_the_newest_message_of_the_leader_has_its_headers_and_position(bus_client: Client) -> None:
    with pytest.raises(NotFoundError):
        await get_newest_of_leader(bus_client, CALLS.name, "dial.placed.*")
    headers = {"ce-source": "voice", "x-name": "Núria: a, b"}
    stored = await publish(bus_client, "dial.placed.1", "ü".encode(), headers)
    newest = await get_newest_of_leader(bus_client, CALLS.name, "dial.placed.*")
    assert (newest.subject, newest.seq, newest.data, newest.stream) == (
        "dial.placed.1",
        stored.seq,
        "ü".encode(),
        "CALLS",
    )
    assert newest.headers == headers
    by_nats_py = await bus_client.jetstream().get_msg(CALLS.name, stored.seq)
    assert newest.time == by_nats_py.time


async def test_the_newest_message_of_the_leader_may_have_neither_headers_nor_a_body(bus_client: Client) -> None:
    await publish(bus_client, "dial.placed.1", b"", {})
    newest = await get_newest_of_leader(bus_client, CALLS.name, "dial.placed.*")
    assert (newest.data, newest.headers) == (b"", {})
