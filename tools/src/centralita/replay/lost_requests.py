"""Requests that left the stream REQUESTS without a trace.

nats-server gives each message of a stream the next sequence. A request in clear is erased once it is decided, and the
log shows what became of it: its sequence is the ``command_sequence`` of a decision, or is in a ``request.erased``
(ADR 49). A sequence that is in neither, and not in the stream, is that of a request that was dropped.

The metadata of the stream name the sequence after which this holds: older builds did not record each refused request.
Requests that are not acknowledged yet are left out.
"""

from array import array
from collections.abc import Iterable

from nats.aio.client import Client
from nats.js.errors import NotFoundError

from chassis.stream_api import jetstream_of
from contracts import CallDecision, RequestsErased
from contracts.streams import RECORDED_AFTER, REQUESTS
from records.messages import Message

Ranges = tuple[tuple[int, int], ...]
"""Sequences, as pairs of the first and the last one of each gap."""


async def recorded_after(client: Client) -> int | None:
    """Returns the sequence after which each erased request is recorded; None: an older build provisioned the stream."""
    try:
        info = await jetstream_of(client, REQUESTS.name).stream_info(REQUESTS.name)
    except NotFoundError:
        return None
    sequence = (info.config.metadata or {}).get(RECORDED_AFTER)
    return None if sequence is None else int(sequence)


class MissingRequests:
    """Finds the sequences of REQUESTS that a record does not have."""

    def __init__(self, after_sequence: int | None, end_sequence: int) -> None:
        """Considers those after `after_sequence` and up to `end_sequence`; None: no sequence."""
        self._end = end_sequence
        self._last = end_sequence if after_sequence is None else after_sequence
        self._ranges: list[tuple[int, int]] = []

    def add(self, message: Message) -> None:
        """Notes a message that exists. Those of REQUESTS must come in their order."""
        if message.stream == REQUESTS.name:
            self._note(message.sequence)

    def ranges(self) -> Ranges:
        """Returns what is missing, once all messages were added."""
        self._note(self._end + 1)
        return tuple(self._ranges)

    def _note(self, sequence: int) -> None:
        last = min(sequence - 1, self._end)
        if last > self._last:
            self._ranges.append((self._last + 1, last))
        self._last = max(self._last, sequence)


class RecordedRequests:
    """The sequences of REQUESTS of which the log shows what became of the request."""

    def __init__(self) -> None:
        self._sequences = array("q")

    def add(self, messages: Iterable[Message]) -> None:
        """Adds what ``request.erased`` among these messages name."""
        for message in messages:
            if message.subject == RequestsErased.event_name and isinstance(event := message.event(), RequestsErased):
                self._sequences.extend(one.sequence for one in event.requests)

    def add_decision(self, event: CallDecision) -> None:
        """Adds the request or command on which the call was decided last."""
        if event.call.command_sequence is not None:
            self._sequences.append(event.call.command_sequence)

    def lost_of(self, missing: Ranges) -> Ranges:
        """Returns the missing sequences that are not here."""
        known = array("q", sorted(set(self._sequences)))
        lost: list[tuple[int, int]] = []
        index = 0
        for first, last in missing:
            while index < len(known) and known[index] < first:
                index += 1
            begin = first
            while index < len(known) and known[index] <= last:
                if known[index] > begin:
                    lost.append((begin, known[index] - 1))
                begin = known[index] + 1
                index += 1
            if begin <= last:
                lost.append((begin, last))
        return tuple(lost)
