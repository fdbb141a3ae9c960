"""What this service needs from the telephone provider, from speech vendors and from the stores of its events."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from chassis.event_log import StoredEvent
from contracts import AudioRequested, PhoneNumber, TelephonyStatus
from contracts.values import CallerId
from voice.domain.clips import ClipName, SynthesisRequest
from voice.domain.live.speech_stream import ContextFinished, SpokenAudio, SynthesisError
from voice.domain.live.transcription import CommittedTranscript, PartialTranscript, TranscriptionError


@dataclass(frozen=True, slots=True)
class DialOrder:
    """One attempt to dial."""

    call_id: UUID
    attempt: int
    number: PhoneNumber
    ring_seconds: int
    """How long the phone may ring."""
    max_call_seconds: int
    """How long the call may last once it is answered."""
    caller_id: CallerId | None = None
    """The number that calls; none: that of the installation."""


@dataclass(frozen=True, slots=True)
class ProviderCall:
    """A call in the provider's records. `duration_seconds` is none until the call has ended."""

    provider_call_id: str
    status: TelephonyStatus
    created_at: datetime | None
    duration_seconds: int | None


class Telephony(Protocol):
    """Dials and hangs up."""

    @property
    def provider(self) -> str:
        """The provider's name, as `dial.placed` records it."""
        ...

    async def dial(self, order: DialOrder) -> str:
        """Sends one dial request, and returns the call's id at the provider. Never repeats the request.

        Raises DialFailed and no other exception.
        """
        ...

    async def hang_up(self, provider_call_id: str) -> None:
        """Ends a call in any state. Has no effect if the call is over."""
        ...


class SpokenFallback(Protocol):
    """The provider's own voice, which speaks a turn when speech synthesis has failed."""

    async def redirect_to_remainder(
        self, provider_call_id: str, call_id: UUID, attempt: int, turn: int, sentence: int, after_sequence: int = 0
    ) -> None:
        """Redirects the call to the edge, whose instruction speaks the turn from `sentence` on.

        `after_sequence` is that of the turn's `speech.heard`; 0 if it is not known.

        Has no effect if the call is over. Any exception means that the call was not redirected.
        """
        ...


class MessageLine(Protocol):
    """The line on which a message is left."""

    async def redirect_to_message(self, provider_call_id: str, call_id: UUID, attempt: int) -> None:
        """Redirects the call to the edge, whose instruction plays the message to a machine.

        Has no effect if the call is over. Any exception means that the call was not redirected.
        """
        ...


class CallDirectory(Protocol):
    """The provider's records of calls. Any exception means that they could not be read."""

    async def fetch(self, provider_call_id: str) -> ProviderCall | None:
        """Returns the call with this id; none if the provider has no such call."""
        ...

    async def list_calls(
        self, number: PhoneNumber, created_after: datetime, caller_id: CallerId | None
    ) -> list[ProviderCall]:
        """Returns calls from a number of ours to this one. Some may have been created earlier, on the same day.

        `caller_id`: as in `DialOrder`.
        """
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
        """Yields audio in pieces as the vendor sends them.

        The first piece arrives by `first_by`, in seconds of the running loop's clock. Raises
        `providers.RequestFailed`, also after the first piece.
        """
        ...


class Clips(Protocol):
    """Stored speech. Never raises: a store that fails counts as empty."""

    async def has(self, name: ClipName) -> bool:
        """Returns whether the clip is stored, without reading it."""
        ...

    async def get(self, name: ClipName) -> bytes | None:
        """Returns the clip; none if there is none."""
        ...

    async def put(self, name: ClipName, audio: bytes, *, is_answered: bool = True) -> None:
        """Stores the clip if there is room. One for a single call that is not answered yet is stored when it is."""
        ...


class TurnEvents(Protocol):
    """The events of a call that make up its turns."""

    def follow(self, call_id: UUID, after_sequence: int) -> AbstractAsyncContextManager[AsyncIterator[StoredEvent]]:
        """Yields every `audio.requested` and `reply.generated` of the call, stored and future ones, without an end.

        `after_sequence` is that of the `speech.heard` that began the turn; 0: from the beginning of the call. Events
        may be out of order.
        """
        ...


