"""A recorded log: read from the streams or from an export, written to an export, folded to the calls."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from uuid import UUID

from nats.aio.client import Client
from nats.js.errors import NotFoundError

from centralita.replay.archived_log import Archive, check_archive, read_log
from centralita.replay.export_file import ExportWriter, read_messages, validate
from centralita.replay.lost_requests import MissingRequests, Ranges, recorded_after
from centralita.replay.manifest import Manifest
from centralita.replay.scope import Scope
from chassis.dead_letters import read_dead_letters
from chassis.stream_api import jetstream_of
from chassis.stream_reader import last_sequence, read
from contracts import Call, CallCreated, CallDecision, RequestsErased
from contracts.consumers import ORCHESTRATOR_COMMANDS, ORCHESTRATOR_FACTS, ORCHESTRATOR_REQUESTS, Consumer
from contracts.streams import CALLS, REQUESTS, Stream
from records.call_ids import call_of, campaign_of
from records.messages import EVENT_FILTERS, Message, event_filters_of

_DECIDERS = (ORCHESTRATOR_REQUESTS, ORCHESTRATOR_COMMANDS, ORCHESTRATOR_FACTS)
"""The consumers by which the orchestrator receives its inputs."""


@dataclass(frozen=True, slots=True)
class Record:
    """A recorded log in memory. `acknowledged` and `dead_letters`: see `centralita.replay.manifest.Manifest`.

    `missing_requests`: the sequences of REQUESTS that a record of the whole log should have, and does not have.
    """

    scope: Scope
    messages: list[Message]
    acknowledged: dict[str, int]
    dead_letters: tuple[str, ...]
    missing_requests: Ranges = ()

    def parts(self) -> Iterator[list[Message]]:
        """Yields all messages at once; a `centralita.replay.split_record.SplitRecord` yields several parts."""
        yield self.messages


@dataclass(frozen=True, slots=True)
class StreamSnapshot:
    """The streams CALLS and REQUESTS up to their last sequences at the time of `open`; later messages are ignored.

    With `archive`, the messages that were moved from the streams to it belong to the snapshot.
    """

    client: Client
    archive: Archive | None
    scope: Scope
    campaign_call_ids: frozenset[str]
    last_sequences: dict[str, int]
    acknowledged: dict[str, int]
    dead_letters: tuple[str, ...]
    recorded_after: int | None

    @classmethod
    async def open(cls, client: Client, scope: Scope, archive: Archive | None = None) -> Self:
        """Reads the limits of the snapshot. Raises WrongArchive.

        The acknowledged sequences are read first, so that the snapshot contains the decision of each acknowledged
        input. The end of REQUESTS is read last, so that it contains the cause of each decision.
        """
        await check_archive(client, archive)
        acknowledged = {stream.name: await _acknowledged(client, stream) for stream in (REQUESTS, CALLS)}
        dead_letters = await _dead_letters(client)
        last_sequences = {stream.name: await last_sequence(client, stream.name) for stream in (CALLS, REQUESTS)}
        end = last_sequences[CALLS.name]
        call_ids = await _calls_of(client, archive, scope, end) if scope.campaign_id else frozenset()
        recorded = await recorded_after(client)
        return cls(client, archive, scope, call_ids, last_sequences, acknowledged, dead_letters, recorded)

    @property
    def size(self) -> int:
        """The value of `progress` at the end."""
        return sum(self.last_sequences.values())

    def progress(self, message: Message) -> int:
        """Returns how much of `size` is read; approximate, because both streams are read side by side."""
        return message.sequence if message.stream == CALLS.name else 0

    async def requests(self) -> AsyncIterator[Message]:
        """Yields the messages of REQUESTS that are in the scope."""
        end = self.last_sequences[REQUESTS.name]
        async for message in read_log(self.client, self.archive, REQUESTS.name, end_sequence=end):
            if self.scope.includes(message, self.campaign_call_ids):
                yield message

    async def events(self) -> AsyncIterator[Message]:
        """Yields the events of CALLS that are in the scope.

        Those of the whole log end with what was recorded meanwhile about erased requests. So a request that was erased
        before its stream was read is not taken for a lost one.
        """
        filters = event_filters_of(self.scope.call_id) if self.scope.call_id else EVENT_FILTERS
        end = self.last_sequences[CALLS.name]
        async for message in read_log(self.client, self.archive, CALLS.name, filters, end_sequence=end):
            if self.scope.includes(message, self.campaign_call_ids):
                yield message
        if self.scope.is_everything:
            now = await last_sequence(self.client, CALLS.name)
            erased = read(
                self.client, CALLS.name, [RequestsErased.subjects()], start_sequence=end + 1, end_sequence=now
            )
            async for stored in erased:
                yield Message.of(stored)


async def from_streams(client: Client, scope: Scope, archive: Archive | None = None) -> Record:
    """Returns the record of a system, running or stopped. It is held in memory: narrow a large log by `scope`."""
    snapshot = await StreamSnapshot.open(client, scope, archive)
    messages = [message async for message in snapshot.requests()]
    messages += [message async for message in snapshot.events()]
    missing = missing_requests_in(scope, snapshot.recorded_after, snapshot.acknowledged, messages)
    return Record(scope, messages, snapshot.acknowledged, snapshot.dead_letters, missing.ranges())


def from_file(path: Path, scope: Scope) -> Record:
    """Returns the record in an export. Raises `centralita.replay.manifest.DamagedExport`, OSError."""
    manifest = validate(path)
    within = scope_within(manifest, scope)
    messages = list(messages_in_file(path, scope))
    missing = missing_requests_in(within, manifest.recorded_after, manifest.acknowledged, messages)
    return Record(within, messages, manifest.acknowledged, manifest.dead_letters, missing.ranges())


def scope_within(manifest: Manifest, scope: Scope) -> Scope:
    """Returns the scope of what is selected by `scope` from an export."""
    return manifest.scope if manifest.scope.is_time_range and not scope.is_time_range else scope


def messages_in_file(path: Path, scope: Scope) -> Iterator[Message]:
    """Yields the messages of a validated export that are in the scope."""
    call_ids: set[str] = set()
    if scope.campaign_id is not None:
        call_ids = {
            call_of(message) or "" for message in read_messages(path) if campaign_of(message) == scope.campaign_id
        }
    yield from (message for message in read_messages(path) if scope.includes(message, call_ids))


async def export(
    client: Client,
    path: Path,
    scope: Scope | None = None,
    progress: Callable[[int, int], None] | None = None,
    archive: Archive | None = None,
) -> Manifest:
    """Writes the messages that both streams and the archive contain now, ordered by time, and returns the manifest.

    `progress` is called with the done and the total amount. Raises OSError, DamagedArchive, WrongArchive and
    `chassis.stream_reader.Incomplete`; the file at `path` is then as it was before.
    """
    snapshot = await StreamSnapshot.open(client, scope or Scope(), archive)
    with ExportWriter(path) as writer:
        async for message in _merge_by_time(snapshot.requests(), snapshot.events()):
            writer.write(message)
            if progress:
                progress(snapshot.progress(message), snapshot.size)
        return writer.close(snapshot.scope, snapshot.acknowledged, snapshot.dead_letters, snapshot.recorded_after)


def missing_requests_in(
    scope: Scope, recorded_after: int | None, acknowledged: Mapping[str, int], messages: Iterable[Message] = ()
) -> MissingRequests:
    """Returns what finds `Record.missing_requests`, with these messages added. Only the whole log shows them."""
    missing = MissingRequests(recorded_after if scope.is_everything else None, acknowledged.get(REQUESTS.name, 0))
    for message in messages:
        missing.add(message)
    return missing


def fold(messages: Iterable[Message]) -> dict[UUID, Call]:
    """Returns every call as it is after these messages, which must be in the order of the log.

    Each decision carries the call after it, so no rules are applied again.
    """
    calls: dict[UUID, Call] = {}
    for message in messages:
        if message.subject.startswith("call."):
            event = message.event()
            if isinstance(event, CallDecision):
                calls[event.call_id] = event.call
    return calls


async def _merge_by_time(requests: AsyncIterator[Message], events: AsyncIterator[Message]) -> AsyncIterator[Message]:
    """Yields the messages of both by the time at which they were stored; at equal times the request is first."""
    request, event = await anext(requests, None), await anext(events, None)
    while request or event:
        if event is None or (request and request.time <= event.time):
            assert request is not None  # noqa: S101  one of them is there
            yield request
            request = await anext(requests, None)
        else:
            yield event
            event = await anext(events, None)


async def _calls_of(client: Client, archive: Archive | None, scope: Scope, end: int) -> frozenset[str]:
    created = read_log(client, archive, CALLS.name, (CallCreated.subjects(),), end_sequence=end)
    return frozenset([call_of(one) or "" async for one in created if campaign_of(one) == scope.campaign_id])


async def _acknowledged(client: Client, stream: Stream) -> int:
    """Returns the sequence up to which every input of the orchestrator in this stream is acknowledged."""
    try:
        end = await last_sequence(client, stream.name)
        deciders = [decider for decider in _DECIDERS if decider.stream is stream]
        return min([await _acknowledged_by(client, decider, end) for decider in deciders])
    except NotFoundError:
        return 0


async def _acknowledged_by(client: Client, consumer: Consumer, end: int) -> int:
    """Returns the consumer's ack floor. It stays behind messages that the consumer does not deliver."""
    info = await jetstream_of(client, consumer.stream.name).consumer_info(consumer.stream.name, consumer.name)
    if not info.num_pending and not info.num_ack_pending:
        return end
    return info.ack_floor.stream_seq if info.ack_floor else 0


async def _dead_letters(client: Client) -> tuple[str, ...]:
    """Returns ``<stream>/<sequence>`` of each input of the orchestrator that is a dead letter."""
    try:
        found = [stored.dead_letter async for stored in read_dead_letters(client)]
    except NotFoundError:
        return ()
    deciders = {consumer.name for consumer in _DECIDERS}
    return tuple(f"{one.stream}/{one.sequence}" for one in found if one.consumer in deciders)
