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
from chassis.dead_letters import referenced_sequences
from chassis.deletion import delete_message
from chassis.recorded_requests import begin_record_again
from chassis.stream_api import jetstream_of
from contracts.streams import REQUESTS
from records.messages import STREAMS

_MAX_CONCURRENT_DELETIONS = 64
_RETRY_SECONDS = 0.5
_WRONG_STREAM_EXPECTED = 10060
"""The server's error code for a message whose ``Nats-Expected-Stream`` names another stream (``errors.json``)."""


class UndoRefused(RuntimeError):
    """Dead letters refer to messages of the import, so nothing was removed."""


async def undo_import(
    client: Client, import_id: str, *, after: Mapping[str, int] | None = None, timeout_seconds: float = 0
) -> int:
    """Removes all messages of an import and returns how many there were.

    `after`: the last sequence of each stream when the import began; the search starts there.
    `timeout_seconds`: how long to retry while the server does not answer.
    Raises UndoRefused, nats.errors.Error, OSError.
    """
    loop = asyncio.get_running_loop()
    removed, deadline_at = 0, loop.time() + timeout_seconds
    while True:
        try:
            found = {name: await _find(client, name, import_id, (after or {}).get(name, 0)) for name in TARGETS}
            await _check_references(client, found)
            for name, sequences in found.items():
                await _remove(client, name, sequences)
            if found[REQUESTS.name]:
                await begin_record_again(client)
        except (NatsError, OSError):
            if client.is_closed or loop.time() > deadline_at:
                raise
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            count = sum(map(len, found.values()))
            if not count:
                return removed
            removed += count


async def _find(client: Client, stream: str, import_id: str, after_sequence: int) -> list[int]:
    js = jetstream_of(client, stream)
    try:
        await js.stream_info(stream)
    except NotFoundError:
        return []
    await wait_until_processed(js, stream)
    return await imported_sequences(client, stream, import_id, after_sequence=after_sequence)


async def _check_references(client: Client, found: Mapping[str, list[int]]) -> None:
    """Raises UndoRefused if dead letters refer to some of these messages: they could not be resent any more."""
    for stream, sequences in found.items():
        referenced = (await referenced_sequences(client, stream)).intersection(sequences) if sequences else ()
        if referenced:
            raise UndoRefused(
                f"Dead letters refer to {len(referenced)} messages of this import in {stream}, the first is message "
                f"{min(referenced)}. Nothing was removed. Resend or drop them first: `centralita dead-letters list` "
                "names their numbers, `retry` resends, `drop` drops."
            )


async def _remove(client: Client, stream: str, sequences: list[int]) -> None:
    if not sequences:
        return
    js = jetstream_of(client, stream)
    if (await js.stream_info(stream)).state.messages == len(sequences):  # it contains nothing else
        await js.purge_stream(stream, seq=sequences[-1] + 1)
        return
    for first in range(0, len(sequences), _MAX_CONCURRENT_DELETIONS):
        batch = sequences[first : first + _MAX_CONCURRENT_DELETIONS]
        await asyncio.gather(*(delete_message(client, stream, sequence) for sequence in batch))


async def wait_until_processed(js: JetStreamContext, stream: str) -> None:
    """Returns when the stream has stored or refused everything that this connection has published to it."""
    subject = STREAMS[stream].subjects[-1].replace("*", "nothing")
    try:
        await js.publish(subject, stream="nothing")
    except BadRequestError as error:
        if error.err_code != _WRONG_STREAM_EXPECTED:
            raise
