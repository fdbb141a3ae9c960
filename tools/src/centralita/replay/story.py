"""One call as a timeline: what happened, and how the call stood at any moment of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from centralita.replay.event_description import description
from centralita.replay.messages import Message
from centralita.replay.sources import Record
from contracts import AudioRequested, Call, CallDecision, ConversationEnded, InvalidMessage, ReplyGenerated, SpeechHeard
from contracts.streams import CALLS


class NoSuchCall(LookupError):
    """Nothing is known of the call, or not yet at that sequence."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One fact of it, in a line."""

    stream: str
    sequence: int
    at: datetime
    fact: str
    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """One side's words. `who`: agent or callee; an empty text of the callee is a silence."""

    at: datetime
    attempt: int
    turn: int
    who: str
    text: str


@dataclass(frozen=True, slots=True)
class Story:
    """The call as it stood after `sequence` of the log, and how it came there."""

    sequence: int
    call: Call
    moments: tuple[Moment, ...]
    conversation: tuple[Said, ...]

    def as_json(self) -> dict[str, Any]:
        """For scripts: the call's state and deadline are in ``call``."""
        return {
            "sequence": self.sequence,
            "call": self.call.model_dump(mode="json"),
            "timeline": [
                {"stream": one.stream, "sequence": one.sequence, "at": one.at, "fact": one.fact, "text": one.text}
                for one in self.moments
            ],
            "conversation": [
                {"at": one.at, "attempt": one.attempt, "turn": one.turn, "who": one.who, "text": one.text}
                for one in self.conversation
            ],
        }


def story(record: Record, at: int | None = None) -> Story:
    """The story in the record of one call, up to the sequence `at` of the log. Raises NoSuchCall."""
    facts = [message for message in record.messages if message.stream == CALLS.name]
    told = [message for message in facts if at is None or message.sequence <= at]
    until = told[-1].time if told else None
    asked = [message for message in record.messages if message.stream != CALLS.name]
    heard = [message for message in asked if until is None or message.time <= until]
    moments: list[Moment] = []
    conversation: list[Said] = []
    call: Call | None = None
    for message in sorted((*heard, *told), key=lambda one: (one.time, one.stream == CALLS.name)):
        moment, said, now = _read(message)
        moments.append(moment)
        conversation += said
        call = now or call
    if call is None:
        raise NoSuchCall("no such call" if not facts else f"at {at} the call did not exist; its log begins later")
    return Story(told[-1].sequence, call, tuple(moments), tuple(conversation))


def _read(message: Message) -> tuple[Moment, list[Said], Call | None]:
    try:
        recorded = message.recorded()
    except InvalidMessage as error:
        fact = ".".join(message.subject.split(".")[:2])
        text = f"unusable: {error}"
        return Moment(message.stream, message.sequence, message.time, fact, text), [], None
    event = recorded.event
    moment = Moment(message.stream, message.sequence, message.time, event.event_name, description(event))
    call = event.call if isinstance(event, CallDecision) else None
    return moment, _said(event, message.time), call


def _said(event: object, at: datetime) -> list[Said]:
    match event:
        case AudioRequested(turn=0):
            return [Said(at, event.attempt, 0, "agent", event.text)]
        case SpeechHeard():
            return [Said(at, event.attempt, event.turn, "callee", event.text)]
        case ReplyGenerated():
            return [Said(at, event.attempt, event.turn, "agent", event.text)]
        case ConversationEnded():
            return [Said(at, event.attempt, event.turn, "end", str(event.disposition))]
        case _:
            return []
