"""Stores all messages of a stream again, some with another body, while no service runs.

Each message keeps its sequence, its subject and its headers, apart from those of the server (`chassis.stream_copy`).

If the command is interrupted, it is run again: each step finds out from the server what is done.

| found on the server | next step |
|---|---|
| the stream | it receives no more messages; its copy is created |
| the copy is incomplete | it is continued after its last message |
| the copy is complete | the positions of the consumers are written into it |
| the copy has positions | the stream is deleted, and created again as a mirror of the copy |
| the mirror is complete | it becomes a stream of its own with all its settings; its consumers are created |
| the consumers are created | the copy is deleted |
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import StorageType, StreamConfig, StreamInfo, SubjectTransform
from nats.js.errors import NotFoundError

from chassis.deletion import delete_message
from chassis.direct_get import StoredMessage, get_newest
from chassis.leader_get import get_of_leader
from chassis.provision import stream_config
from chassis.stream_api import find_stream, jetstream_of
from chassis.stream_copy import GAPS, CopyInterrupted, Writer, is_filler, kept_headers
from chassis.stream_replacement import (
    as_mirror,
    create_consumers,
    create_stream,
    positions_of_consumers,
    wait_until_equal,
)
from chassis.stream_scan import Scan
from contracts.accounts import stored_again
from contracts.events.timers import TimerDue, fired_subject
from contracts.streams import CALLS, SCHEDULES, Stream, sealed_copy

_ORIGIN, _POSITIONS = "centralita-origin", "centralita-positions"
"""The names in the metadata of a copy: the state of its stream, and the positions of the consumers of that."""
_SEALED = "centralita-sealed"
"""In the metadata of a stream that was rewritten."""
_COPIED_SEQUENCE = "centralita-copied-sequence"
"""In the metadata of the copy of CALLS: up to where CALLS has copied the stream SCHEDULES."""
_OF_COPIES = (_ORIGIN, _POSITIONS, _COPIED_SEQUENCE)
_SOURCE, _TTL = "Nats-Stream-Source", "Nats-TTL"
"""The server's headers of a message: from which stream it was copied, with the sequence there, and when it expires."""
_ANSWER_SECONDS = 600.0

NewForms = Callable[[Sequence[StoredMessage]], Awaitable[Sequence[tuple[bytes, Mapping[str, str]]]]]
"""Returns the new body of each message, and the headers that are added."""
Progress = Callable[[str, int, int], None]
"""Called with the name of the stage, the done amount and the total amount."""


