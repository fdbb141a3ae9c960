"""The events of live conversations in plain words (docs/live.md), as phrases that a program can translate.

A phrase is an English text with named values. `TEXTS` has all of these texts. What was spoken or pressed is in no
phrase: `spoken_in` returns it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import get_args

from contracts import (
    KeysPressed,
    MediaClosed,
    MediaDegraded,
    MediaKind,
    MediaLost,
    MediaOpened,
    SpeechInterrupted,
    SpeechPlayed,
)
from contracts.vocabulary import DegradationReason, InterruptionReason, MediaClosedReason, MediaLostReason

StreamEvent = MediaOpened | MediaClosed | MediaLost | MediaDegraded
"""The events about the streams of an attempt."""
LiveEvent = StreamEvent | KeysPressed | SpeechInterrupted | SpeechPlayed
"""The events that only live conversations have."""
STREAM_EVENT_NAMES = frozenset(kind.event_name for kind in get_args(StreamEvent))
LIVE_EVENT_NAMES = frozenset(kind.event_name for kind in get_args(LiveEvent))

OPENED, AFTER_TURN = "stream %(generation)s opened", "after turn %(turn)s"
OF_TEXT = "the provider transcribes and speaks"
CLOSED, LATE_AUDIO = "stream %(generation)s closed after %(seconds)s s", "gaps in our audio: %(count)s"
LOST, DEGRADED = "stream %(generation)s lost", "goes on in turns"
PRESSED = "keys pressed"
INTERRUPTED = "interrupted after %(seconds)s s of sentence %(sentence)s"
HEARD, NOT_HEARD = "heard until then", "nothing was heard"
PLAYED, NOT_PLAYED, SECONDS = "played to its end", "not played to its end", "%(seconds)s s heard"
PAUSES, RESUMES, BACKCHANNELS = "pauses: %(count)s", "resumed: %(count)s", "backchannels: %(count)s"

_UNTRANSCRIBED = "the callee's words could not be transcribed"
_UNSPOKEN = "a sentence could not be synthesized"
CLOSED_WORDS: Mapping[MediaClosedReason, str] = {
    MediaClosedReason.HANG_UP: "the provider ended it",
    MediaClosedReason.GOODBYE: "the goodbye was heard",
    MediaClosedReason.DRAINED: "its process stops, another one continues",
    MediaClosedReason.DROPPED: "the connection was lost",
    MediaClosedReason.SUPERSEDED: "a newer stream has begun",
    MediaClosedReason.TRANSCRIPTION: _UNTRANSCRIBED,
    MediaClosedReason.SYNTHESIS: _UNSPOKEN,
    MediaClosedReason.MALFORMED: "the provider's messages could not be read, or it stopped reading ours",
    MediaClosedReason.OPTED_OUT: "the callee pressed the opt-out key",
    MediaClosedReason.TRANSFERRED: "the callee is transferred",
    MediaClosedReason.UNANSWERED: "no reply to the callee came",
}
LOST_WORDS: Mapping[MediaLostReason, str] = {
    MediaLostReason.DIED: "its process ended without a report",
    MediaLostReason.NEVER_OPENED: "no process accepted it",
}
DEGRADED_WORDS: Mapping[DegradationReason, str] = {
    DegradationReason.NOT_CONFIGURED: "the installation has no address for streams",
    DegradationReason.LOST_STREAMS: "too many streams failed",
    DegradationReason.TRANSCRIPTION: _UNTRANSCRIBED,
    DegradationReason.SYNTHESIS: _UNSPOKEN,
}
INTERRUPTED_WORDS: Mapping[InterruptionReason, str] = {
    InterruptionReason.WORDS: "the callee spoke",
    InterruptionReason.KEYS: "the callee pressed a key",
    InterruptionReason.TAKEOVER: "its stream ended",
}
FAILED_STREAMS = frozenset(
    {
        MediaClosedReason.DROPPED,
        MediaClosedReason.TRANSCRIPTION,
        MediaClosedReason.SYNTHESIS,
        MediaClosedReason.MALFORMED,
        MediaClosedReason.UNANSWERED,
    }
)
"""The reasons of an end that is a failure."""

TEXTS = frozenset(
    {
        *(OPENED, OF_TEXT, AFTER_TURN, CLOSED, LATE_AUDIO, LOST, DEGRADED, PRESSED, INTERRUPTED, HEARD, NOT_HEARD),
        *(PLAYED, NOT_PLAYED, SECONDS, PAUSES, RESUMES, BACKCHANNELS),
        *CLOSED_WORDS.values(),
        *LOST_WORDS.values(),
        *DEGRADED_WORDS.values(),
        *INTERRUPTED_WORDS.values(),
    }
)


@dataclass(frozen=True, slots=True)
class Phrase:
    """An English text and the values in it."""

    text: str
    values: Mapping[str, str | int] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text % self.values


def phrases_of(event: LiveEvent) -> list[Phrase]:
    """Returns the phrases that describe an event of a live conversation."""
    return list(_phrases(event))


def spoken_in(event: LiveEvent) -> str:
    """Returns the keys that were pressed, or the words that were heard until an interruption."""
    match event:
        case KeysPressed():
            return event.keys
        case SpeechInterrupted():
            return event.heard
        case _:
            return ""


def is_failure(event: LiveEvent) -> bool:
    """Returns whether a stream failed, or the conversation could not stay live."""
    return isinstance(event, MediaLost | MediaDegraded) or (
        isinstance(event, MediaClosed) and event.reason in FAILED_STREAMS
    )


def _phrases(event: LiveEvent) -> Iterator[Phrase]:
    match event:
        case MediaOpened():
            yield Phrase(OPENED, {"generation": event.generation})
            if event.kind is MediaKind.RELAY:
                yield Phrase(OF_TEXT)
            if event.previous_turn:
                yield Phrase(AFTER_TURN, {"turn": event.previous_turn})
        case MediaClosed():
            yield Phrase(CLOSED, {"generation": event.generation, "seconds": _seconds(event.seconds)})
            yield Phrase(CLOSED_WORDS[event.reason])
            yield from _counts({LATE_AUDIO: event.underruns})
        case MediaLost():
            yield Phrase(LOST, {"generation": event.generation})
            yield Phrase(LOST_WORDS[event.reason])
        case MediaDegraded():
            yield Phrase(DEGRADED)
            yield Phrase(DEGRADED_WORDS[event.reason])
        case KeysPressed():
            yield Phrase(PRESSED)
        case SpeechInterrupted():
            yield Phrase(INTERRUPTED, {"seconds": _seconds(event.heard_seconds), "sentence": event.sentence})
            yield Phrase(INTERRUPTED_WORDS[event.reason])
            yield Phrase(HEARD if event.heard else NOT_HEARD)
        case SpeechPlayed():
            yield Phrase(PLAYED if event.is_complete else NOT_PLAYED)
            yield Phrase(SECONDS, {"seconds": _seconds(event.seconds)})
            yield from _counts({PAUSES: event.pauses, RESUMES: event.resumes, BACKCHANNELS: event.backchannels})


def _counts(counts: Mapping[str, int]) -> Iterator[Phrase]:
    return (Phrase(text, {"count": count}) for text, count in counts.items() if count)


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f}"
