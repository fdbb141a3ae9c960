"""Records the messages of a real call, and makes copies of them with other ids.

A recorded call is every message, in any stream, that names the call or its request. Copies replace all ids in subjects,
headers and bodies (call, request, events, provider's calls) consistently, and their sequences move with the copy.
Guards are removed, because a copy is stored without a race. Schedules of ended calls are removed: they would fire at
once.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import uuid_utils
from nats.aio.client import Client

from bench.calls.driving import drive, request
from bench.calls.streams import LOG, REQUESTS, StoredMessage, read_stream, stream_states
from contracts import call_id_of

_IDS = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|CA[0-9a-f]{32}")
_SEQUENCES = re.compile(rb'"(?P<field>[a-z_]*sequence)": ?(?P<number>[1-9][0-9]*)')
_IDENTITIES = re.compile(rb"REQUESTS/(?P<position>[1-9][0-9]*)")
"""The id of a request that was published without headers: later messages name it as their cause."""
_REMOVED_HEADERS = re.compile(rb"(?mi)^(Nats-Expected-|Nats-Stream-Source:)[^\r\n]*\r\n")
_END = uuid4().bytes
"""Separates the texts of a template. Sealed bodies may contain any byte, but not these random ones."""
_SCHEDULE = re.compile(rb"(?mi)^Nats-Schedule:")
_FAR_FUTURE = timedelta(days=300)
_SKIPPED = ("DEAD_LETTERS", "AUDIT", "NUMBERS")
"""Without the state of the number: all copies of a call are to one number, whose newest state the stream keeps."""


@dataclass(frozen=True)
class Recording:
    """The messages of one call, in the order in which they were stored, and the request's id."""

    kind: str
    request_id: str
    messages: tuple[StoredMessage, ...]

    def count(self, stream: str) -> int:
        """Returns how many of the messages are in a stream."""
        return sum(one.stream == stream for one in self.messages)


class Template:
    """A recording, split at its ids and sequences, from which copies are made."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        original_id = str(call_id_of(recording.request_id)).encode()
        self._names: dict[bytes, int] = {original_id: 0, recording.request_id.encode(): 1}
        self._parts: list[bytes] = []
        self._ids: list[tuple[int, int]] = []
        self._sequences: list[tuple[int, str, int]] = []
        self._first = {one.stream: one.sequence for one in reversed(recording.messages)}
        request_id = re.escape(recording.request_id.encode())
        patterns = (request_id, _IDS.pattern, _SEQUENCES.pattern, _IDENTITIES.pattern)
        pattern = re.compile(b"|".join(patterns))
        for one in recording.messages:
            for text in (one.subject.encode(), one.header, one.body):
                self._split(text, pattern)
        self._provider_ids = [name.startswith(b"CA") for name in self._names]

    def copy(self, next_sequences: Mapping[str, int]) -> tuple[str, list[bytes]]:
        """Returns the id of a new call, and subject, header block and body of each of its messages in one list.

        `next_sequences` are the sequences that the first message of the copy gets, by stream.
        """
        request_id = f"bench-{uuid4()}"
        call_id = str(call_id_of(request_id))
        ids = [call_id.encode(), request_id.encode(), *(_new_id(one) for one in self._provider_ids[2:])]
        parts = self._parts.copy()
        for index, name in self._ids:
            parts[index] = ids[name]
        for index, stream, sequence in self._sequences:
            offset = sequence - self._first.get(stream, sequence)
            parts[index] = b"%d" % max(1, next_sequences.get(stream, 1) + offset)
        return call_id, b"".join(parts).split(_END)[:-1]

    def _split(self, text: bytes, pattern: re.Pattern[bytes]) -> None:
        end = 0
        for found in pattern.finditer(text):
            number = found["number"] or found["position"]
            begin = found.start("number" if found["number"] else "position") if number else found.start()
            self._parts += [text[end:begin], number or found[0]]
            if number:
                stream = REQUESTS if found["position"] or found["field"] == b"command_sequence" else LOG
                self._sequences.append((len(self._parts) - 1, stream, int(number)))
            else:
                self._ids.append((len(self._parts) - 1, self._names.setdefault(found[0], len(self._names))))
            end = found.end()
        self._parts += [text[end:], _END]


def _new_id(is_provider_id: bool) -> bytes:
    return b"CA" + uuid4().hex.encode() if is_provider_id else str(uuid_utils.uuid7()).encode()


async def record(client: Client, control_url: str) -> dict[str, Recording]:
    """Runs one call of each kind on a fresh system, and one that stays unfinished; returns their messages by kind."""
    ids = {kind: await _run(client, control_url, kind) for kind in ("unanswered", "conversation")}
    ids["unfinished"] = await _leave_unfinished(client)
    return {kind: await _read(client, kind, request_id) for kind, request_id in ids.items()}


async def _run(client: Client, control_url: str, kind: str) -> str:
    requested = await client.subscribe("call.requested")
    await client.flush()
    driven = await drive(client, control_url, kind, 1)  # later runs skip its number
    request_id = str(json.loads((await requested.next_msg(timeout=5)).data)["request_id"])
    await requested.unsubscribe()
    if kind == "conversation" and driven.turns_per_call != 3:
        raise RuntimeError(f"the recorded conversation has {driven.turns_per_call} turns: {driven.statuses}")
    return request_id


async def _leave_unfinished(client: Client) -> str:
    body = request("unanswered", "+12125550199") | {"scheduled_at": (datetime.now(UTC) + _FAR_FUTURE).isoformat()}
    created = await client.subscribe(f"call.created.{call_id_of(str(body['request_id']))}.*")
    await client.flush()
    await client.publish("call.requested", json.dumps(body).encode())
    await created.next_msg(timeout=30)
    await created.unsubscribe()
    return str(body["request_id"])


async def _read(client: Client, kind: str, request_id: str) -> Recording:
    await asyncio.sleep(1.5)  # facts that follow the end, such as the release of the slot
    keys = (request_id.encode(), str(call_id_of(request_id)).encode())
    found: dict[tuple[bytes, bytes], StoredMessage] = {}
    # The log copies messages of other streams: they are found there first, and published there.
    for stream in sorted(await stream_states(client), key=lambda name: name == LOG):
        if stream.startswith(("KV_", "OBJ_")) or stream in _SKIPPED:
            continue
        async for one in read_stream(client, stream):
            names_call = any(key in part for key in keys for part in (one.subject.encode(), one.header, one.body))
            if names_call and not _is_removed(kind, one):
                header = _REMOVED_HEADERS.sub(b"", one.header)
                found.setdefault((header, one.body), replace(one, header=header))
    messages = sorted(found.values(), key=lambda one: (one.stream != REQUESTS, one.stream, one.sequence))
    return Recording(kind, request_id, tuple(messages))


def _is_removed(kind: str, message: StoredMessage) -> bool:
    """Returns whether copies leave the message out; see the module."""
    return kind != "unfinished" and _SCHEDULE.search(message.header) is not None
