"""The messages of one call, read at a cost that does not depend on the length of the log (law 11).

Most messages are on subjects with the id of the call. The others are found near those, or by a position in the call:

| message | where it is |
|---|---|
| the request | at the position of the first decision in REQUESTS (`Call.command_sequence`) |
| the grant of an attempt | at `Call.granted_sequence` |
| the permit of an attempt | among the permits that follow the event that began the attempt |
| a grant that began no attempt, and its release | among those that follow the event by which the call ceased to wait |

A grant that was ignored because the call was changed at that moment is not found, nor is a repeated request.
"""

from collections.abc import Iterator
from itertools import pairwise
from uuid import UUID

from nats.aio.client import Client
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from chassis.direct_get import get_page
from chassis.history import History
from chassis.leader_retry import retry_until_leader
from chassis.stream_api import jetstream_of
from contracts import AdmissionGranted, AdmissionReleased, Call, CallDecision, DialCleared
from contracts.envelope import first_stored_at
from contracts.filters import call_commands_filter, call_filters
from contracts.streams import CALLS, REQUESTS
from records.call_ids import call_of
from records.messages import Message

MAX_NEAR = 256
"""How many permits, grants or releases of all calls are searched."""
FIRST_NEAR = 32
"""How many of them are read first: that of the call is mostly among these."""


async def messages_of_call(client: Client, call_id: UUID) -> list[Message]:
    """Returns the messages of the call in both streams, for display."""
    reader = _Reader(client, call_id)
    messages = await reader.read(CALLS.name, call_filters(call_id))
    decisions = [(one.sequence, call) for one in messages if (call := _call_after(one))]
    found = {one.sequence: one for one in messages}
    for sequence in {call.granted_sequence for _, call in decisions if call.granted_sequence}:
        if grant := await reader.at(CALLS.name, sequence):
            found[sequence] = grant
    for sequence, event_name in _near(decisions):
        found |= {one.sequence: one for one in await reader.near(event_name, sequence)}
    requests = await reader.read(REQUESTS.name, (call_commands_filter(call_id),))
    position = decisions[0][1].command_sequence if decisions else None
    request = await reader.at(REQUESTS.name, position) if position else None
    ordered = sorted(found.values(), key=lambda one: one.sequence)
    return [*([request] if request else []), *requests, *ordered]


def _call_after(message: Message) -> Call | None:
    """Returns the call after a decision. Other messages are not decoded here."""
    if not message.subject.startswith("call."):
        return None
    event = message.event()
    return event.call if isinstance(event, CallDecision) else None


def _near(decisions: list[tuple[int, Call]]) -> Iterator[tuple[int, str]]:
    """Yields after which sequences a message of the call on a subject of all calls may follow soon, and its name."""
    for (_, before), (sequence, call) in pairwise(decisions):
        if call.attempt > before.attempt:
            yield sequence, DialCleared.event_name
        elif before.is_queued and not call.is_queued:
            yield sequence, AdmissionGranted.event_name
            yield sequence, AdmissionReleased.event_name


class _Reader:
    def __init__(self, client: Client, call_id: UUID) -> None:
        self._client = client
        self._call_id = str(call_id)

    async def read(self, stream: str, filters: tuple[str, ...]) -> list[Message]:
        """Returns the messages on filters that match only messages of the call."""
        return [_message(stream, raw) for raw in await History(self._client, stream).read(filters, 0)]

    async def at(self, stream: str, sequence: int) -> Message | None:
        """Returns the message at a position if it is of the call; an import changes positions."""
        js = jetstream_of(self._client, stream)
        try:
            raw = await retry_until_leader(lambda: js.get_msg(stream, sequence))
        except NotFoundError:
            return None
        message = _message(stream, raw)
        return message if call_of(message) == self._call_id else None

    async def near(self, subject: str, sequence: int) -> list[Message]:
        """Returns the first messages of the call among `MAX_NEAR` on a literal subject after a sequence."""
        for limit in (FIRST_NEAR, MAX_NEAR - FIRST_NEAR):
            page = await retry_until_leader(
                lambda: get_page(self._client, CALLS.name, subject, start_sequence=sequence + 1, limit=limit)  # noqa: B023
            )
            messages = [_message(CALLS.name, raw) for raw in page.messages]
            found = [message for message in messages if call_of(message) == self._call_id]
            if found or not page.has_more:
                return found
            sequence = messages[-1].sequence
        return []


def _message(stream: str, raw: RawStreamMsg) -> Message:
    assert raw.time is not None  # noqa: S101  the server sends the time of each message
    stored_at = first_stored_at(raw.headers, raw.time)
    return Message(stream, raw.seq or 0, stored_at, raw.subject or "", dict(raw.headers or {}), raw.data or b"")
