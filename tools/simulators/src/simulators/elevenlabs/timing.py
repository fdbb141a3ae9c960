"""How fast the simulated vendor answers on its streaming protocols, in simulated seconds."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_Seconds = Annotated[float, Field(ge=0, le=60)]


class SpeechTiming(BaseModel):
    """Synthesis over WebSockets."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first_audio_seconds: _Seconds = 0.1
    real_time_factor: float = Field(default=0.1, ge=0, le=10)
    """Seconds that a second of audio takes to be made; below 1 is faster than real time."""


class TranscriptionTiming(BaseModel):
    """Realtime transcription, as users report it; a pair is the bounds of a random time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    partial_interval_seconds: _Seconds = 0.5
    partial_seconds: _Seconds = 0.15
    commit_seconds: tuple[_Seconds, _Seconds] = (0.1, 0.4)
    doubled_commits: float = Field(default=0.0, ge=0, le=1)
    """The probability that a committed transcript is sent twice."""
    decision_seconds: tuple[_Seconds, _Seconds] = (0.7, 0.9)
    """With `commit_strategy=vad`: the silence before a commit, for any setting of the client."""
    cold_start_seconds: _Seconds = 2.0
    """Audio that must be received before anything is answered."""
    cold_after_seconds: _Seconds | None = None
    """A pause of the client, in real seconds, after which the session is cold again; None: never."""
    min_commit_seconds: _Seconds = 0.3
    max_uncommitted_seconds: float = Field(default=90.0, gt=0)
    max_chunk_seconds: float = Field(default=10.0, gt=0)


class Timing(BaseModel):
    """Both streaming protocols."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    speech: SpeechTiming = SpeechTiming()
    transcription: TranscriptionTiming = TranscriptionTiming()