@dataclass(frozen=True, slots=True)
class LastPermit:
    """The last permit in the log. `is_chained`: false for one of an older build, which no guard covers."""

    sequence: int
    replay_from_sequence: int
    is_chained: bool


class DialEvents(Protocol):
    """The events of all replicas' dials."""

    def follow(
        self,
    ) -> AbstractAsyncContextManager[tuple[LastPermit | None, AsyncIterator[list[StoredEvent]]]]:
        """Returns the last permit, and then permits and outcomes in log order, from the oldest that still counts.

        The events are without an end.
        """
        ...


class CallEvents(Protocol):
    """The events of a live call."""

    def follow_call(
        self, call_id: UUID, after_sequence: int
    ) -> AbstractAsyncContextManager[AsyncIterator[StoredEvent]]:
        """Yields what a live conversation follows of a call, stored and future events, without an end.

        `after_sequence` is that of an event of the call. Events may be out of order.
        """
        ...


class Line(Protocol):
    """The line of a live call: what it plays is sent, and returns at once. A line that is lost ends the call."""

    def send_audio(self, audio: bytes) -> None:
        """Plays mu-law at 8 kHz, of any length, behind what is buffered."""
        ...

    def send_mark(self, name: str) -> None:
        """Asks for a mark to return when the audio before it has been played."""
        ...

    def clear(self) -> None:
        """Discards what is buffered; all pending marks return."""
        ...


class TextLine(Protocol):
    """The line of a call whose provider speaks: what it says is sent, and returns at once."""

    def speak(
        self, text: str, language: str, *, is_last: bool, is_interruptible: bool = True, is_preemptible: bool = True
    ) -> None:
        """Speaks a text behind those before it. One that `is_last` ends a talk cycle.

        `is_interruptible`: the callee may end it. `is_preemptible`: the next cycle ends it.
        """
        ...

    def end_cycle(self) -> None:
        """Ends a talk cycle: no further text of it follows."""
        ...

    def press_keys(self, digits: str) -> None:
        """Presses keys for the callee."""
        ...


class Transcription(Protocol):
    """One session of a transcriber."""

    def feed(self, audio: bytes, *, is_commit: bool = False) -> None:
        """Sends audio of the callee: mu-law at 8 kHz. A commit requests the final transcript; it may have no audio."""
        ...

    def transcripts(self) -> AsyncGenerator[PartialTranscript | CommittedTranscript | TranscriptionError, None]:
        """Yields transcripts, and errors after which the session goes on. Raises `providers.RequestFailed` at its end.

        A session ends by itself only by a failure.
        """
        ...


class Transcriber(Protocol):
    """A vendor that transcribes speech while it is spoken."""

    def open(self, *, language: str, previous_text: str | None = None) -> AbstractAsyncContextManager[Transcription]:
        """Opens a session. `previous_text` is what was said before it. Raises `providers.RequestFailed`."""
        ...


class SpeechStream(Protocol):
    """One socket of a speech vendor. A context is one reply: its sentences share their prosody."""

    def begin(self, context: str) -> None:
        """Begins a context."""
        ...

    def speak(self, context: str, text: str) -> None:
        """Synthesizes a sentence of a context."""
        ...

    def close(self, context: str) -> None:
        """Ends a context. What was not synthesized yet is not synthesized."""
        ...

    def messages(self) -> AsyncGenerator[SpokenAudio | ContextFinished | SynthesisError, None]:
        """Yields the vendor's messages. Raises `providers.RequestFailed` when the socket ends, for any reason."""
        ...


class SpeechStreams(Protocol):
    """A speech vendor that synthesizes sentences while a reply is generated."""

    @property
    def name(self) -> str:
        """The vendor, as the log names it."""
        ...

    def open(self, *, language: str, voice: str | None) -> AbstractAsyncContextManager[SpeechStream]:
        """Opens a socket for one voice; none: that of the installation. Raises `providers.RequestFailed`."""
        ...
