"""What became of requests that were erased, and whose decision no other event of the log shows.

A request in clear is erased once it is decided, and so is each command for a do-not-call list. One that creates or
changes a call is in the decision, which has its position as `Call.command_sequence`. All others are named here, before
they are erased. So each position of REQUESTS is in the stream, in a decision, or in such an event, and `replay verify`
finds one that was dropped.
"""

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from contracts.event import Event, Service
from contracts.instants import Instant
from contracts.invalid import MAX_REASON_LENGTH
from contracts.vocabulary import RequestResult


class ErasedRequest(BaseModel):
    """One erased message of REQUESTS. It contains no personal data but ids."""

    model_config = ConfigDict(frozen=True)

    sequence: int = Field(description="its sequence in REQUESTS")
    result: RequestResult
    reason: Annotated[str, StringConstraints(max_length=MAX_REASON_LENGTH)] = Field(
        default="", description="why it was refused, without the number"
    )
    call_id: str | None = None
    campaign_id: str | None = None
    number_digest: str | None = Field(
        default=None, description="the number that a command for a do-not-call list was about; null: no such command"
    )


class RequestsErased(Event):
    """Messages of REQUESTS are about to be erased. One event names all that wait for their erasure at the same time."""

    event_name: ClassVar[str] = "request.erased"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.ORCHESTRATOR})

    requests: tuple[ErasedRequest, ...]
    erased_at: Instant

    @property
    def subject(self) -> str:
        """``request.erased``: one literal subject, because the server remembers each subject of a stream."""
        return self.event_name

    @classmethod
    def subjects(cls) -> str:
        """``request.erased``."""
        return cls.event_name
