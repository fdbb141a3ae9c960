"""The REST API of dead letters, under ``/api/v1/dead-letters``. Nothing in it names a person."""

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Depends, Path, Query, Request
from pydantic import BaseModel, Field, StringConstraints
from starlette.convertors import IntegerConvertor, register_url_convertor

from contracts.dead_letter_queries import (
    MAX_LISTED,
    DeadLetterGroup,
    DeadLetterGroupsQuery,
    DeadLetterListQuery,
    ListedDeadLetter,
    MaskedMessage,
)
from edge.application.dead_letters import DeadLetters, call_id_of_subject
from edge.entrypoints.openapi import problems
from edge.entrypoints.scopes import PREFIX, AdminActRoute, AdminRoute, create_router, key_of

MAX_SEQUENCE = 10**15 - 1
SEQUENCE = "{sequence:sequence}"
"""A sequence in a path. A path with an impossible one matches no route, so it is neither handled nor audited."""


class _SequenceConvertor(IntegerConvertor):
    regex = "[1-9][0-9]{0,14}"


register_url_convertor("sequence", _SequenceConvertor())

router = create_router(AdminRoute, "/dead-letters", "Dead letters")
act_router = create_router(AdminActRoute, "/dead-letters", "Dead letters")

Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_-]+$")]
Stream = Annotated[Name | None, Query(description="only those of messages of this stream", examples=["REQUESTS"])]
Consumer = Annotated[Name | None, Query(description="only those of this consumer", examples=["orchestrator-requests"])]
Group = Annotated[str | None, Query(pattern="^[0-9a-f]{16}$", max_length=16, description="only those of this group")]
Cursor = Annotated[
    int, Query(ge=0, le=MAX_SEQUENCE, description="after this sequence; set by `next`, default: from the oldest one")
]


Sequence = Annotated[int, Path(ge=1, le=MAX_SEQUENCE, description="number of the dead letter")]


class DeadLetterResource(BaseModel):
    """A message that could not be processed, without the message."""

    sequence: int = Field(description="its number, also for `centralita dead-letters`")
    stored_at: datetime
    age_seconds: int
    stream: str = Field(description="the stream of the message")
    message_sequence: int = Field(description="sequence of the message in that stream")
    consumer: str = Field(description="the consumer that could not process it")
    subject: str = Field(description="subject of the message; `*` in place of what may name a person")
    call_id: UUID | None = Field(description="the call in the subject; null: the subject names none")
    tries: int = Field(description="how often the message was delivered")
    reasons: list[str] = Field(description="why it could not be processed, a line for each wrong field; no values")
    group: str = Field(description="id of its group, for `?group=`")

    @classmethod
    def of(cls, listed: ListedDeadLetter, now: datetime) -> "DeadLetterResource":
        """Returns the public form of a masked dead letter."""
        return cls(
            sequence=listed.sequence,
            stored_at=listed.stored_at,
            age_seconds=max(0, int((now - listed.stored_at).total_seconds())),
            stream=listed.stream,
            message_sequence=listed.message_sequence,
            consumer=listed.consumer,
            subject=listed.subject,
            call_id=call_id_of_subject(listed.subject),
            tries=listed.deliveries,
            reasons=list(listed.reasons),
            group=listed.group,
        )


class DeadLetterDetailsResource(DeadLetterResource):
    """A dead letter and what is published if it is resent, without what names a person."""

    message: MaskedMessage | None = Field(description="null: it cannot be read")
    problem: str | None = Field(description="why the message cannot be read")


class DeadLetterPageResource(BaseModel):
    """Dead letters, the oldest first. A page may have fewer than `limit`, or none, and still a next one."""

    dead_letters: list[DeadLetterResource]
    next: str | None = Field(description="path of the next page; null: this is the last one")


class DeadLetterGroupsResource(BaseModel):
    """Numbers of dead letters by stream, consumer, message and first reason, the largest first."""

    groups: list[DeadLetterGroup]
    other_count: int = Field(description="dead letters in smaller groups that are left out")
    next: str | None = Field(description="path that counts those after the ones counted here; null: all are counted")


class RetriedDeadLetter(BaseModel):
    """A dead letter whose message was published again. The dead letter is erased."""

    sequence: int
    stream: str = Field(description="the stream that stores the message")
    stored_sequence: int = Field(description="sequence of the message in that stream")
    call_id: UUID | None = Field(description="the call that it is about, which it may create; null: it names none")