class Rewriting:
    """Rewrites one stream. `max_bytes`: its size, if the operator chose one."""

    def __init__(
        self, client: Client, stream: Stream, new_forms: NewForms, progress: Progress, max_bytes: int | None = None
    ) -> None:
        self._client = client
        self._js: JetStreamContext = jetstream_of(client, stream.name, timeout=_ANSWER_SECONDS)
        self._stream = replace(stream, max_bytes=max_bytes or stream.max_bytes)
        self._name, self._copy = stream.name, sealed_copy(stream.name)
        self._new_forms = new_forms
        self._progress = progress

    async def run(self) -> None:
        """Does what is left to do. Raises CopyInterrupted, and the errors of nats-py."""
        stream, copy = await find_stream(self._js, self._name), await find_stream(self._js, self._copy)
        if copy is None or not is_complete(copy):
            if stream is None:
                raise CopyInterrupted(f"the stream {self._name} does not exist")
            copy = await self._completed(stream, copy)
        if stream and self._is_origin(copy, stream):
            await self._js.delete_stream(self._name)
            stream = None
        if stream is None:
            config = replace(self._config(copy), max_bytes=None)
            await create_stream(self._js, as_mirror(config, self._copy))
        if stream is None or stream.config.mirror:
            await self._promote(copy)
        await self._remove_last_filler()
        await create_consumers(self._js, self._name, json.loads(_metadata(copy)[_POSITIONS]))
        await self._js.delete_stream(self._copy)

    async def _completed(self, stream: StreamInfo, copy: StreamInfo | None) -> StreamInfo:
        """Creates the copy, or continues it, and returns it with the positions of the consumers."""
        stream = await self._frozen(stream)
        if copy and _metadata(copy).get(_ORIGIN) != self._state(stream):  # it has changed since the interruption
            await self._js.delete_stream(self._copy)
            copy = None
        if copy is None:
            copy = await self._create_copy(stream)
        end_sequence = stream.state.last_seq
        await self._fill(copy.state.last_seq, end_sequence)
        has_filler = await self._has_filler(self._copy, end_sequence)
        await self._js.purge_stream(self._copy, subject=GAPS, seq=end_sequence if has_filler else None)
        messages = (await self._js.stream_info(self._copy)).state.messages - has_filler
        if messages != stream.state.messages and not self._stream.has_ttls:
            await self._js.delete_stream(self._copy)
            raise CopyInterrupted(f"{self._name} has {stream.state.messages} messages, its copy had {messages}")
        positions = {name: one async for name, one in positions_of_consumers(self._js, self._name, end_sequence)}
        metadata = {**_metadata(copy), _POSITIONS: json.dumps(positions)}
        await self._js.update_stream(replace(copy.config, metadata=metadata))
        return await self._js.stream_info(self._copy)

    async def _frozen(self, stream: StreamInfo) -> StreamInfo:
        """Makes the server store nothing more in the stream: neither what clients publish, nor what it copies."""
        subjects, found = [f"frozen.{self._name}"], stream.config
        config = stream_config(self._stream, replicas=found.num_replicas or 1)
        config = replace(config, subjects=subjects, sources=None, max_bytes=found.max_bytes, metadata=found.metadata)
        await self._js.update_stream(config)
        return await self._js.stream_info(self._name)

    async def _create_copy(self, stream: StreamInfo) -> StreamInfo:
        state = stream.state
        metadata = {**_own(_metadata(stream)), _ORIGIN: self._state(stream)}
        if self._stream.name == CALLS.name:
            newest = await get_newest(self._client, CALLS.name, TimerDue.subjects())
            source = newest.headers.get(_SOURCE, "").split() if newest else []
            metadata[_COPIED_SEQUENCE] = source[1] if len(source) > 1 else "0"
        config = StreamConfig(
            name=self._copy,
            subjects=[stored_again(self._name, ">")],
            subject_transform=SubjectTransform(src=stored_again(self._name, ">"), dest=">"),
            storage=StorageType.FILE,
            num_replicas=stream.config.num_replicas,
            first_seq=state.first_seq if state.messages else state.last_seq,
            allow_direct=True,
            allow_msg_ttl=self._stream.has_ttls or None,
            metadata=metadata,
        )
        await create_stream(self._js, config)
        return await self._js.stream_info(self._copy)

    async def _fill(self, position: int, end_sequence: int) -> None:
        """Stores the messages after `position` in the copy, and fills its gaps up to `end_sequence`."""
        writer = Writer(self._client, self._name, position)
        scan = Scan(self._client, self._name, (), position + 1)
        async for page in scan.up_to(end_sequence):
            forms = await self._new_forms(page)
            for message, (body, added) in zip(page, forms, strict=True):
                await writer.fill_gap(message.seq - 1)
                await writer.add(message.subject, body, {**self._headers(message), **added})
            self._progress(f"sealing {self._name}", page[-1].seq, end_sequence)
        await writer.fill_gap(end_sequence)
        await writer.flush()

    def _headers(self, message: StoredMessage) -> dict[str, str]:
        """Returns the headers that a message keeps, and when it ends."""
        kept = kept_headers(message)
        if self._stream.has_ttls and (ttl := message.headers.get(_TTL, "")).endswith("s"):
            expires_at = message.time + timedelta(seconds=int(ttl[:-1]))
            kept[_TTL] = f"{max(int((expires_at - datetime.now(UTC)).total_seconds()), 1)}s"
        return kept

    async def _promote(self, copy: StreamInfo) -> None:
        """Makes a stream of its own of the complete mirror."""
        await wait_until_equal(self._js, self._name, self._copy)
        if copied_sequence := int(_metadata(copy).get(_COPIED_SEQUENCE, 0)):  # or the server would copy them again
            await self._js.purge_stream(SCHEDULES.name, subject=fired_subject("*"), seq=copied_sequence + 1)
        await self._js.update_stream(self._config(copy))

    async def _remove_last_filler(self) -> None:
        """Removes the message that keeps the last sequence of a stream whose last message was deleted."""
        end_sequence = (await self._js.stream_info(self._name)).state.last_seq
        if await self._has_filler(self._name, end_sequence):
            await delete_message(self._client, self._name, end_sequence)

    async def _has_filler(self, stream: str, sequence: int) -> bool:
        if sequence == 0:
            return False
        try:
            return is_filler(await get_of_leader(self._client, stream, sequence))
        except NotFoundError:
            return False

    def _config(self, copy: StreamInfo) -> StreamConfig:
        replicas = copy.config.num_replicas or 1
        own = _own(_metadata(copy))
        metadata = {name: value for name, value in own.items() if name not in _OF_COPIES} | {_SEALED: "1"}
        return replace(stream_config(self._stream, replicas=replicas), metadata=metadata)

    def _is_origin(self, copy: StreamInfo, stream: StreamInfo) -> bool:
        """Whether the stream is the one that was copied, and not the one that was created from the copy."""
        return bool(json.loads(_metadata(copy)[_ORIGIN])[0] == _created(stream))

    def _state(self, stream: StreamInfo) -> str:
        messages = None if self._stream.has_ttls else stream.state.messages
        return json.dumps([_created(stream), stream.state.last_seq, messages])


def is_sealed(stream: StreamInfo) -> bool:
    """Returns whether a stream was rewritten."""
    return _SEALED in _metadata(stream)


def is_complete(copy: StreamInfo) -> bool:
    """Returns whether a copy has all messages of its stream."""
    return _POSITIONS in _metadata(copy)


def _own(metadata: Mapping[str, str]) -> dict[str, str]:
    """Returns the metadata that is not the server's own."""
    return {name: value for name, value in metadata.items() if not name.startswith("_nats")}


def _metadata(stream: StreamInfo) -> dict[str, str]:
    return stream.config.metadata or {}


def _created(stream: StreamInfo) -> str:
    return str(stream.created)
