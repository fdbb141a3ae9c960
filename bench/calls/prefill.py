"""Fills the log with copies of recorded calls, over one connection that publishes without waiting for each answer."""

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import pymongo
from nats.aio.client import Client

from bench.calls.recording import Recording, Template
from bench.calls.streams import LOG, move_consumers, stream_states, wait_until_stored

UNFINISHED_SHARE = 100
CONVERSATION_SHARE = 10
"""Every hundredth call is unfinished, every tenth of the others is a conversation, the rest are unanswered."""
KEPT_IDS = 500
_BATCH = 4_000
_REPLY = b"_INBOX.prefill"


@dataclass(frozen=True)
class Prefill:
    """What was published: the number of messages, the seconds, and ids of calls from the whole log."""

    messages: int
    seconds: float
    call_ids: Sequence[str]


def kinds() -> Iterator[str]:
    """Yields the kinds of the calls in the log, without end."""
    for number in itertools.count(1):
        if number % UNFINISHED_SHARE == 0:
            yield "unfinished"
        else:
            yield "conversation" if number % CONVERSATION_SHARE == 5 else "unanswered"


async def prefill(client: Client, admin_url: str, recordings: Mapping[str, Recording], calls: int) -> Prefill:
    """Publishes this many calls; afterwards no consumer has any of them to handle. No service may run."""
    before = await stream_states(client)
    templates = {kind: Template(recording) for kind, recording in recordings.items()}
    next_sequences = {name: state.last_sequence + 1 for name, state in before.items()}
    began_at = time.perf_counter()
    connection = await _Connection.open(admin_url)
    call_ids, published = [], 0
    for kind in itertools.islice(kinds(), calls):
        template = templates[kind]
        call_id, texts = template.copy(next_sequences)
        call_ids.append(call_id)
        await connection.publish(texts, template.recording)
        for one in template.recording.messages:
            next_sequences[one.stream] += 1
        published += len(template.recording.messages)
    await connection.close()
    counts = Counter(one.stream for kind in itertools.islice(kinds(), calls) for one in recordings[kind].messages)
    expected = {name: before[name].messages + count for name, count in counts.items()}
    await wait_until_stored(client, expected)
    seconds = time.perf_counter() - began_at
    await move_consumers(client)
    return Prefill(published, seconds, call_ids[:: max(1, calls // KEPT_IDS)])


async def set_checkpoint(client: Client, mongo_url: str) -> None:
    """Moves the checkpoint of the projection behind the prefilled calls, as if they were projected."""
    sequence = (await stream_states(client))[LOG].last_sequence
    mongo: pymongo.AsyncMongoClient[dict[str, object]] = pymongo.AsyncMongoClient(mongo_url)
    try:
        result = await mongo["centralita"]["checkpoints"].update_many({}, {"$set": {"sequence": sequence}})
        if result.matched_count != 1:
            raise RuntimeError("the projection has no checkpoint: no call was recorded with this database")
    finally:
        await mongo.close()


class _Connection:
    """A bare connection: nats-py would encode the headers of each message again."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._buffer: list[bytes] = []
        self._pending = 0

    @classmethod
    async def open(cls, url: str) -> "_Connection":
        """Connects to the first of the addresses."""
        parts = urlsplit(url.split(",", maxsplit=1)[0])
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        await reader.readline()
        options = {
            "user": parts.username,
            "pass": parts.password,
            "headers": True,
            "verbose": False,
            "pedantic": False,
            "no_responders": False,
        }
        writer.write(b"CONNECT " + json.dumps(options).encode() + b"\r\nSUB " + _REPLY + b" 1\r\n")
        return cls(reader, writer)

    async def publish(self, texts: Sequence[bytes], recording: Recording) -> None:
        """Publishes the messages of one copy; waits for the server's acknowledgement once per batch."""
        self._pending += len(recording.messages)
        is_full = self._pending >= _BATCH
        last = max((i for i, one in enumerate(recording.messages) if one.stream == LOG), default=0)
        for index in range(len(recording.messages)):
            subject, header, body = texts[3 * index : 3 * index + 3]
            reply = b" " + _REPLY if is_full and index == last else b""
            total = len(header) + len(body)
            if header:
                self._buffer.append(b"HPUB %b%b %d %d\r\n%b%b\r\n" % (subject, reply, len(header), total, header, body))
            else:
                self._buffer.append(b"PUB %b%b %d\r\n%b\r\n" % (subject, reply, total, body))
        if is_full:
            await self._flush()
            self._pending = 0

    async def close(self) -> None:
        """Sends what remains, waits until the server has read it, and closes the connection."""
        self._buffer.append(b"PING\r\n")
        await self._flush(b"PONG")
        self._writer.close()
        await self._writer.wait_closed()

    async def _flush(self, answer: bytes = b"MSG") -> None:
        self._writer.write(b"".join(self._buffer))
        self._buffer.clear()
        await self._writer.drain()
        while not (line := await self._reader.readline()).startswith(answer):
            if line.startswith(b"PING"):
                self._writer.write(b"PONG\r\n")
            if line.startswith(b"-ERR") or not line:
                raise RuntimeError(f"the server refuses the connection: {line.decode()}")
        if answer == b"MSG":
            acknowledgement = json.loads((await self._reader.readline()).decode())
            if "error" in acknowledgement:
                raise RuntimeError(f"the server refuses a message: {acknowledgement['error']}")
