"""The story of one call at any sequence: its state, its events, what was spoken, and each decision with its reason.

`centralita replay show` prints it, and the REST API returns it. An event that cannot be decoded is an entry with the
reason, and changes nothing else.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from chassis.event_log import StoredEvent
from chassis.unreadable import UnreadableEvent
from contracts import Call, CallDecision, ConversationMode, Event, ToolCalled, ToolRequested
from contracts.script import render_known
from contracts.streams import CALLS
from records.decisions import ExplainedDecision
from records.event_description import description
from records.messages import Message
from records.transcript import ConversationLine, Transcript

DecodedMessage = tuple[Message, StoredEvent | UnreadableEvent]
NO_RESULT = "no result: the attempt ended first. It may have taken effect, and is not requested again"
NO_RESULT_YET = "no result yet"


class UnknownCall(LookupError):
    """The log contains no event of the call, or none up to the given sequence."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class StateLine(_Part):
    """One property of the call, as people read it."""

    name: str = Field(examples=["deadline"])
    text: str = Field(examples=["2026-03-02 15:00:30.000000 UTC"])


class TimelineEntry(_Part):
    """One event or request of the call, described in a line."""

    stream: str = Field(description="CALLS, or REQUESTS for requests and commands")
    sequence: int = Field(description="position in the stream")
    at: datetime = Field(description="when it was stored")
    event: str = Field(examples=["call.status_changed"])
    text: str = Field(description="empty: the event's name says everything")


class Story(_Part):
    """The call as it is after `sequence`, and what had happened until then."""

    sequence: int = Field(description="position in the log of the last event that is included")
    sequences: tuple[int, ...] = Field(
        description="positions of all events of the call, later ones too: the values of `at` with different answers"
    )
    state: tuple[StateLine, ...] = Field(description="the state and the deadline of the call, as people read them")
    prompt: str = Field(description="the script with its values; a placeholder without a value stays as it is")
    call: Call
    timeline: tuple[TimelineEntry, ...]
    conversation: tuple[ConversationLine, ...]
    decisions: tuple[ExplainedDecision, ...]

    @property
    def title(self) -> str:
        """Which call this is, and when."""
        return f"Call {self.call.call_id} after sequence {self.sequence}"


def story_of(messages: Iterable[Message], at: int | None = None) -> Story:
    """Returns the story in the messages of one call, up to the sequence `at` of CALLS. Raises UnknownCall."""
    return story_of_decoded([(message, message.decoded()) for message in messages], at)


def story_of_decoded(decoded: Iterable[DecodedMessage], at: int | None = None) -> Story:
    """As `story_of`, of messages that are decoded already."""
    decoded = list(decoded)
    events = [one for one in decoded if one[0].stream == CALLS.name]
    shown = [one for one in events if at is None or one[0].sequence <= at]
    end_at = shown[-1][0].time if shown else None
    requests = [one for one in decoded if one[0].stream != CALLS.name]
    shown_requests = [one for one in requests if end_at is None or one[0].time <= end_at]
    draft = _Draft()
    for message, stored in sorted((*shown_requests, *shown), key=_order):
        draft.add(message, stored)
    if draft.call is None:
        raise UnknownCall(
            f"the call did not exist at sequence {at}; its first event is later" if events else "there is no such call"
        )
    return Story(
        sequence=shown[-1][0].sequence,
        sequences=tuple(message.sequence for message, _ in events),
        state=tuple(_state(draft.call)),
        prompt=render_known(draft.call.script_template, draft.call.variables),
        call=draft.call,
        timeline=tuple(draft.timeline(draft.call)),
        conversation=tuple(draft.transcript.lines()),
        decisions=tuple(draft.decisions),
    )


def _order(one: DecodedMessage) -> tuple[datetime, bool]:
    message, _ = one
    return message.time, message.stream == CALLS.name


@dataclass(slots=True)
class _Draft:
    """The story up to some message."""

    call: Call | None = None
    entries: list[TimelineEntry] = field(default_factory=list)
    transcript: Transcript = field(default_factory=Transcript)
    decisions: list[ExplainedDecision] = field(default_factory=list)
    _tools: dict[tuple[int, int, int], int] = field(default_factory=dict)
    """The entries of tool calls without a result, by attempt, turn and number."""

    def add(self, message: Message, stored: StoredEvent | UnreadableEvent) -> None:
        """Adds the next message in the order of time."""
        if isinstance(stored, UnreadableEvent):
            text = f"invalid: {'; '.join(stored.reasons)}"
            self.entries.append(_entry(message, ".".join(message.subject.split(".")[:2]), text))
            return
        event = stored.event
        self._note_tool(event)
        self.entries.append(_entry(message, event.event_name, description(event)))
        self.transcript.add(event, message.time, self.call)
        if isinstance(event, CallDecision):
            self.call = event.call
            self.decisions.append(ExplainedDecision.of(stored))

    def timeline(self, call: Call) -> Iterable[TimelineEntry]:
        """Returns the entries. That of a tool call whose process died says what is known of it."""
        open_tools = {position: attempt for (attempt, *_), position in self._tools.items()}
        for position, entry in enumerate(self.entries):
            if (attempt := open_tools.get(position)) is None:
                yield entry
            else:
                known = NO_RESULT_YET if call.may_use_line(attempt) else NO_RESULT
                yield entry.model_copy(update={"text": f"{entry.text} ({known})"})

    def _note_tool(self, event: Event) -> None:
        """Takes that a tool call begins with the next entry, or has ended."""
        if isinstance(event, ToolRequested):
            self._tools[event.attempt, event.turn, event.number] = len(self.entries)
        elif isinstance(event, ToolCalled):
            self._tools.pop((event.attempt, event.turn, event.number), None)


def _entry(message: Message, event: str, text: str) -> TimelineEntry:
    return TimelineEntry(stream=message.stream, sequence=message.sequence, at=message.time, event=event, text=text)


def _state(call: Call) -> Iterable[StateLine]:
    since = f"{call.status_changed_at:%Y-%m-%d %H:%M:%S} UTC"
    yield StateLine(name="status", text=f"{call.status} since {since}, attempt {call.attempt}")
    yield StateLine(
        name="deadline", text=f"{call.deadline_at:%Y-%m-%d %H:%M:%S.%f} UTC" if call.deadline_at else "none"
    )
    if call.mode is not ConversationMode.TURN_BASED:
        yield StateLine(name="mode", text=str(call.mode))
    if call.callback_at is not None:
        why = f": {call.callback_reason}" if call.callback_reason else ""
        yield StateLine(name="callback", text=f"{call.callback_at:%Y-%m-%d %H:%M:%S} UTC{why}")
    if call.is_transferring:
        yield StateLine(name="transfer", text=f"since turn {call.transfer_turn}")
    for name in ("reason", "disposition", "hangup_reason", "duration_seconds"):
        if (value := getattr(call, name)) is not None:
            yield StateLine(name=name, text=str(value))
    request = f"{call.request_id}, campaign {call.campaign_id}, contact {call.contact_id}"
    yield StateLine(name="request", text=request)
    yield StateLine(name="number", text=call.phone_number)
