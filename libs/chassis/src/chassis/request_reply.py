"""Requests over NATS and their replies, all of a connection on one subscription.

`request` does what ``Client.request`` of nats-py does at a lower cost: its reply subjects are numbered, not random, and
its timeout is a timer of the event loop, not an ``asyncio.wait_for``.
"""

import asyncio
import itertools
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import ConnectionDrainingError, NoRespondersError, TimeoutError
from nats.js.errors import APIError

from chassis.leader_retry import REQUEST_TIMEOUT_SECONDS

_NO_RESPONDERS = "503"


async def request(client: Client, subject: str, body: bytes, headers: dict[str, str] | None = None) -> Msg:
    """Returns the reply. Raises an error of nats-py; TimeoutError after `REQUEST_TIMEOUT_SECONDS`."""
    replies, loop = await replies_of(client), asyncio.get_running_loop()
    reply: asyncio.Future[Msg] = loop.create_future()
    reply_subject = replies.expect(lambda message: None if reply.done() else reply.set_result(message))
    timer = loop.call_later(REQUEST_TIMEOUT_SECONDS, _time_out, reply)
    try:
        await client.publish(subject, body, reply=reply_subject, headers=headers)
        message = await reply
    finally:
        timer.cancel()
        replies.forget(reply_subject)
    if not message.data and (message.headers or {}).get("Status") == _NO_RESPONDERS:
        raise NoRespondersError
    return message


async def request_all(
    client: Client, requests: Sequence[tuple[str, bytes, dict[str, str]]], seconds: float | None = None
) -> list[Msg | None]:
    """Sends all requests (subject, body, headers) at once, and returns their replies in the same order.

    None: there was no reply within `seconds`, or `REQUEST_TIMEOUT_SECONDS`. Raises an error of nats-py.
    """
    replies, has_all = await replies_of(client), asyncio.Event()
    found: list[Msg | None] = [None] * len(requests)
    expected: list[str] = []
    open_requests = len(requests)

    def receive(index: int, message: Msg) -> None:
        nonlocal open_requests
        open_requests -= found[index] is None
        found[index] = message
        if open_requests == 0:
            has_all.set()

    if not requests:
        return found
    try:
        for index, (subject, body, headers) in enumerate(requests):
            expected.append(replies.expect(partial(receive, index)))
            await client.publish(subject, body, reply=expected[-1], headers=headers)
        with suppress(asyncio.TimeoutError):
            async with asyncio.timeout(seconds or REQUEST_TIMEOUT_SECONDS):
                await has_all.wait()
    finally:
        for reply in expected:
            replies.forget(reply)
    return found


async def request_json(
    client: Client, subject: str, body: bytes, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    """Returns the reply of JetStream's API or of a stream. Raises an error of nats-py; APIError if it is an error."""
    answer: dict[str, Any] = json.loads((await request(client, subject, body, headers)).data)
    if error := answer.get("error"):
        APIError.from_error(error)  # raises the error of its code
    return answer


def _time_out(reply: asyncio.Future[Msg]) -> None:
    if not reply.done():
        reply.set_exception(TimeoutError())


class Replies:
    """The replies to all requests of one connection.

    A subscription for each request would cost two more commands and a task of nats-py for each message.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._numbers = itertools.count()
        self._receivers: dict[str, Callable[[Msg], None]] = {}

    def expect(self, receive: Callable[[Msg], None]) -> str:
        """Returns the reply subject of a new request. `receive` is called with each reply until `forget`."""
        subject = f"{self._prefix}.{next(self._numbers)}"
        self._receivers[subject] = receive
        return subject

    def forget(self, subject: str) -> None:
        """Ignores what arrives for this request from now on."""
        del self._receivers[subject]

    async def receive(self, message: Msg) -> None:
        """Passes the message on to the request that it answers."""
        if receive := self._receivers.get(message.subject):
            receive(message)


_REPLIES: WeakKeyDictionary[Client, Replies] = WeakKeyDictionary()


async def replies_of(client: Client) -> Replies:
    """Returns the replies of a connection. Raises ConnectionDrainingError."""
    if client.is_draining:  # the subscription is drained, too
        raise ConnectionDrainingError
    replies = _REPLIES.get(client)
    if replies is None:
        prefix = client.new_inbox()
        replies = _REPLIES[client] = Replies(prefix)  # before the first await: other requests use the same
        try:
            await client.subscribe(f"{prefix}.*", cb=replies.receive, pending_msgs_limit=0, pending_bytes_limit=0)
        except BaseException:
            del _REPLIES[client]
            raise
    return replies
