"""Asking again while nobody answers: a cluster whose node has gone needs some seconds to choose new leaders."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from nats.errors import NoRespondersError
from nats.js.errors import APIError, NoStreamResponseError, ServiceUnavailableError

MAX_ELECTION_SECONDS = 12.0
"""A follower that hears of no leader waits up to 9 s before it asks to be one (nats-server ``raft.go``)."""
REQUEST_TIMEOUT_SECONDS = 2.0
"""How long one request is waited for: who died with it does not answer, and who came after has not heard it."""
_PAUSE_SECONDS = 0.1
_MOMENT_SECONDS = 0.005
_IN_PROCESS = (10158, 10164)
"""The server's error codes (``errors.json``) while a message of the same id, or under the same guard, is on its way
into the log of a cluster: whether it gets there nobody knows yet, and if the leader dies it may not."""
_NOBODY = (NoRespondersError, NoStreamResponseError, ServiceUnavailableError, TimeoutError)

T = TypeVar("T")


async def retry_until_leader(ask: Callable[[], Awaitable[T]]) -> T:
    """What `ask` returns or raises once it has got an answer, or what it raised last when the patience is at an end.

    It may have been done although no answer came: only for what may be done twice.
    """
    clock = asyncio.get_running_loop().time
    last_moment = clock() + MAX_ELECTION_SECONDS
    while True:
        try:
            return await ask()
        except _NOBODY:
            pause = _PAUSE_SECONDS
            if clock() > last_moment:
                raise
        except APIError as error:
            pause = _MOMENT_SECONDS
            if clock() > last_moment or error.err_code not in _IN_PROCESS:
                raise
        await asyncio.sleep(pause)
