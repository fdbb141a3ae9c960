"""The simulator's record of one media stream. Times are simulated seconds since the stream's start, where not noted."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

ClosedBy = Literal["server", "network", "callee", "api", "twilio", "refused", "time_limit", "simulator"]


@dataclass
class MarkEntry:
    """A mark: when it was received and returned, and whether its audio was played or cleared."""

    name: str
    received_seconds: float
    returned_seconds: float | None = None
    reason: Literal["played", "cleared"] | None = None


@dataclass
class ClearEntry:
    """A `clear`, the length of the audio that it discarded, and the marks that it returned."""

    seconds: float
    discarded_seconds: float
    marks: list[str]


@dataclass
class SoundEntry:
    """A sound of the callee; `start_seconds` is its first voiced frame, `seconds` its length. Noise has no text.

    If the agent was audible at the start, `seconds_to_clear` is the time until the next `clear`, and
    `seconds_to_silence` until the callee hears the agent no more; None if that did not happen in this stream.
    `prompted_seconds` is when its words were sent in a session of ConversationRelay; None: they were not.
    """

    kind: Literal["utterance", "backchannel", "noise"]
    text: str
    seconds: float
    start_seconds: float = 0.0
    is_over_agent: bool = False
    seconds_to_clear: float | None = None
    seconds_to_silence: float | None = None
    prompted_seconds: float | None = None


@dataclass
class StreamEntry:
    """One <Stream>: how it opened and ended, and what passed in both directions.

    `frames_sent` are frames of the callee that were sent to the server; `frames_lost` were not, by a fault or because
    the server does not read. `received_seconds` is the agent's audio as received, `played_seconds` as heard.
    `arrivals` are the times at which audio, or text in a session of ConversationRelay, arrived after a pause of at
    least 0.3 s in its arrival, between frames too.
    `heard` are the intervals in which the callee heard audio of the agent. `underruns` are gaps of less than half a
    second in it without a `clear`. `overlap_seconds` is the time in which both spoke. `gap_seconds` is the real time
    since the end of the call's last open stream, `silence_gap_seconds` that from the last sound of the agent in it to
    the first one here. `late_seconds` is real time by which this simulator was late, so its audio stood still.
    `starts_at_seconds` is the position of the stream's start in the recording of the call.

    A session of ConversationRelay is a stream, too, with the noun in `kind`. `spoken` are the words of the agent that
    the callee has heard, `interruptions` what was heard of each reply until the callee interrupted it.
    """

    url: str
    sid: str
    name: str
    parameters: dict[str, str]
    opened: bool = False
    closed_by: ClosedBy | None = None
    close_code: int | None = None
    seconds: float = 0.0
    starts_at_seconds: float = 0.0
    frames_sent: int = 0
    frames_lost: int = 0
    messages_received: int = 0
    received_seconds: float = 0.0
    played_seconds: float = 0.0
    overlap_seconds: float = 0.0
    underruns: int = 0
    gap_seconds: float | None = None
    silence_gap_seconds: float | None = None
    late_seconds: float = 0.0
    arrivals: list[float] = field(default_factory=list)
    heard: list[list[float]] = field(default_factory=list)
    marks: list[MarkEntry] = field(default_factory=list)
    clears: list[ClearEntry] = field(default_factory=list)
    sounds: list[SoundEntry] = field(default_factory=list)
    kind: str = "Stream"
    spoken: list[str] = field(default_factory=list)
    interruptions: list[str] = field(default_factory=list)
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())
