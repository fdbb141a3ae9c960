"""Up to where messages of CALLS and REQUESTS may be moved to the archive, and which of them stay.

A message stays while a process may still need it from the stream:

- **Consumers.** Each message that a durable consumer has not acknowledged, and everything after it.
- **Projection.** What campaign-stats has not applied: its checkpoint bounds CALLS.
- **Chains.** The newest grant and the newest permit name the sequence from which services read the log; everything from
  there on stays. The newest message of each chain stays in any case, because appends are guarded by it. So does the
  newest ``timer.due``: the server finds by it which schedules it has copied from SCHEDULES already.
- **Dead letters.** A message to which a dead letter refers may be resent, so it and its call stay.
- **Commands.** A call stays while a request or command for it is not acknowledged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from nats.aio.client import Client
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from chassis.dead_letters import referenced_sequences
from chassis.leader_retry import retry_until_leader
from chassis.stored_event import stored_event_of_raw
from chassis.stream_api import jetstream_of
from chassis.stream_reader import last_sequence, read
from contracts import AdmissionGranted, AdmissionReleased, DialCleared, TimerDue
from contracts.consumers import CONSUMERS, Consumer
from contracts.streams import CALLS, REQUESTS, Stream
from records.call_ids import call_of
from records.messages import Message

ARCHIVED_STREAMS = (CALLS, REQUESTS)
_CHAINS = (AdmissionGranted, AdmissionReleased, DialCleared)
PROJECTION = "campaign-stats"
_EPOCH = datetime.fromtimestamp(0, UTC)


class ForeignCheckpoint(RuntimeError):
    """The checkpoint of campaign-stats is beyond the end of this log. Names the remedy."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The last sequence of a stream that may be archived, and what bounds it; None: the end of the stream."""

    sequence: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may be archived now. `ends` and `kept_sequences` are by the stream's name; `kept_calls` are call ids."""

    ends: Mapping[str, Bound]
    kept_sequences: Mapping[str, frozenset[int]]
    kept_calls: frozenset[str]


async def read_bounds(client: Client, projection_sequence: int) -> Bounds:
    """Returns the bounds. `projection_sequence`: the checkpoint of campaign-stats. Raises ForeignCheckpoint.

    The ends of the streams are read first, so that what is stored meanwhile stays.
    """
    ends = {stream.name: Bound(await last_sequence(client, stream.name)) for stream in ARCHIVED_STREAMS}
    if projection_sequence > (end := ends[CALLS.name].sequence):
        raise ForeignCheckpoint(
            f"the log ends at {end}, but the checkpoint of {PROJECTION} is {projection_sequence}: "
            "it belongs to another log. Give the --mongo and --database of this log"
        )
    ends[CALLS.name] = _smaller(ends[CALLS.name], projection_sequence, f"the checkpoint of {PROJECTION}")
    for consumer in CONSUMERS:
        if (first := await _first_unacknowledged(client, consumer)) is not None:
            name = consumer.stream.name
            ends[name] = _smaller(ends[name], first - 1, f"what {consumer.name} has acknowledged")
    newest = await _newest_of_chains(client)
    for event_name, message in newest.items():
        stored = stored_event_of_raw(message, CALLS.name)
        if isinstance(stored.event, AdmissionGranted | DialCleared):
            reason = f"what the last {event_name} names as replay_from_sequence"
            ends[CALLS.name] = _smaller(ends[CALLS.name], stored.event.replay_from_sequence - 1, reason)
    referenced = {stream.name: await referenced_sequences(client, stream.name) for stream in ARCHIVED_STREAMS}
    kept_calls = await _calls_of(client, referenced) | await _awaited_calls(client, ends[REQUESTS.name])
    chained = frozenset(message.seq or 0 for message in newest.values())
    return Bounds(ends, {**referenced, CALLS.name: referenced[CALLS.name] | chained}, kept_calls)


def _smaller(bound: Bound, sequence: int, reason: str) -> Bound:
    return Bound(max(sequence, 0), reason) if sequence < bound.sequence else bound


async def _first_unacknowledged(client: Client, consumer: Consumer) -> int | None:
    """Returns the sequence of the first message that the consumer has not acknowledged; None if there is none.

    The consumer's ack floor is that of its own messages, so the first message on its filters after it is sought.
    """
    js = jetstream_of(client, consumer.stream.name)
    try:
        info = await retry_until_leader(lambda: js.consumer_info(consumer.stream.name, consumer.name))
    except NotFoundError:
        return None
    if not info.num_pending and not info.num_ack_pending:
        return None
    start = (info.ack_floor.stream_seq if info.ack_floor else 0) + 1
    found = [await _next(client, consumer.stream, subject, start) for subject in consumer.filters]
    return min((sequence for sequence in found if sequence is not None), default=None)


async def _next(client: Client, stream: Stream, subject: str, start_sequence: int) -> int | None:
    js = jetstream_of(client, stream.name)
    try:
        message = await retry_until_leader(
            lambda: js.get_msg(stream.name, seq=start_sequence, subject=subject, next=True)
        )
    except NotFoundError:
        return None
    return message.seq


async def _newest_of_chains(client: Client) -> dict[str, RawStreamMsg]:
    """Returns the newest message of each chain by the event's name, and the newest ``timer.due``.

    Older builds appended chains on subjects with the call's id.
    """
    newest: dict[str, RawStreamMsg] = {}
    for event in (*_CHAINS, TimerDue):
        for subject in (event.event_name, f"{event.event_name}.*"):
            message = await last_message(client, subject)
            former = newest.get(event.event_name)
            if message and (former is None or (message.seq or 0) > (former.seq or 0)):
                newest[event.event_name] = message
    return newest


async def last_message(client: Client, subject: str) -> RawStreamMsg | None:
    """Returns the newest message of CALLS on a filter, from the leader."""
    js = jetstream_of(client, CALLS.name)
    try:
        return await retry_until_leader(lambda: js.get_last_msg(CALLS.name, subject))
    except NotFoundError:
        return None


async def _calls_of(client: Client, sequences: Mapping[str, frozenset[int]]) -> frozenset[str]:
    """Returns the calls of these messages, as far as they exist."""
    calls: set[str] = set()
    for stream, numbers in sequences.items():
        js = jetstream_of(client, stream)
        for number in numbers:
            try:
                found = await js.get_msg(stream, seq=number)
            except NotFoundError:
                continue
            subject, headers = found.subject or "", dict(found.headers or {})
            message = Message(stream, number, found.time or _EPOCH, subject, headers, found.data or b"")
            calls.add(call_of(message) or "")
    return frozenset(calls)


async def _awaited_calls(client: Client, handled: Bound) -> frozenset[str]:
    """Returns the calls of the requests and commands that are not acknowledged."""
    end = await last_sequence(client, REQUESTS.name)
    if handled.sequence >= end:
        return frozenset()
    waiting = read(client, REQUESTS.name, start_sequence=handled.sequence + 1, end_sequence=end)
    return frozenset([call_of(Message.of(delivered)) or "" async for delivered in waiting])
