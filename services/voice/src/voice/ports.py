"""What this service needs of the world."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from chassis.log import Guard, Recorded
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

    async def place(self, order: DialOrder) -> str:
        """Sends one request to dial and gives the call's id at the provider. Never repeats it.

        Raises DialFailed, and nothing else.
        """
        ...

    async def hang_up(self, provider_call_id: str) -> None:
        """Ends a call, in whatever state it is; nothing happens if it is over already."""
        ...


class Directory(Protocol):
    """What the provider knows of its calls. Any exception means that it could not be asked."""

    async def fetch(self, provider_call_id: str) -> ProviderCall | None:
        """The call of this id; none if the provider knows of no such call."""
        ...

    async def calls_to(self, number: PhoneNumber, since: datetime) -> list[ProviderCall]:
        """Calls from our number to this one; some of them may have been made before `since`, on the same day."""
        ...


class SpeechFailed(Exception):
    """No speech, or no more of it. The message holds no text that was to be spoken."""


class Speech(Protocol):
    """Turns sentences into sound."""

    name: str

    def recipe(self, request: AudioRequested) -> Recipe:
        """How the sentence will be spoken."""
        ...

    def synthesize(self, recipe: Recipe) -> AsyncGenerator[bytes, None]:
        """MP3 in pieces, as it is made. Raises SpeechFailed, also after the first piece."""
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
    """The stream of facts; see `chassis.log.Log`, which is it."""

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

    async def last(self, subject: str) -> Recorded | None:
        """The newest event on a filter."""
        ...

    async def read(self, subjects: Sequence[str]) -> list[Recorded]:
        """Every event on these filters, in the order of the log."""
        ...


class SpokenFacts(Protocol):
    """What is asked to be spoken in a call, past and to come."""

    def follow(self, call_id: UUID) -> AbstractAsyncContextManager[AsyncIterator[Recorded]]:
        """Every `audio.requested` and `reply.generated` of the call from the first on, without an end."""
        ...
