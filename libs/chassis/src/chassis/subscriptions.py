"""How a service hears a consumer's messages: decode, one call, and no message lost whatever happens.

FastStream's default would terminate a message at the first unhandled exception. Here an unusable message becomes a dead
letter with its reason, any other failure is tried again after a growing delay, and the last failure is kept too.
"""

from collections.abc import Awaitable, Callable

import structlog
from faststream import AckPolicy
from faststream.exceptions import NackMessage
from faststream.nats import JStream, NatsMessage, NatsRouter
from nats.aio.client import Client
from nats.aio.msg import Msg

from chassis import tracing
from chassis.ack_extension import extend_ack_deadline
from chassis.event_log import StoredEvent
from chassis.metrics import DEAD_LETTERS, HANDLING_SECONDS
from contracts import Envelope, InvalidMessage, decode
from contracts.dead_letters import DeadLetter
from contracts.streams import Consumer, subject_ids

Handler = Callable[[StoredEvent], Awaitable[None]]

logger = structlog.get_logger()


def subscribe(router: NatsRouter, client: Client, consumer: Consumer, handler: Handler) -> None:
    """Hands every message of `consumer` to `handler`, up to ``consumer.workers`` at a time, acknowledged after it."""

    async def on_message(message: NatsMessage) -> None:
        raw = message.raw_message
        assert isinstance(raw, Msg)  # noqa: S101  a single subscriber never gets FastStream's batch form
        named = subject_ids(raw.subject)
        parent = (raw.headers or {}).get("traceparent")
        with (
            tracing.span(f"process {consumer.name}", tracing.PROCESS, parent, **named),
            structlog.contextvars.bound_contextvars(consumer=consumer.name, **named),
            HANDLING_SECONDS.labels(consumer=consumer.name).time(),
        ):
            try:
                async with extend_ack_deadline(raw, consumer):
                    await handler(recorded(raw))
            except InvalidMessage as error:
                await _give_up(client, consumer, raw, error.reasons)
            except Exception as error:  # noqa: BLE001  whatever it is, the message must survive it
                await _again_or_give_up(client, consumer, raw, error)

    DEAD_LETTERS.labels(consumer=consumer.name)  # a series from the start on: an increase from nothing is none
    router.subscriber(
        consumer.deliver_subject,
        queue=consumer.name,
        stream=JStream(consumer.stream.name, declare=False),
        ack_policy=AckPolicy.NACK_ON_ERROR,
        max_workers=consumer.workers,
        # FastStream would send what a handler returns to the header `reply_to`, whatever subject that names.
        no_reply=True,
        title=consumer.name,
    )(on_message)


def recorded(raw: Msg) -> StoredEvent:
    """The event in a JetStream message. Raises InvalidMessage."""
    metadata = raw.metadata
    headers = raw.headers or {}
    sequence = metadata.sequence.stream
    identity = headers.get("Nats-Msg-Id", f"{metadata.stream}/{sequence}")
    envelope = Envelope.read(headers, subject=raw.subject, id=identity, time=metadata.timestamp)
    return StoredEvent(decode(raw.subject, raw.data), tracing.carried(envelope), sequence, metadata.num_delivered)


async def _again_or_give_up(client: Client, consumer: Consumer, raw: Msg, error: Exception) -> None:
    tries = raw.metadata.num_delivered
    if tries > len(consumer.backoff):
        await _give_up(client, consumer, raw, [f"{type(error).__name__} at try {tries}"])
        return
    delay = consumer.backoff[tries - 1]
    logger.warning("message_failed", tries=tries, again_in_seconds=delay, error=type(error).__name__, exc_info=error)
    raise NackMessage(delay=delay) from error


async def _give_up(client: Client, consumer: Consumer, raw: Msg, reasons: list[str]) -> None:
    try:
        text, data = raw.data.decode(), None
    except UnicodeDecodeError:
        text, data = None, raw.data
    letter = DeadLetter.model_construct(
        stream=raw.metadata.stream,
        sequence=raw.metadata.sequence.stream,
        consumer=consumer.name,
        subject=raw.subject,
        headers=dict(raw.headers or {}),
        body=text,
        body_base64=data,
        reasons=tuple(reasons),
        deliveries=raw.metadata.num_delivered,
    )
    once = {"Nats-Msg-Id": f"{consumer.name}/{letter.stream}/{letter.sequence}"}
    await client.jetstream().publish(letter.dead_letter_subject, letter.model_dump_json().encode(), headers=once)
    DEAD_LETTERS.labels(consumer=consumer.name).inc()
    logger.error("dead_letter", sequence=letter.sequence, stream=letter.stream, reasons=reasons)
