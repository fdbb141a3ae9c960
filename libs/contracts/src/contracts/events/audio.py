"""Events about speech synthesis: requested, ready, failed. The audio itself never crosses the bus (law 7)."""

from typing import ClassVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from contracts.event import CallEvent, Service
from contracts.personal import PersonalText
from contracts.vocabulary import SpeechFallback


class AudioRequested(CallEvent):
    """A sentence of a reply must be spoken. The greeting, turn 0, is requested in logs of older builds only."""

    event_name: ClassVar[str] = "audio.requested"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.CONVERSATION})
    version: ClassVar[int] = 2

    attempt: int = Field(description="0 for a greeting in a log of an older build")
    turn: int
    sentence: int = Field(description="from 0 in each turn")
    text: PersonalText
    language: str
    voice: str | None = Field(default=None, description="null: that of the call")
    is_reusable: bool = Field(
        default=False,
        validation_alias=AliasChoices("is_reusable", "repeats"),
        description="a stock phrase, which is stored as a clip",
    )


class SentenceAudio(BaseModel):
    """The complete audio of one sentence: it was synthesized, or its clip was found."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    sentence: int
    digest: str | None = Field(
        default=None,
        description="only of older builds: SHA-256 of voice, model, settings and text. It reveals a short text",
    )
    duration_seconds: float = Field(validation_alias=AliasChoices("duration_seconds", "seconds"))
    is_cached: bool = Field(validation_alias=AliasChoices("is_cached", "cached"))
    provider: str
    first_byte_seconds: float | None = None
    fallback: SpeechFallback | None = Field(default=None, description="null: the requested voice was used")


class AudioReady(CallEvent, SentenceAudio):
    """A turn was played: the audio of a sentence, and of the later sentences that became ready with it."""

    event_name: ClassVar[str] = "audio.ready"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.VOICE})
    version: ClassVar[int] = 2

    attempt: int
    turn: int
    later: tuple[SentenceAudio, ...] = Field(
        default=(), description="empty in logs of older builds, which stored one event per sentence"
    )

    @property
    def sentences(self) -> tuple[SentenceAudio, ...]:
        """The audio of all sentences of this event, in their order."""
        return self, *self.later


class AudioFailed(CallEvent):
    """The sentence could not be synthesized completely."""

    event_name: ClassVar[str] = "audio.failed"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.VOICE})

    attempt: int
    turn: int
    sentence: int
    reason: str
    fallback: str | None = Field(
        default=None, description="`say`: the telephone provider's voice speaks the turn from this sentence on"
    )
