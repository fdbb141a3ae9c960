"""Deleting messages from a stream, one by one, several at a time.

A purge is faster, but other appends wait meanwhile: at least 190 ms for each purge up to a sequence, however few
messages it removes, and 450 ms for a purge of one call by its subjects. Beside single deletions they wait 12 ms at most
(ADR 32). The deleted bytes are not overwritten (``no_erase``); the server frees them when it compacts the file.
"""

import asyncio
import json
from collections.abc import Iterable

from nats.aio.client import Client
from nats.js.errors import APIError, NotFoundError

from chassis.leader_retry import REQUEST_TIMEOUT_SECONDS, retry_until_leader

MAX_CONCURRENT_DELETIONS = 8
"""With 64, deleting is 1.6 times as fast, and other appends wait for up to 50 ms."""


async def remove(client: Client, stream: str, sequences: Iterable[int]) -> None:
    """Deletes these messages. One that no longer exists is skipped, so this may be repeated. Raises APIError."""
    waiting = iter(sequences)

    async def delete() -> None:
        for sequence in waiting:
            await retry_until_leader(lambda: _delete(client, stream, sequence))  # noqa: B023  awaited in its iteration

    await asyncio.gather(*(delete() for _ in range(MAX_CONCURRENT_DELETIONS)))


async def _delete(client: Client, stream: str, sequence: int) -> None:
    request = json.dumps({"seq": sequence, "no_erase": True}).encode()
    answer = await client.request(f"$JS.API.STREAM.MSG.DELETE.{stream}", request, timeout=REQUEST_TIMEOUT_SECONDS)
    error = json.loads(answer.data).get("error")
    if error and not await _is_deleted(client, stream, sequence):  # the server has several errors for that
        APIError.from_error(error)


async def _is_deleted(client: Client, stream: str, sequence: int) -> bool:
    try:
        await client.jetstream(timeout=REQUEST_TIMEOUT_SECONDS).get_msg(stream, seq=sequence)
    except NotFoundError:
        return True
    return False
