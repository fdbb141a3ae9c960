"""Repeating a request while a cluster has no leader: after the loss of a node it takes seconds to elect one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from nats.errors import NoRespondersError
from nats.js.errors import APIError, NoStreamResponseError, ServiceUnavailableError

MAX_ELECTION_SECONDS = 12.0
"""A follower without a leader waits up to 9 s before it starts an election (nats-server ``raft.go``)."""
REQUEST_TIMEOUT_SECONDS = 2.0
"""Timeout of one request. A leader that died will not answer it, and its successor has not received it."""
_PAUSE_SECONDS = 0.1
_IN_PROCESS_PAUSE_SECONDS = 0.005
_IN_PROCESS = (10158, 10164)
"""The server's error codes (``errors.json``) while another message with the same id, or under the same guard, is being
replicated. If the leader dies meanwhile, that message may be lost."""
_STORE_FAILED = 10_077
"""The server's error code if a message cannot be stored, such as in a full stream. It has the status 503, as if there
were no leader, but another try cannot succeed at once."""
SUBJECT_TAKEN = "maximum messages per subject"
"""The begin of its description of that error if a message of a work queue is on the same subject."""
NO_ANSWER = (NoRespondersError, NoStreamResponseError, ServiceUnavailableError, TimeoutError)
"""The errors of a request that no leader has answered."""

T = TypeVar("T")


def is_stream_full(error: Exception) -> bool:
    """Whether the server refused a message because its stream has reached a limit."""
    if not isinstance(error, APIError) or error.err_code != _STORE_FAILED:
        return False
    return "maximum" in (error.description or "")


def is_subject_taken(error: APIError) -> bool:
    """Whether the server refused a message of a work queue because one is on the same subject already."""
    return error.err_code == _STORE_FAILED and SUBJECT_TAKEN in (error.description or "")


async def retry_until_leader(request: Callable[[], Awaitable[T]]) -> T:
    """Repeats `request` until it is answered, and returns its result or raises its error.

    After `MAX_ELECTION_SECONDS` it raises the last error. A request without an answer may have been carried out, so
    use this only for requests that may be carried out twice.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + MAX_ELECTION_SECONDS
    while True:
        try:
            return await request()
        except NO_ANSWER as error:
            pause = _PAUSE_SECONDS
            if clock() > deadline or is_stream_full(error):
                raise
        except APIError as error:
            pause = _IN_PROCESS_PAUSE_SECONDS
            if clock() > deadline or error.err_code not in _IN_PROCESS:
                raise
        await asyncio.sleep(pause)
