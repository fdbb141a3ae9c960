"""What this service needs of the world."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from chassis.event_log import Guard, StoredEvent
from contracts import AudioRequested, Envelope, Event, PhoneNumber, TelephonyStatus
from voice.domain.clips import Recipe


@dataclass(frozen=True, slots=True)
class DialOrder:
    """One attempt to be dialled. It may ring for `ring_seconds` and last for `longest_seconds` once answered."""

    call_id: UUID
    attempt: int
    number: PhoneNumber
    ring_seconds: int
    longest_seconds: int


@dataclass(frozen=True, slots=True)
class ProviderCall:
    """A call as the provider has it. `duration_seconds` is none until it has ended."""

    provider_call_id: str
    status: TelephonyStatus
    created_at: datetime | None
    duration_seconds: int | None


class Telephony(Protocol):
    """Places calls and ends them."""

    @property
    def provider(self) -> str:
        """The provider's name, as `dial.placed` records it."""
        ...

    async def place(self, order: DialOrder) -> str:
        """Sends one request to dial and gives the call's id at the provider. Never repeats it.

        Raises DialFailed, and nothing else.
        """
        ...

    async def hang_up(self, provider_call_id: str) -> None:
        """Ends a call, in whatever state it is; nothing happens if it is over already."""
        ...


class SpokenFallback(Protocol):
    """The provider's own voice, for when no other is to be had."""

    async def redirect_to_remainder(
        self, provider_call_id: str, call_id: UUID, attempt: int, turn: int, sentence: int
    ) -> None:
        """Redirects the call to the edge, whose instruction speaks the turn from `sentence` on.

        Has no effect if the call is over. Any exception means that the call was not redirected.
        """
        ...


class Directory(Protocol):
    """What the provider knows of its calls. Any exception means that it could not be asked."""

    async def fetch(self, provider_call_id: str) -> ProviderCall | None:
        """The call of this id; none if the provider knows of no such call."""
        ...

    async def calls_to(self, number: PhoneNumber, since: datetime) -> list[ProviderCall]:
        """Calls from our number to this one; some of them may have been made before `since`, on the same day."""
        ...


class Speech(Protocol):
    """Turns sentences into sound."""

    @property
    def name(self) -> str:
        """Whose voice it is."""
        ...

    def recipe(self, request: AudioRequested) -> Recipe:
        """How the sentence will be spoken."""
        ...

    def synthesize(self, recipe: Recipe, *, first_by: float) -> AsyncGenerator[bytes, None]:
        """MP3 in pieces, as it is made, the first by an instant of the running loop's clock (seconds).

        Raises `providers.RequestFailed`, also after the first piece.
        """
        ...


class Clips(Protocol):
    """Speech that repeats, kept under the digest of its recipe. Never raises: a cache that fails is empty."""

    async def get(self, digest: str) -> bytes | None:
        """The clip, if there is one."""
        ...

    async def put(self, digest: str, audio: bytes) -> None:
        """Keeps the clip, if there is room."""
        ...


class CallLog(Protocol):
    """The stream of facts; see `chassis.event_log.Log`, which is it."""

    async def append(
        self,
        event: Event,
        *,
        cause: Envelope | None = None,
        guard: Guard | None = None,
        event_id: str | None = None,
    ) -> object:
        """Stores the event. Raises Conflict if the guard does not hold."""
        ...

    async def last(self, subject: str) -> StoredEvent | None:
        """The newest event on a filter."""
        ...

    async def read(self, subjects: Sequence[str]) -> list[StoredEvent]:
        """Every event on these filters, in the order of the log."""
        ...


class SpokenFacts(Protocol):
    """What is asked to be spoken in a call, past and to come."""

    def follow(self, call_id: UUID) -> AbstractAsyncContextManager[AsyncIterator[StoredEvent]]:
        """Every `audio.requested` and `reply.generated` of the call from the first on, without an end."""
        ...


class DialFacts(Protocol):
    """What all replicas dial."""

    def heard(self) -> AbstractAsyncContextManager[AsyncIterator[list[StoredEvent]]]:
        """Clearances and outcomes, from where they tell of all that counts, in the order of the log, without an end."""
        ...


class DialRateLimiter(Protocol):
    """Who may be dialled now."""

    async def clear(self, call_id: UUID, attempt: int, cause: Envelope) -> None:
        """Waits until the attempt may be sent."""
        ...
