"""An event together with what the stream knows about it."""

from dataclasses import dataclass
from typing import Generic

from nats.aio.msg import Msg
from typing_extensions import TypeVar

from chassis import tracing
from contracts import Envelope, Event, decode

E_co = TypeVar("E_co", bound=Event, covariant=True, default=Event)


@dataclass(frozen=True, slots=True)
class StoredEvent(Generic[E_co]):
    """An event as it is stored in a stream.

    `deliveries` counts how often the server has delivered the message to its consumer. With more than one, an earlier
    delivery may have been handled.
    """

    event: E_co
    envelope: Envelope
    sequence: int
    deliveries: int = 1


def stored_event_of(message: Msg) -> StoredEvent:
    """Returns the event that a consumer delivered. Raises InvalidMessage.

    Its envelope carries the current span, so that whatever follows from the event belongs to that span.
    """
    metadata, headers = message.metadata, message.headers or {}
    sequence = metadata.sequence.stream
    message_id = headers.get("Nats-Msg-Id", f"{metadata.stream}/{sequence}")
    envelope = Envelope.read(headers, subject=message.subject, id=message_id, time=metadata.timestamp)
    event = decode(message.subject, message.data)
    return StoredEvent(event, tracing.carried(envelope), sequence, metadata.num_delivered)
