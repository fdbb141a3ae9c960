"""What this service needs of the world."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from chassis.event_log import StoredEvent
from contracts import AudioRequested, Envelope, PhoneNumber, TelephonyStatus
from voice.domain.clips import SynthesisRequest


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


class Synthesizer(Protocol):
    """A voice of a speech vendor."""

    @property
    def name(self) -> str:
        """The vendor, as the log names it."""
        ...

    def build_request(self, sentence: AudioRequested) -> SynthesisRequest:
        """Returns the request for a sentence, with this voice's settings."""
        ...

    def synthesize(self, request: SynthesisRequest, *, first_by: float) -> AsyncGenerator[bytes, None]:
        """Yields MP3 in pieces as the vendor sends them.

        The first piece arrives by `first_by`, in seconds of the running loop's clock. Raises
        `providers.RequestFailed`, also after the first piece.
        """
        ...


class Clips(Protocol):
    """Stored speech, by the digest of its synthesis request. Never raises: a store that fails is an empty one."""

    async def get(self, digest: str) -> bytes | None:
        """Returns the clip; none if there is none."""
        ...

    async def put(self, digest: str, audio: bytes) -> None:
        """Stores the clip if there is room."""
        ...


class SpeechEvents(Protocol):
    """The events of a call that make up its turns."""

    def follow(self, call_id: UUID) -> AbstractAsyncContextManager[AsyncIterator[StoredEvent]]:
        """Returns every `audio.requested` and `reply.generated` of the call, stored and to come, without an end."""
        ...


class DialEvents(Protocol):
    """The events of all replicas' dials."""

    def follow(self) -> AbstractAsyncContextManager[AsyncIterator[list[StoredEvent]]]:
        """Returns permits and outcomes in log order, without an end, from the oldest one that still counts."""
        ...


class DialRateLimiter(Protocol):
    """Who may be dialled now."""

    async def clear(self, call_id: UUID, attempt: int, cause: Envelope) -> None:
        """Waits until the attempt may be sent."""
        ...
