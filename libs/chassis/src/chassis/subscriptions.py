"""Durable consumers with typed handlers.

`subscribe` adds a consumer to the service's `Broker`. Each message is decoded into a `StoredEvent`; the handler whose
annotation names the event's type is called with it. `chassis.delivery` acknowledges, retries or stores a dead letter.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from faststream.exceptions import SetupError
from faststream.nats import NatsMessage
from nats.aio.client import Client
from nats.aio.msg import Msg

from chassis.broker import Broker
from chassis.delivery import ConsumerDelivery
from chassis.stored_event import StoredEvent, event_to_handle, load_keys, unreadable
from contracts import Event, InvalidMessage
from contracts.consumers import CONSUMERS, Consumer

Handler = Callable[[Any, Any], Awaitable[None]]
"""``async def on_dial_placed(event: DialPlaced, stored: StoredEvent[DialPlaced]) -> None``. The first annotation is an
event type or a union of them."""


def subscribe(broker: Broker, consumer: Consumer, *handlers: Handler) -> None:
    """Subscribes to a consumer: calls the handler of each message's event type.

    Handles up to ``consumer.workers`` messages at a time. Raises SetupError unless the handlers
    together cover exactly ``consumer.events``, each type once.
    """
    by_type = _by_event_type(consumer, handlers)
    # The server goes on redelivering what was pending when the filters of its consumer changed.
    moved = {event for other in CONSUMERS if other.split_from == consumer for event in other.events}
    former = moved | set(consumer.former_events)

    async def decode(message: Msg) -> StoredEvent:
        await load_keys([message], broker.keyring)
        stored = event_to_handle(message, broker.keyring)
        if type(stored.event) not in by_type and type(stored.event) not in former:  # the server's consumer is newer
            reason = f"subject: consumer {consumer.name} does not handle {stored.event.event_name}"
            raise unreadable(message, InvalidMessage([reason]))
        # The time of storage, and not the present: a message that is delivered again later is judged the same.
        if refusals := stored.event.refusals(message.metadata.timestamp):
            raise InvalidMessage(refusals)
        return stored

    async def handle(stored: StoredEvent) -> None:
        if handler := by_type.get(type(stored.event)):
            await handler(stored.event, stored)

    def delivery(client: Client) -> ConsumerDelivery:
        return ConsumerDelivery(consumer, client, decode, handle, broker.request_sealer)

    broker.consume(consumer, delivery)


async def body_of(message: NatsMessage) -> bytes:
    """Decoder of request/reply subscribers: returns the body as it came, without parsing it."""
    return message.body


def _by_event_type(consumer: Consumer, handlers: tuple[Handler, ...]) -> Mapping[type[Event], Handler]:
    pairs = [(event, handler) for handler in handlers for event in _event_types(handler)]
    handled = [event for event, _ in pairs]
    if sorted(_names(handled)) != sorted(_names(consumer.events)):
        raise SetupError(
            f"consumer {consumer.name} delivers {', '.join(_names(consumer.events))}, "
            f"but its handlers cover {', '.join(_names(handled)) or 'nothing'}"
        )
    return dict(pairs)


def _event_types(handler: Handler) -> tuple[type[Event], ...]:
    first = next(iter(inspect.signature(handler).parameters))
    annotation = get_type_hints(handler)[first]
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _names(events: "list[type[Event]] | tuple[type[Event], ...]") -> list[str]:
    return [event.__name__ for event in events]
