"""An event together with its envelope and its sequence in the stream."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Generic

from nats.aio.msg import Msg
from nats.js.api import RawStreamMsg
from typing_extensions import TypeVar

from chassis import tracing
from chassis.unreadable import UnreadableEvent
from contracts import Envelope, Event, InvalidMessage, Service, decode
from contracts.envelope import first_stored_at
from contracts.events import EVENTS
from contracts.events.requests import is_in_clear
from contracts.personal import PERSON_HEADER, Opened, Opener, hidden
from contracts.sources import implied_source
from contracts.streams import REQUESTS

if TYPE_CHECKING:
    from chassis.keyring import Keyring

_OUR_SERVICES = frozenset(Service) - {Service.UPSTREAM}
E_co = TypeVar("E_co", bound=Event, covariant=True, default=Event)


@dataclass(frozen=True, slots=True)
class StoredEvent(Generic[E_co]):
    """An event as it is stored in a stream.

    `deliveries` counts how often the server has delivered the message to its consumer. With more than one, an earlier
    delivery may have been handled. `stored_at`: when the server first stored it; None if it was not read from there.
    `is_repeated`: the append that returned it did not store it: it was stored before.
    `is_opened`: whether the key of its person has opened its body, so that the body was sealed.
    """

    event: E_co
    envelope: Envelope
    sequence: int
    deliveries: int = 1
    stored_at: datetime | None = field(default=None, compare=False)
    is_opened: bool = field(default=False, compare=False)
    is_repeated: bool = field(default=False, compare=False)

    @property
    def sent_at(self) -> datetime:
        """When the message was sent, as its sender says, and at the latest when the server stored it."""
        return min(self.envelope.time, self.stored_at or self.envelope.time)


async def load_keys(messages: Iterable[Msg | RawStreamMsg], keyring: "Keyring | None") -> None:
    """Reads the keys that the following functions need for these messages."""
    if keyring is not None:
        await keyring.load([(message.headers or {}).get(PERSON_HEADER) for message in messages])


def stored_event_of(message: Msg, keyring: "Keyring | None" = None) -> StoredEvent:
    """Returns the event that a consumer delivered. Raises InvalidMessage.

    A `keyring`, for which `load_keys` was called, opens the personal fields. Without one, they are hidden.

    Its envelope carries the current span, which becomes the parent of the spans of events that it causes.
    """
    place, headers = message.metadata, message.headers or {}
    sequence, stored_at = place.sequence.stream, first_stored_at(headers, place.timestamp)
    envelope = _envelope(headers, message.subject, place.stream, sequence, stored_at)
    event, is_opened = _decoded(place.stream, message.subject, message.data, envelope, keyring)
    current = tracing.with_current_span(envelope)
    return StoredEvent(event, current, sequence, place.num_delivered, stored_at, is_opened)


def event_to_handle(message: Msg, keyring: "Keyring | None" = None) -> StoredEvent:
    """As `stored_event_of`, for a message that must end handled.

    Raises UnreadableEvent if one of our services published the message and only a newer build knows something in it.
    Raises InvalidMessage for any other message that is no event.
    """
    try:
        return stored_event_of(message, keyring)
    except InvalidMessage as error:
        is_ours = message.metadata.stream != REQUESTS.name or (message.headers or {}).get("ce-source") in _OUR_SERVICES
        if not (error.may_be_newer and is_ours):
            raise
        raise unreadable(message, error) from error


def unreadable(message: Msg, error: InvalidMessage) -> UnreadableEvent:
    """Returns the error of a delivered message that cannot be decoded."""
    metadata = message.metadata
    return UnreadableEvent(
        metadata.stream, metadata.sequence.stream, message.subject, metadata.timestamp, error.reasons
    )


def stored_event_of_raw(message: RawStreamMsg, stream: str, keyring: "Keyring | None" = None) -> StoredEvent:
    """Returns the event in a message that was read from `stream` without a consumer. Raises UnreadableEvent.

    `keyring`: as for `stored_event_of`.
    """
    subject, sequence = message.subject or "", message.seq or 0
    time = first_stored_at(message.headers, message.time or datetime.fromtimestamp(0, UTC))
    try:
        envelope = _envelope(message.headers or {}, subject, stream, sequence, time)
        event, is_opened = _decoded(stream, subject, message.data or b"", envelope, keyring)
        stored_at = time if message.time else None
        return StoredEvent(event, envelope, sequence, stored_at=stored_at, is_opened=is_opened)
    except InvalidMessage as error:
        raise UnreadableEvent(stream, sequence, subject, time, error.reasons) from error


def _decoded(
    stream: str, subject: str, body: bytes, envelope: Envelope, keyring: "Keyring | None"
) -> tuple[Event, bool]:
    """Returns the event of a body, and whether the key of the person of its envelope has opened it.

    The header of a request is no proof that it is sealed: upstream systems may write it, too. Raises InvalidMessage.
    """
    if envelope.person is None:
        return decode(subject, body), False
    event_name = ".".join(subject.split(".", 2)[:2])
    if stream == REQUESTS.name and (kind := EVENTS.get(event_name)) and is_in_clear(kind, body):
        raise InvalidMessage([f"header {PERSON_HEADER}: the body is not sealed; leave the header out"])
    if keyring is None:
        return decode(subject, body, Opener(envelope.person, hidden)), False
    opener, is_opened = keyring.opener(envelope.person, event_name), False

    def open(sealed: bytes | None) -> Opened | str:
        nonlocal is_opened
        found = opener.open(sealed)
        is_opened = not isinstance(found, str)
        return found

    return decode(subject, body, Opener(envelope.person, open)), is_opened


def _envelope(headers: Mapping[str, str], subject: str, stream: str, sequence: int, time: datetime) -> Envelope:
    """Returns the envelope. Without ``ce-id``, the id is the ``Nats-Msg-Id``, or else the position in the stream.

    Others write the headers of a request, so their lengths are checked. Raises InvalidMessage.
    """
    id = headers.get("Nats-Msg-Id") or f"{stream}/{sequence}"
    envelope = Envelope.read(headers, id=id, time=time, source=implied_source(stream, subject))
    if stream == REQUESTS.name:
        envelope.check_lengths()
    return envelope
