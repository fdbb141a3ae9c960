"""Events about speech synthesis: requested, ready, failed. The audio itself never crosses the bus (law 7)."""

from typing import ClassVar

from pydantic import AliasChoices, Field

from contracts.event import CallEvent, Service
from contracts.vocabulary import SpeechFallback


class AudioRequested(CallEvent):
    """A sentence must be spoken. Turn 0 is the greeting: voice appends it when it plays the greeting, or cannot."""

    event_name: ClassVar[str] = "audio.requested"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.VOICE, Service.CONVERSATION})
    version: ClassVar[int] = 2

    attempt: int = Field(description="0 for a greeting in a log of an older build")
    turn: int
    sentence: int = Field(description="from 0 in each turn")
    text: str
    language: str
    voice: str | None = Field(default=None, description="null: the default voice")
    is_reusable: bool = Field(
        default=False,
        validation_alias=AliasChoices("is_reusable", "repeats"),
        description="a greeting or stock phrase, which is stored as a clip",
    )


class AudioReady(CallEvent):
    """The sentence was synthesized, or its clip was found."""

    event_name: ClassVar[str] = "audio.ready"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.VOICE})
    version: ClassVar[int] = 2

    attempt: int
    turn: int
    sentence: int
    digest: str = Field(description="SHA-256 of voice, model, settings and text")
    duration_seconds: float = Field(validation_alias=AliasChoices("duration_seconds", "seconds"))
    is_cached: bool = Field(validation_alias=AliasChoices("is_cached", "cached"))
    provider: str
    first_byte_seconds: float | None = None
    fallback: SpeechFallback | None = Field(default=None, description="null: the requested voice was used")


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
