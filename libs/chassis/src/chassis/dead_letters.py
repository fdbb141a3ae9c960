"""Storing a message that could not be processed in the stream ``DEAD_LETTERS``."""

from collections.abc import Sequence

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import BadRequestError

from chassis.event_log import publish
from chassis.metrics import DEAD_LETTERS
from contracts.dead_letters import DeadLetter

HEADER_ALLOWANCE_BYTES = 4096
"""What the headers of a dead letter and the protocol need at most. The server counts them towards its limit and closes
the connection for good when a message exceeds it; nats-py counts the body alone."""

logger = structlog.get_logger()


class DeadLetterRefused(Exception):
    """The message can never become a dead letter: it is too large, or the server refuses it."""


async def store_dead_letter(client: Client, consumer: str, message: Msg, reasons: Sequence[str]) -> None:
    """Publishes the dead letter of `consumer` and waits until it is stored.

    A second call for the same message stores nothing: both have the same ``Nats-Msg-Id``. Raises DeadLetterRefused, or
    an error of nats-py after which another attempt may succeed.
    """
    dead_letter = _dead_letter(consumer, message, reasons)
    body = dead_letter.model_dump_json().encode()
    if len(body) + HEADER_ALLOWANCE_BYTES > client.max_payload:
        raise DeadLetterRefused(f"{len(body)} bytes are more than the server accepts")
    headers = {"Nats-Msg-Id": f"{consumer}/{dead_letter.stream}/{dead_letter.sequence}"}
    try:
        await publish(client, dead_letter.dead_letter_subject, body, headers)
    except BadRequestError as error:
        raise DeadLetterRefused(str(error)) from error
    DEAD_LETTERS.labels(consumer=consumer).inc()
    logger.error("dead_letter_stored", stream=dead_letter.stream, sequence=dead_letter.sequence, reasons=list(reasons))


def _dead_letter(consumer: str, message: Msg, reasons: Sequence[str]) -> DeadLetter:
    try:
        text, data = message.data.decode(), None
    except UnicodeDecodeError:
        text, data = None, message.data
    return DeadLetter.model_construct(
        stream=message.metadata.stream,
        sequence=message.metadata.sequence.stream,
        consumer=consumer,
        subject=message.subject,
        headers=dict(message.headers or {}),
        body=text,
        body_base64=data,
        reasons=tuple(reasons),
        deliveries=message.metadata.num_delivered,
    )