class DroppedDeadLetter(BaseModel):
    """A dead letter that was erased."""

    sequence: int


async def _dead_letters(request: Request) -> DeadLetters:
    dead_letters: DeadLetters = request.app.state.dead_letters
    return dead_letters


DeadLettersDependency = Annotated[DeadLetters, Depends(_dead_letters)]


@router.get("", response_model=DeadLetterPageResource)
async def list_dead_letters(
    dead_letters: DeadLettersDependency,
    stream: Stream = None,
    consumer: Consumer = None,
    group: Group = None,
    cursor: Cursor = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_LISTED, description="maximum number of items")] = MAX_LISTED,
) -> DeadLetterPageResource:
    """Lists messages that could not be processed, with the reasons. One request reads at most 2,000 of them."""
    query = DeadLetterListQuery(after_sequence=cursor, stream=stream, consumer=consumer, group=group, limit=limit)
    page, now = await dead_letters.list_page(query), datetime.now(UTC)
    given = query.model_dump(include={"stream", "consumer", "group", "limit"}, exclude_none=True)
    return DeadLetterPageResource(
        dead_letters=[DeadLetterResource.of(one, now) for one in page.dead_letters],
        next=_path("", given, page.read_sequence) if page.has_more else None,
    )


@router.get("/groups", response_model=DeadLetterGroupsResource)
async def count_dead_letters(
    dead_letters: DeadLettersDependency, stream: Stream = None, consumer: Consumer = None, cursor: Cursor = 0
) -> DeadLetterGroupsResource:
    """Counts dead letters by stream, consumer, message and first reason. One request reads at most 2,000 of them."""
    query = DeadLetterGroupsQuery(after_sequence=cursor, stream=stream, consumer=consumer)
    found = await dead_letters.count(query)
    given = query.model_dump(include={"stream", "consumer"}, exclude_none=True)
    return DeadLetterGroupsResource(
        groups=list(found.groups),
        other_count=found.other_count,
        next=_path("/groups", given, found.read_sequence) if found.has_more else None,
    )


@router.get(f"/{SEQUENCE}", response_model=DeadLetterDetailsResource, responses=problems(404))
async def show_dead_letter(dead_letters: DeadLettersDependency, sequence: Sequence) -> DeadLetterDetailsResource:
    """Returns a dead letter and its message: of unknown fields, and of those with personal data, only the shape."""
    found = await dead_letters.show(sequence)
    assert found.dead_letter  # noqa: S101  else UnknownDeadLetter was raised
    listed = DeadLetterResource.of(found.dead_letter, datetime.now(UTC)).model_dump()
    listed["call_id"] = found.call_id or listed["call_id"]
    return DeadLetterDetailsResource(**listed, message=found.message, problem=found.reason)


@act_router.post(
    f"/{SEQUENCE}/retry", name="dead_letter.retry", response_model=RetriedDeadLetter, responses=problems(404, 409)
)
async def retry_dead_letter(
    request: Request, dead_letters: DeadLettersDependency, sequence: Sequence
) -> RetriedDeadLetter:
    """Publishes the message again, and erases the dead letter once it is stored. A repetition is answered with 404.

    409: the log contains the decision on the message already, or it must not or cannot be published again.
    """
    outcome = await dead_letters.retry(key_of(request).name, sequence)
    assert outcome.dead_letter  # noqa: S101  else UnknownDeadLetter was raised
    return RetriedDeadLetter(
        sequence=sequence,
        stream=outcome.dead_letter.stream,
        stored_sequence=outcome.stored_sequence or 0,
        call_id=outcome.call_id,
    )


@act_router.post(
    f"/{SEQUENCE}/drop", name="dead_letter.drop", response_model=DroppedDeadLetter, responses=problems(404)
)
async def drop_dead_letter(
    request: Request, dead_letters: DeadLettersDependency, sequence: Sequence
) -> DroppedDeadLetter:
    """Erases the dead letter, and its request unless that was decided. Nothing is published. A repetition is a 404."""
    await dead_letters.drop(key_of(request).name, sequence)
    return DroppedDeadLetter(sequence=sequence)


def _path(name: str, query: dict[str, object], sequence: int) -> str:
    return f"{PREFIX}/dead-letters{name}?{urlencode({**query, 'cursor': sequence})}"
