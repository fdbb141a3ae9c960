"""Undoing an import: removing exactly its messages, including those that were never acknowledged.

The last messages that this connection published may not be stored yet when the search begins. A stream processes the
messages of a connection in order. So a message that the stream must refuse is published first: once it is refused,
every earlier message is stored or refused too. Then messages with the import's header are removed until none is found.
"""

import asyncio
from collections.abc import Mapping

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import BadRequestError, NotFoundError

from centralita.replay.import_headers import TARGETS, imported_sequences
from centralita.replay.messages import STREAMS
from chassis.stream_reader import Incomplete

_MAX_CONCURRENT_DELETIONS = 64
_RETRY_SECONDS = 0.5
_WRONG_STREAM_EXPECTED = 10060
"""The server's error code for a message whose ``Nats-Expected-Stream`` names another stream (``errors.json``)."""


async def undo_import(
    client: Client, import_id: str, *, after: Mapping[str, int] | None = None, timeout_seconds: float = 0
) -> int:
    """Removes all messages of an import and returns how many there were.

    `after`: the last sequence of each stream when the import began; the search starts there.
    `timeout_seconds`: how long to retry while the server does not answer.
    Raises nats.errors.Error, OSError, Incomplete.
    """
    loop = asyncio.get_running_loop()
    removed, deadline_at = 0, loop.time() + timeout_seconds
    while True:
        try:
            counts = [await _remove(client, name, import_id, (after or {}).get(name, 0)) for name in TARGETS]
        except (NatsError, OSError, Incomplete):
            if client.is_closed or loop.time() > deadline_at:
                raise
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            if not sum(counts):
                return removed
            removed += sum(counts)


async def _remove(client: Client, stream: str, import_id: str, after_sequence: int) -> int:
    js = client.jetstream()
    try:
        await js.stream_info(stream)
    except NotFoundError:
        return 0
    await wait_until_processed(js, stream)
    sequences = await imported_sequences(client, stream, import_id, after_sequence=after_sequence)
    if sequences and (await js.stream_info(stream)).state.messages == len(sequences):  # it contains nothing else
        await js.purge_stream(stream, seq=sequences[-1] + 1)
        return len(sequences)
    for first in range(0, len(sequences), _MAX_CONCURRENT_DELETIONS):
        batch = sequences[first : first + _MAX_CONCURRENT_DELETIONS]
        await asyncio.gather(*(js.delete_msg(stream, sequence) for sequence in batch))
    return len(sequences)


async def wait_until_processed(js: JetStreamContext, stream: str) -> None:
    """Returns when the stream has stored or refused everything that this connection has published to it."""
    subject = STREAMS[stream].subjects[-1].replace("*", "nothing")
    try:
        await js.publish(subject, stream="nothing")
    except BadRequestError as error:
        if error.err_code != _WRONG_STREAM_EXPECTED:
            raise
