"""Dead letters in the stream ``DEAD_LETTERS``: each refers to a message that could not be processed."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import structlog
from nats.aio.client import Client
from nats.js.errors import BadRequestError, NotFoundError, ServiceUnavailableError
from pydantic import ValidationError

from chassis.event_log import publish
from chassis.leader_retry import is_stream_full
from chassis.metrics import DEAD_LETTERS as STORED
from chassis.sealed_copies import SealedCopy
from chassis.stream_reader import last_sequence, read
from contracts import reasons_of
from contracts.dead_letters import DeadLetter
from contracts.personal import PERSON_HEADER, json_and_sealed, with_sealed
from contracts.streams import DEAD_LETTERS

logger = structlog.get_logger()


class DeadLetterRefused(Exception):
    """The message can never become a dead letter: the server refuses it."""


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    """A dead letter, its sequence in DEAD_LETTERS, and when it was stored.

    `copy`: the sealed copy of its message, which is erased.
    """

    sequence: int
    at: datetime
    dead_letter: DeadLetter
    copy: SealedCopy | None = None

    @classmethod
    def read(cls, sequence: int, at: datetime, headers: Mapping[str, str] | None, data: bytes) -> Self:
        """Returns the dead letter in a message. One that this build cannot decode says so, so the others are read."""
        body, sealed = json_and_sealed(data)
        try:
            dead_letter = DeadLetter.model_validate_json(body)
        except ValidationError as error:
            return cls(sequence, at, DeadLetter.unreadable(sequence, reasons_of(error)))
        key = (headers or {}).get(PERSON_HEADER)
        return cls(sequence, at, dead_letter, SealedCopy(key, sealed) if key and sealed is not None else None)

    @property
    def is_reference(self) -> bool:
        """Whether the message is in its stream. Otherwise the dead letter has a copy of it."""
        return self.copy is None and not self.dead_letter.has_copy


async def store_dead_letter(client: Client, dead_letter: DeadLetter, copy: SealedCopy | None = None) -> None:
    """Publishes the dead letter, with a sealed copy of its message if there is one, and waits until it is stored.

    A second call for the same message and consumer stores nothing: both have the same ``Nats-Msg-Id``. Raises
    DeadLetterRefused, or an error of nats-py after which another attempt may succeed.
    """
    headers = {"Nats-Msg-Id": f"{dead_letter.consumer}/{dead_letter.stream}/{dead_letter.sequence}"}
    body = dead_letter.model_dump_json(exclude_none=True).encode()
    if copy:
        headers[PERSON_HEADER], body = copy.key, with_sealed(body, copy.sealed)
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
        yield StoredDeadLetter.read(message.seq, message.time, message.headers, message.data)


async def referenced_sequences(client: Client, stream: str) -> frozenset[int]:
    """Returns the sequences of the stream's messages to which dead letters refer. They must not be deleted."""
    try:
        found = [one.dead_letter async for one in read_dead_letters(client) if one.is_reference]
    except NotFoundError:
        return frozenset()
    return frozenset(one.sequence for one in found if one.stream == stream)
