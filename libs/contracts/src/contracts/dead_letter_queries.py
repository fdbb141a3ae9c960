"""Requests about dead letters over NATS request/reply, which the process of dead letters answers (ADR 53)."""

from typing import Any, ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from contracts.instants import Instant

MAX_LISTED = 100
"""The maximum number of dead letters in one answer, or of groups. A page stays below the payload limit of NATS."""
_Sequence = Field(ge=1, description="sequence in DEAD_LETTERS")
_Group = Field(default="", description="id of its group: same stream, consumer, message and first reason")


class _DeadLetterSelection(BaseModel):
    """Which dead letters an answer is about: those after a sequence, of a stream, of a consumer."""

    model_config = ConfigDict(frozen=True)

    after_sequence: int = Field(default=0, ge=0)
    stream: str | None = Field(default=None, description="only those of messages of this stream")
    consumer: str | None = Field(default=None, description="only those of this consumer")


class DeadLetterListQuery(_DeadLetterSelection):
    """A query for dead letters, the oldest first."""

    subject: ClassVar[str] = "dead_letters.list"

    group: str | None = Field(default=None, description="only those of this group")
    limit: int = Field(default=MAX_LISTED, ge=1, le=MAX_LISTED)


class ListedDeadLetter(BaseModel):
    """A dead letter without its message."""

    model_config = ConfigDict(frozen=True)

    sequence: int = _Sequence
    stored_at: Instant
    stream: str = Field(description="the stream of its message")
    message_sequence: int = Field(description="sequence of its message in that stream")
    consumer: str
    subject: str = Field(description="subject of its message; it may contain the digest of a number")
    deliveries: int = Field(description="how often the message was delivered")
    reasons: tuple[str, ...]
    group: str = _Group


class DeadLetterList(BaseModel):
    """One page of dead letters. A page that read as much as one request may read has fewer, perhaps none."""

    model_config = ConfigDict(frozen=True)

    dead_letters: tuple[ListedDeadLetter, ...]
    read_sequence: int = Field(description="all dead letters up to this sequence were read")
    has_more: bool = Field(description="whether further dead letters follow that sequence")


class DeadLetterGroupsQuery(_DeadLetterSelection):
    """A query for the numbers of dead letters with the same stream, consumer, kind of message and first reason."""

    subject: ClassVar[str] = "dead_letters.groups"


class DeadLetterGroup(BaseModel):
    """Dead letters with the same stream, consumer, kind of message and first reason."""

    model_config = ConfigDict(frozen=True)

    stream: str
    consumer: str
    message: str = Field(description="the first two tokens of the subject", examples=["call.requested"])
    reason: str = Field(description="the first reason, with `#` in place of each number")
    count: int
    oldest_at: Instant
    newest_at: Instant
    first_sequence: int = Field(description="sequence of the oldest one in DEAD_LETTERS")
    group: str = _Group


class DeadLetterGroups(BaseModel):
    """The largest groups, and how much of the stream was read to count them."""

    model_config = ConfigDict(frozen=True)

    groups: tuple[DeadLetterGroup, ...]
    other_count: int = Field(description="dead letters in smaller groups that are left out")
    read_sequence: int = Field(description="all dead letters up to this sequence were read")
    has_more: bool = Field(description="whether further dead letters follow that sequence")


class DeadLetterQuery(BaseModel):
    """A query for one dead letter and its message, without personal data."""

    model_config = ConfigDict(frozen=True)

    subject: ClassVar[str] = "dead_letters.show"

    sequence: int = _Sequence


class MaskedMessage(BaseModel):
    """What is published if a dead letter is resent, without personal data (`contracts.masked`)."""

    model_config = ConfigDict(frozen=True)

    message_id: str = Field(description="the id by which consumers recognise the message")
    size_bytes: int
    is_sealed: bool = Field(description="its personal fields are sealed, and not in `body`")
    body: Any = Field(description="its JSON; of unknown and personal fields the shape; null: it is not JSON")


class DeadLetterDetails(BaseModel):
    """A dead letter and its message."""

    model_config = ConfigDict(frozen=True)

    dead_letter: ListedDeadLetter | None = Field(description="null: there is none at this sequence")
    call_id: UUID | None = Field(default=None, description="the call that the message is about")
    message: MaskedMessage | None = None
    reason: str | None = Field(default=None, description="why there is no message")


class RetryDeadLetter(BaseModel):
    """A command: publish the message of a dead letter again, and erase the dead letter."""

    model_config = ConfigDict(frozen=True)

    subject: ClassVar[str] = "dead_letters.retry"

    sequence: int = _Sequence


class DropDeadLetter(BaseModel):
    """A command: erase a dead letter, and its request unless that was decided."""

    model_config = ConfigDict(frozen=True)

    subject: ClassVar[str] = "dead_letters.drop"

    sequence: int = _Sequence


class DeadLetterOutcome(BaseModel):
    """What became of a `RetryDeadLetter` or `DropDeadLetter`."""

    model_config = ConfigDict(frozen=True)

    dead_letter: ListedDeadLetter | None = Field(description="as it was before; null: there is none at this sequence")
    stored_sequence: int | None = Field(default=None, description="sequence of the message that was published again")
    call_id: UUID | None = Field(default=None, description="the call that a message which was resent is about")
    reason: str | None = Field(default=None, description="why nothing was done; null: it was done")
