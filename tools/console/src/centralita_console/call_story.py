"""The timeline of a call for people: its events grouped by attempt and turn.

The texts are those of the REST API's story of the call (`records.story`); those of live conversations are phrases that
the templates translate (`records.live_description`). The groups come from the attempt and the turn of each event.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from centralita_console.stored_events import event_name_of, event_of
from contracts import CallStatus, MediaDegraded, MediaOpened, TelephonyStatus
from contracts.vocabulary import MESSAGE_TURN
from records.live_description import (
    LIVE_EVENT_NAMES,
    STREAM_EVENT_NAMES,
    LiveEvent,
    Phrase,
    is_failure,
    phrases_of,
    spoken_in,
)

Document = Mapping[str, Any]

LONG_WAIT_SECONDS = 60
"""A wait between two events that is shown as one line."""
DEADLINE = "timer.due"
FAILED = {CallStatus.FAILED, CallStatus.BUSY, CallStatus.NO_ANSWER, CallStatus.EXPIRED}
FAILED_REPORTS = {TelephonyStatus.FAILED, TelephonyStatus.BUSY, TelephonyStatus.NO_ANSWER}
SPOKEN_EVENTS = {"speech.heard", "audio.requested", "reply.generated"}
_PLACE = re.compile(r"^(attempt [0-9]+|turn [0-9]+)(: |, |$)|, attempt [0-9]+$")
MAX_SPOKEN_CHARACTERS = 40
"""How much of an utterance or a reply a line of the timeline shows."""
FAILED_EVENTS = {"dial.refused", "dial.unknown", "audio.failed", "call.command_refused"}


@dataclass(frozen=True, slots=True)
class Line:
    """One event of the call, `offset_seconds` after the begin of its group.

    `is_later`: it follows the shown sequence, so only its name is known here. `deadline_seconds`: a decision set the
    next deadline so long after it. `live`: the event, of those that only live conversations have.
    """

    stream: str
    sequence: int
    at: datetime
    event: str
    text: str
    is_failure: bool
    is_later: bool
    is_shown: bool
    turn: int | None
    deadline_seconds: float | None = None
    offset_seconds: float = 0.0
    live: LiveEvent | None = None

    @property
    def phrases(self) -> list[Phrase]:
        """What precedes the text, for an event of a live conversation."""
        return phrases_of(self.live) if self.live and not self.is_later else []

    @property
    def marks(self) -> str:
        """How the line is marked, as classes of the style sheet."""
        is_decision = self.deadline_seconds is not None
        marked = {
            "failed": self.is_failure,
            "later": self.is_later,
            "shown": self.is_shown,
            "decided": is_decision and not self.is_failure,
        }
        return " ".join(name for name, is_marked in marked.items() if is_marked)


@dataclass(slots=True)
class Step:
    """The consecutive lines of one turn of the conversation, or those outside of any turn (`turn` is None).

    `is_deadline`: a deadline that passed, and the decision that followed. `is_stream`: the end or the begin of media
    streams, and what followed. `waited_seconds`: a long wait before it.
    """

    turn: int | None
    is_deadline: bool = False
    is_stream: bool = False
    waited_seconds: float | None = None
    lines: list[Line] = field(default_factory=list)


@dataclass(slots=True)
class Group:
    """The events of one attempt; 0: before the first one. `waited_seconds`: a long wait before it.

    `status` is that of the call after its last decision, and `report` the last failure that the network reported.
    `streams`: how many media streams it had. `is_degraded`: its conversation could not stay live.
    """

    attempt: int
    waited_seconds: float | None
    begins_at: datetime
    steps: list[Step] = field(default_factory=list)
    status: str = ""
    reason: str = ""
    report: str = ""
    streams: int = 0
    is_degraded: bool = False

    @property
    def outcome(self) -> str:
        """What became of the attempt: if the call is dialled again, why the network ended it."""
        return self.report if self.status == CallStatus.PENDING and self.report else self.status

    @property
    def lines(self) -> list[Line]:
        """All lines of the group."""
        return [line for step in self.steps for line in step.lines]

    @property
    def seconds(self) -> float:
        """From its first event to its last one."""
        return (self.lines[-1].at - self.begins_at).total_seconds()

    @property
    def is_failure(self) -> bool:
        """Whether the attempt ended without success."""
        return self.status in FAILED or any(line.is_failure for line in self.lines)


def groups_of(story: Document, events: Sequence[Document]) -> list[Group]:
    """Returns the events of a call in groups, those after the shown sequence included."""
    groups: list[Group] = []
    attempt, last_at = 0, None
    for line, data in _lines(story, events):
        attempt = _attempt(data, attempt)
        waited_seconds = _wait(last_at, line.at)
        if not groups or groups[-1].attempt != attempt:
            groups.append(Group(attempt, waited_seconds, line.at))
            waited_seconds = None
        group = groups[-1]
        offset_seconds = (line.at - group.begins_at).total_seconds()
        _step(group, line, waited_seconds).lines.append(replace(line, offset_seconds=offset_seconds))
        if not line.is_later and data.get("status") in FAILED_REPORTS and "call" not in data:
            group.report = str(data["status"])
        if not line.is_later and isinstance(line.live, MediaOpened):
            group.streams = max(group.streams, line.live.generation)
        group.is_degraded |= not line.is_later and isinstance(line.live, MediaDegraded)
        if not line.is_later and (call := data.get("call")):
            group.status, group.reason = _outcome(data, call)
        last_at = line.at
    return groups


def _step(group: Group, line: Line, waited_seconds: float | None) -> Step:
    """Returns the step of the next line: the last one, or a new one."""
    is_deadline, is_stream = line.event == DEADLINE, line.event in STREAM_EVENT_NAMES
    last = group.steps[-1] if group.steps else None
    if last and last.is_deadline:
        is_same = line.deadline_seconds is not None and all(one.event == DEADLINE for one in last.lines)
    else:
        is_same = last is not None and (last.turn, last.is_stream) == (line.turn, is_stream) and not is_deadline
    if last is None or not is_same or waited_seconds:
        last = Step(line.turn, is_deadline, is_stream, waited_seconds)
        group.steps.append(last)
    return last


def _outcome(data: Document, call: Document) -> tuple[str, str]:
    """Returns the status after a decision and its reason. A retry that waits shows why the attempt failed."""
    return str(call["status"]), str(call.get("reason") or data.get("reason") or "")


def _lines(story: Document, events: Sequence[Document]) -> Iterator[tuple[Line, Document]]:
    """Yields each line with the data of its event, which requests and events of chains do not have here."""
    in_story = {(entry["stream"], entry["sequence"]) for entry in story["timeline"]}
    by_sequence = {event["sequence"]: event for event in events}
    for entry in story["timeline"]:
        event = by_sequence.get(entry["sequence"]) if entry["stream"] == "CALLS" else None
        data = event["data"] if event else {}
        is_shown = entry["stream"] == "CALLS" and entry["sequence"] == story["sequence"]
        live = _live(event)
        text = _cut(spoken_in(live)) if live else _brief(entry)
        yield _line(entry["stream"], entry, entry["event"], text, data, live, is_shown=is_shown), data
    for event in events:
        if ("CALLS", event["sequence"]) not in in_story and event["sequence"] > story["sequence"]:
            name = event["type"].rpartition(".v")[0] or event["type"]
            yield _line("CALLS", event, name, "", event["data"], _live(event), is_later=True), event["data"]


def _live(resource: Document | None) -> LiveEvent | None:
    event = event_of(resource) if resource and event_name_of(resource) in LIVE_EVENT_NAMES else None
    return event if isinstance(event, LiveEvent) else None


def turn_starts(groups: Sequence[Group]) -> list[int]:
    """Returns the sequences at which an attempt or a turn begins, for the steps of the slider."""
    first = [group.steps[0].lines[0] for group in groups]
    first += [step.lines[0] for group in groups for step in group.steps if step.turn is not None]
    return sorted({line.sequence for line in first if line.stream == "CALLS"})


def _brief(entry: Document) -> str:
    """Returns the text of a line, without the attempt and the turn that its group names.

    What was spoken is cut: the conversation has it.
    """
    text = _PLACE.sub("", str(entry["text"]))
    return _cut(text) if entry["event"] in SPOKEN_EVENTS else text


def _cut(text: str) -> str:
    return f"{text[:MAX_SPOKEN_CHARACTERS]}…" if len(text) > MAX_SPOKEN_CHARACTERS else text


def _line(
    stream: str,
    source: Document,
    event: str,
    text: str,
    data: Document,
    live: LiveEvent | None = None,
    *,
    is_later: bool = False,
    is_shown: bool = False,
) -> Line:
    at = datetime.fromisoformat(source.get("at") or source["time"])
    return Line(
        stream,
        source["sequence"],
        at,
        event,
        text,
        _is_failure(event, data) or (live is not None and is_failure(live)),
        is_later,
        is_shown,
        data.get("turn"),
        _deadline_seconds(at, data.get("call")),
        live=live,
    )


def _deadline_seconds(at: datetime, call: Document | None) -> float | None:
    """Returns how long after a decision the next deadline is; None if the event is none, 0 if the call has ended."""
    if not call:
        return None
    deadline_at = call.get("deadline_at")
    return max(0.0, (datetime.fromisoformat(deadline_at) - at).total_seconds()) if deadline_at else 0.0


def _is_failure(event: str, data: Document) -> bool:
    if event == "telephony.status_reported":
        return data.get("status") in FAILED_REPORTS
    return event in FAILED_EVENTS or bool(data.get("is_fallback")) or data.get("status") in FAILED


def _attempt(data: Document, current: int) -> int:
    """Returns the attempt that an event belongs to: the one it names, or that of the call after it."""
    named = data.get("attempt", (data.get("call") or {}).get("attempt"))
    return max(int(named), current) if named is not None else current


def _wait(before: datetime | None, at: datetime) -> float | None:
    seconds = (at - before).total_seconds() if before else 0.0
    return seconds if seconds >= LONG_WAIT_SECONDS else None


def is_message(turn: int | None) -> bool:
    """Whether a turn is the message to a machine."""
    return turn == MESSAGE_TURN
