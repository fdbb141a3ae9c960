"""One call as a timeline: its events, its conversation, and its state after any sequence."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from centralita.replay.event_description import description
from centralita.replay.messages import Message
from centralita.replay.record import Record
from contracts import (
    AudioFailed,
    AudioReady,
    AudioRequested,
    Call,
    CallDecision,
    ConversationEnded,
    InvalidMessage,
    ReplyGenerated,
    SpeechFallback,
    SpeechHeard,
)
from contracts.phrases import greeting_of
from contracts.streams import CALLS


class UnknownCall(LookupError):
    """The log contains no event of the call, or none up to the given sequence."""


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One event of the call, described in a line."""

    stream: str
    sequence: int
    at: datetime
    event: str
    text: str


@dataclass(frozen=True, slots=True)
class ConversationLine:
    """One utterance or reply. `speaker`: agent, callee, or end for the disposition. An empty text is silence."""

    at: datetime
    attempt: int
    turn: int
    speaker: str
    text: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """The call as it is after `sequence`, and the events and the conversation up to there."""

    sequence: int
    call: Call
    entries: tuple[TimelineEntry, ...]
    conversation: tuple[ConversationLine, ...]

    def as_json(self) -> dict[str, Any]:
        """Returns the timeline for scripts; the call's state and deadline are in ``call``."""
        return {
            "sequence": self.sequence,
            "call": self.call.model_dump(mode="json"),
            "timeline": list(self.entries),
            "conversation": list(self.conversation),
        }


def timeline(record: Record, at: int | None = None) -> Timeline:
    """Returns the timeline of a record of one call, up to the sequence `at` of CALLS. Raises UnknownCall."""
    events = [message for message in record.messages if message.stream == CALLS.name]
    shown = [message for message in events if at is None or message.sequence <= at]
    end_at = shown[-1].time if shown else None
    requests = [message for message in record.messages if message.stream != CALLS.name]
    shown_requests = [message for message in requests if end_at is None or message.time <= end_at]
    entries: list[TimelineEntry] = []
    conversation: list[ConversationLine] = []
    call: Call | None = None
    for message in sorted((*shown_requests, *shown), key=lambda one: (one.time, one.stream == CALLS.name)):
        entry, lines, call_after = _read(message, call, conversation)
        entries.append(entry)
        conversation += lines
        call = call_after or call
    if call is None:
        raise UnknownCall(
            f"the call did not exist at sequence {at}; its first event is later" if events else "there is no such call"
        )
    return Timeline(shown[-1].sequence, call, tuple(entries), tuple(_without_replaced_greetings(conversation)))


def _without_replaced_greetings(lines: list[ConversationLine]) -> list[ConversationLine]:
    """Returns the lines with the last greeting only: a change of the call requests it anew, and only that is played."""
    greetings = [line for line in lines if line.turn == 0 and line.speaker == "agent"]
    return [line for line in lines if line not in greetings[:-1]]


def _read(
    message: Message, call_before: Call | None, before: list[ConversationLine]
) -> tuple[TimelineEntry, list[ConversationLine], Call | None]:
    try:
        event = message.stored_event().event
    except InvalidMessage as error:
        name = ".".join(message.subject.split(".")[:2])
        return TimelineEntry(message.stream, message.sequence, message.time, name, f"invalid: {error}"), [], None
    entry = TimelineEntry(message.stream, message.sequence, message.time, event.event_name, description(event))
    call = event.call if isinstance(event, CallDecision) else None
    if isinstance(event, AudioReady | AudioFailed):
        return entry, _greeting_lines(event, message.time, call_before, before), call
    return entry, _conversation_lines(event, message.time), call


def _greeting_lines(
    event: AudioReady | AudioFailed, at: datetime, call: Call | None, before: list[ConversationLine]
) -> list[ConversationLine]:
    """Returns the line of a greeting that was played, or left to the provider's voice, for the first time.

    In a log of an older build, the line is that of its `audio.requested`, which has attempt 0 in the oldest ones.
    """
    is_spoken = isinstance(event, AudioReady) or event.fallback == SpeechFallback.SAY
    has_line = any(line.turn == 0 and line.attempt in (0, event.attempt) for line in before)
    if call is None or event.turn or has_line or not is_spoken:
        return []
    return [ConversationLine(at, event.attempt, 0, "agent", greeting_of(call))]


def _conversation_lines(event: object, at: datetime) -> list[ConversationLine]:
    match event:
        case AudioRequested(turn=0):
            return [ConversationLine(at, event.attempt, 0, "agent", event.text)]
        case SpeechHeard():
            return [ConversationLine(at, event.attempt, event.turn, "callee", event.text)]
        case ReplyGenerated():
            return [ConversationLine(at, event.attempt, event.turn, "agent", event.text)]
        case ConversationEnded():
            return [ConversationLine(at, event.attempt, event.turn, "end", str(event.disposition))]
        case _:
            return []
