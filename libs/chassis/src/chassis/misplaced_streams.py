"""Streams in the central account that belong to the account of their owner: those of builds with one account for all.

`chassis.stream_move` moves them. Until then nothing is provisioned, and no service begins: it would find an empty
stream, or a part of one.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from nats.aio.client import Client
from nats.js.api import StreamInfo

from chassis.stream_api import find_stream, jetstream_of
from contracts.accounts import CENTRAL
from contracts.buckets import WATCHED_STREAMS
from contracts.streams import SEALED_STREAMS, Stream, sealed_copy

OWNED = tuple(stream for stream in WATCHED_STREAMS if stream.owner)
_INCOMPLETE = "centralita-incomplete"
"""In the metadata of a stream that does not have all messages yet."""


@dataclass(frozen=True, slots=True)
class Misplaced:
    """A stream in the central account, and the one in the account of its owner, if there is one."""

    stream: Stream
    former: StreamInfo
    owned: StreamInfo | None


async def find_misplaced(client: Client, stream: Stream, timeout: float = 5) -> Misplaced | None:
    """Returns the stream if it is in the central account. For admin. Raises an error of nats-py.

    A server with one account shows the same stream in both.
    """
    former = await find_stream(jetstream_of(client, stream.name, timeout, account=CENTRAL), stream.name)
    if former is None:
        return None
    owned = await find_stream(jetstream_of(client, stream.name, timeout), stream.name)
    if owned and owned.created == former.created:
        return None
    return Misplaced(stream, former, owned)


async def find_unsealed(client: Client, timeout: float = 5) -> str | None:
    """Returns the stream whose sealing an older build has begun in the central account, and not finished."""
    for stream in SEALED_STREAMS:
        if stream.owner and await find_misplaced(client, _copy_of(stream), timeout):
            return stream.name
    return None


def _copy_of(stream: Stream) -> Stream:
    return Stream(sealed_copy(stream.name), (), "", owner=stream.owner)


def is_incomplete(stream: StreamInfo) -> bool:
    """Returns whether the stream does not have all messages yet."""
    return _INCOMPLETE in (stream.config.metadata or {})


def incomplete(metadata: Mapping[str, str]) -> dict[str, str]:
    """Returns the metadata of a stream that does not have all messages yet."""
    return {**metadata, _INCOMPLETE: "1"}
