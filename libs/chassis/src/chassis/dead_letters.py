"""Dead letters in the stream ``DEAD_LETTERS``: each refers to a message that could not be processed."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

import structlog
from nats.aio.client import Client
from nats.js.errors import BadRequestError, NotFoundError, ServiceUnavailableError

from chassis.event_log import publish
from chassis.leader_retry import is_stream_full
from chassis.metrics import DEAD_LETTERS as STORED
from chassis.stream_reader import last_sequence, read
from contracts.dead_letters import DeadLetter
from contracts.streams import DEAD_LETTERS

logger = structlog.get_logger()


class DeadLetterRefused(Exception):
    """The message can never become a dead letter: the server refuses it."""


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    """A dead letter, its sequence in DEAD_LETTERS, and when it was stored."""

    sequence: int
    at: datetime
    dead_letter: DeadLetter


async def store_dead_letter(client: Client, dead_letter: DeadLetter) -> None:
    """Publishes the dead letter and waits until it is stored.

    A second call for the same message and consumer stores nothing: both have the same ``Nats-Msg-Id``. Raises
    DeadLetterRefused, or an error of nats-py after which another attempt may succeed.
    """
    headers = {"Nats-Msg-Id": f"{dead_letter.consumer}/{dead_letter.stream}/{dead_letter.sequence}"}
    body = dead_letter.model_dump_json(exclude_none=True).encode()
    try:
        await publish(client, dead_letter.dead_letter_subject, body, headers)
    except (BadRequestError, ServiceUnavailableError) as error:
        if isinstance(error, ServiceUnavailableError) and not is_stream_full(error):
            raise
        raise DeadLetterRefused(str(error)) from error
    STORED.labels(consumer=dead_letter.consumer).inc()
    logger.error(
        "dead_letter_stored",
        stream=dead_letter.stream,
        sequence=dead_letter.sequence,
        reasons=list(dead_letter.reasons),
    )


async def read_dead_letters(client: Client) -> AsyncIterator[StoredDeadLetter]:
    """Yields all dead letters, the oldest first. Raises NotFoundError if the stream does not exist."""
    end_sequence = await last_sequence(client, DEAD_LETTERS.name)
    async for message in read(client, DEAD_LETTERS.name, end_sequence=end_sequence):
        yield StoredDeadLetter(message.seq, message.time, DeadLetter.model_validate_json(message.data))


async def referenced_sequences(client: Client, stream: str) -> frozenset[int]:
    """Returns the sequences of the stream's messages to which dead letters refer. They must not be deleted."""
    try:
        found = [one.dead_letter async for one in read_dead_letters(client)]
    except NotFoundError:
        return frozenset()
    return frozenset(one.sequence for one in found if one.is_reference and one.stream == stream)
