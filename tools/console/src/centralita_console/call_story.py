"""A call for people: its events grouped by attempt and turn, and its conversation with what each turn cost.

The state, the texts and the conversation are those of the REST API's story of the call (`records.story`). The groups
come from the attempt and the turn that each event names.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from contracts import CallStatus, TelephonyStatus
from contracts.vocabulary import MESSAGE_TURN

Document = Mapping[str, Any]

LONG_WAIT_SECONDS = 60
"""A wait between two groups that is shown as one line."""
FAILED = {CallStatus.FAILED, CallStatus.BUSY, CallStatus.NO_ANSWER, CallStatus.EXPIRED}
FAILED_REPORTS = {TelephonyStatus.FAILED, TelephonyStatus.BUSY, TelephonyStatus.NO_ANSWER}
SPOKEN_EVENTS = {"speech.heard", "audio.requested", "reply.generated"}
MAX_SPOKEN_CHARACTERS = 60
"""How much of an utterance or a reply a line of the timeline shows."""
FAILED_EVENTS = {"dial.refused", "dial.unknown", "audio.failed", "call.command_refused"}


@dataclass(frozen=True, slots=True)
class Line:
    """One event of the call. `is_later`: it follows the shown sequence, so only its name is known here."""

    stream: str
    sequence: int
    at: datetime
    event: str
    text: str
    is_failure: bool
    is_later: bool
    is_shown: bool
    turn: int | None

    @property
    def marks(self) -> str:
        """How the line is marked, as classes of the style sheet."""
        marked = {"failed": self.is_failure, "later": self.is_later, "shown": self.is_shown}
        return " ".join(name for name, is_marked in marked.items() if is_marked)


@dataclass(slots=True)
class Step:
    """The consecutive lines of one turn of the conversation, or those outside of any turn (`turn` is None)."""

    turn: int | None
    lines: list[Line] = field(default_factory=list)


@dataclass(slots=True)
class Group:
    """The events of one attempt; 0: before the first one. `waited_seconds`: a long wait before it."""

    attempt: int
    waited_seconds: float | None
    steps: list[Step] = field(default_factory=list)
    status: str = ""
    reason: str = ""

    @property
    def lines(self) -> list[Line]:
        """All lines of the group."""
        return [line for step in self.steps for line in step.lines]

    @property
    def is_failure(self) -> bool:
        """Whether the attempt ended without success."""
        return self.status in FAILED or any(line.is_failure for line in self.lines)


@dataclass(frozen=True, slots=True)
class Spoken:
    """One line of the conversation. `notes` are short facts, and `delays` the seconds of each stage of the reply."""

    speaker: str
    at: datetime
    attempt: int
    turn: int
    text: str
    notes: tuple[str, ...] = ()
    delays: tuple[tuple[str, float], ...] = ()


def groups_of(story: Document, events: Sequence[Document]) -> list[Group]:
    """Returns the events of a call in groups, those after the shown sequence included."""
    groups: list[Group] = []
    attempt, last_at = 0, None
    for line, data in _lines(story, events):
        attempt = _attempt(data, attempt)
        if not groups or groups[-1].attempt != attempt:
            groups.append(Group(attempt, _wait(last_at, line.at)))
        group = groups[-1]
        if not group.steps or group.steps[-1].turn != line.turn:
            group.steps.append(Step(line.turn))
        group.steps[-1].lines.append(line)
        if not line.is_later and (call := data.get("call")):
            group.status, group.reason = _outcome(data, call)
        last_at = line.at
    return groups


def _outcome(data: Document, call: Document) -> tuple[str, str]:
    """Returns the status after a decision and its reason. A retry that waits shows why the attempt failed."""
    return str(call["status"]), str(call.get("reason") or data.get("reason") or "")


def _lines(story: Document, events: Sequence[Document]) -> Iterator[tuple[Line, Document]]:
    """Yields each line with the data of its event, which requests and events of chains do not have here."""
    told = {(entry["stream"], entry["sequence"]) for entry in story["timeline"]}
    by_sequence = {event["sequence"]: event for event in events}
    for entry in story["timeline"]:
        event = by_sequence.get(entry["sequence"]) if entry["stream"] == "CALLS" else None
        data = event["data"] if event else {}
        text, is_shown = _brief(entry), entry["stream"] == "CALLS" and entry["sequence"] == story["sequence"]
        yield _line(entry["stream"], entry, entry["event"], text, data, is_shown=is_shown), data
    for event in events:
        if ("CALLS", event["sequence"]) not in told and event["sequence"] > story["sequence"]:
            name = event["type"].rpartition(".v")[0] or event["type"]
            yield _line("CALLS", event, name, "", event["data"], is_later=True), event["data"]


def _brief(entry: Document) -> str:
    """Returns the text of a line. What was spoken is cut: the conversation has it."""
    text = str(entry["text"])
    is_long = entry["event"] in SPOKEN_EVENTS and len(text) > MAX_SPOKEN_CHARACTERS
    return f"{text[:MAX_SPOKEN_CHARACTERS]}…" if is_long else text


def _line(
    stream: str,
    source: Document,
    event: str,
    text: str,
    data: Document,
    *,
    is_later: bool = False,
    is_shown: bool = False,
) -> Line:
    at = datetime.fromisoformat(source.get("at") or source["time"])
    turn = data.get("turn")
    return Line(stream, source["sequence"], at, event, text, _is_failure(event, data), is_later, is_shown, turn)


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


def conversation_of(story: Document, events: Sequence[Document]) -> list[Spoken]:
    """Returns the conversation, each line with the facts of its events."""
    details: dict[tuple[str, int, int], list[Document]] = {}
    for event in events:
        data = event["data"]
        if "turn" in data and event["sequence"] <= story["sequence"]:
            name = event["type"].rpartition(".v")[0]
            details.setdefault((name, data["attempt"], data["turn"]), []).append(data)
    return [_spoken(line, details) for line in story["conversation"]]


def _spoken(line: Document, details: Mapping[tuple[str, int, int], Sequence[Document]]) -> Spoken:
    place = (line["attempt"], line["turn"])
    notes: list[str] = []
    delays: list[tuple[str, float]] = []
    if line["speaker"] == "callee":
        heard = details.get(("speech.heard", *place), ())
        notes += [f"{one['confidence']:.0%}" for one in heard if one.get("confidence") is not None]
    elif line["speaker"] == "agent":
        for reply in details.get(("reply.generated", *place), ())[:1]:
            notes += _reply_notes(reply)
            delays += [(name, reply[name]) for name in ("first_token_seconds", "latency_seconds") if reply.get(name)]
        for audio in details.get(("audio.ready", *place), ())[:1]:
            notes += [audio["provider"], *(["clip"] if audio.get("is_cached") else []), *_fallback(audio)]
            delays += [("first_byte_seconds", audio["first_byte_seconds"])] if audio.get("first_byte_seconds") else []
    at = datetime.fromisoformat(line["at"])
    return Spoken(line["speaker"], at, *place, line["text"], tuple(notes), tuple(delays))


def _reply_notes(reply: Document) -> list[str]:
    tokens = f"{reply['prompt_tokens']} → {reply['completion_tokens']}" if reply.get("completion_tokens") else ""
    return [note for note in (reply["model"], tokens, *(["fallback"] if reply.get("is_fallback") else [])) if note]


def _fallback(audio: Document) -> list[str]:
    return [f"fallback: {audio['fallback']}"] if audio.get("fallback") else []


def is_message(turn: int | None) -> bool:
    """Whether a turn is the message to a machine."""
    return turn == MESSAGE_TURN
