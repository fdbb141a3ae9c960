"""An event together with its envelope and its sequence in the stream."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic

from nats.aio.msg import Msg
from nats.js.api import RawStreamMsg
from typing_extensions import TypeVar

from chassis import tracing
from chassis.unreadable import UnreadableEvent
from contracts import Envelope, Event, InvalidMessage, Service, decode
from contracts.streams import REQUESTS

_OUR_SERVICES = frozenset(Service) - {Service.UPSTREAM}
E_co = TypeVar("E_co", bound=Event, covariant=True, default=Event)


@dataclass(frozen=True, slots=True)
class StoredEvent(Generic[E_co]):
    """An event as it is stored in a stream.

    `deliveries` counts how often the server has delivered the message to its consumer. With more than one, an earlier
    delivery may have been handled. `stored_at`: when the server stored it; None if it was not read from there.
    """

    event: E_co
    envelope: Envelope
    sequence: int
    deliveries: int = 1
    stored_at: datetime | None = field(default=None, compare=False)


def stored_event_of(message: Msg) -> StoredEvent:
    """Returns the event that a consumer delivered. Raises InvalidMessage.

    Its envelope carries the current span, which becomes the parent of the spans of events that it causes.
    """
    place, headers = message.metadata, message.headers or {}
    sequence = place.sequence.stream
    envelope = _envelope(headers, message.subject, place.stream, sequence, place.timestamp)
    event = decode(message.subject, message.data)
    return StoredEvent(event, tracing.with_current_span(envelope), sequence, place.num_delivered, place.timestamp)


def event_to_handle(message: Msg) -> StoredEvent:
    """As `stored_event_of`, for a message that must end handled.

    Raises UnreadableEvent if one of our services published the message and only a newer build knows something in it.
    Raises InvalidMessage for any other message that is no event.
    """
    try:
        return stored_event_of(message)
    except InvalidMessage as error:
        if not error.may_be_newer or (message.headers or {}).get("ce-source") not in _OUR_SERVICES:
            raise
        raise unreadable(message, error) from error


def unreadable(message: Msg, error: InvalidMessage) -> UnreadableEvent:
    """Returns the error of a delivered message that cannot be decoded."""
    metadata = message.metadata
    return UnreadableEvent(
        metadata.stream, metadata.sequence.stream, message.subject, metadata.timestamp, error.reasons
    )


def stored_event_of_raw(message: RawStreamMsg, stream: str) -> StoredEvent:
    """Returns the event in a message that was read from `stream` without a consumer. Raises UnreadableEvent."""
    subject, sequence = message.subject or "", message.seq or 0
    time = message.time or datetime.fromtimestamp(0, UTC)
    try:
        envelope = _envelope(message.headers or {}, subject, stream, sequence, time)
        return StoredEvent(decode(subject, message.data or b""), envelope, sequence, stored_at=message.time)
    except InvalidMessage as error:
        raise UnreadableEvent(stream, sequence, subject, time, error.reasons) from error


def _envelope(headers: Mapping[str, str], subject: str, stream: str, sequence: int, time: datetime) -> Envelope:
    """Returns the envelope. Without ``ce-id``, the id is the ``Nats-Msg-Id``, or else the position in the stream.

    Others write the headers of a request, so their lengths are checked. Raises InvalidMessage.
    """
    id = headers.get("Nats-Msg-Id") or f"{stream}/{sequence}"
    envelope = Envelope.read(headers, id=id, time=time)
    if stream == REQUESTS.name:
        envelope.check_lengths()
    return envelope
