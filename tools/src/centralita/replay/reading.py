"""Reading the messages of a stream as the tools know them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from nats.aio.client import Client
from nats.aio.msg import Msg

from centralita.replay.messages import Message
from chassis import stream_reader
from chassis.stream_reader import BATCH, Incomplete, last_sequence

__all__ = ["BATCH", "Incomplete", "last_sequence", "message_of", "read"]


async def read(
    client: Client, stream: str, *, filters: Sequence[str] = (), start: int = 1, upto: int, headers_only: bool = False
) -> AsyncIterator[Message]:
    """Yields the messages from the sequence `start` to `upto`; see `chassis.stream_reader.read`. Raises Incomplete."""
    reading = stream_reader.read(
        client, stream, filters, start_sequence=start, end_sequence=upto, headers_only=headers_only
    )
    async with aclosing(reading) as messages:
        async for message in messages:
            yield message_of(message)


def message_of(delivered: Msg) -> Message:
    """Returns a delivered message as `Message`."""
    metadata = delivered.metadata
    headers = dict(delivered.headers or {})
    return Message(
        metadata.stream, metadata.sequence.stream, metadata.timestamp, delivered.subject, headers, delivered.data
    )
