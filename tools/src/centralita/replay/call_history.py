"""A recorded log grouped by call: each decision with the input that caused it, and the inputs without a decision."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto

from centralita.replay.decisions import INPUTS
from chassis.event_log import StoredEvent
from contracts import Call, CallDecision, InvalidMessage
from contracts.streams import CALLS
from records.call_ids import call_of
from records.messages import Message


@dataclass(frozen=True, slots=True)
class Input:
    """An input of the orchestrator, and the message that it came in."""

    message: Message
    stored: StoredEvent


class LeftOut(Enum):
    """The fields of a decision that a build did not write into its body."""

    NONE = auto()
    NULLS = auto()
    DEFAULTS = auto()


@dataclass(frozen=True, slots=True)
class Decision:
    """A recorded decision. `cause`: the input that led to it; None if the record does not contain that.

    `left_out`: the fields that the build did not write into the body.
    """

    event: CallDecision
    sequence: int
    cause_id: str | None
    at: datetime
    cause: Input | None
    left_out: LeftOut


@dataclass(slots=True)
class CallHistory:
    """One call: its decisions in the order of the log, and the inputs without a decision in the order of time."""

    call_id: str
    decisions: list[Decision] = field(default_factory=list)
    ignored_inputs: list[Input] = field(default_factory=list)

    def possible_states(self, ignored: Input) -> list[tuple[Call | None, datetime]]:
        """Returns the states that the call may have had when an ignored input was handled, each with its instant.

        The log does not record that instant. The first state is that at the time of the input. The last is the state
        one decision after all decisions on earlier inputs, because the orchestrator handles waiting inputs together.
        """
        time = ignored.message.time
        first = sum(decision.at <= time for decision in self.decisions)
        on_earlier_inputs = [
            number
            for number, decision in enumerate(self.decisions, start=1)
            if decision.cause and decision.cause.message.time < time
        ]
        last = min(max([first, *on_earlier_inputs]) + 1, len(self.decisions))
        states: list[tuple[Call | None, datetime]] = [(None, time)] if first == 0 else []
        states += [(one.event.call, max(one.at, time)) for one in self.decisions[max(first - 1, 0) : last]]
        return states


def call_histories(messages: Iterable[Message]) -> list[CallHistory]:
    """Returns the history of every call that was requested or exists, in the order of first appearance."""
    inputs: dict[str, Input] = {}
    duplicates: list[Input] = []
    decisions: list[tuple[CallDecision, StoredEvent, Message]] = []
    for message in messages:
        try:
            stored = message.stored_event()
        except InvalidMessage:
            continue
        if isinstance(stored.event, CallDecision) and message.stream == CALLS.name:
            decisions.append((stored.event, stored, message))
        elif isinstance(stored.event, INPUTS):
            current = Input(message, stored)
            if inputs.setdefault(stored.envelope.id, current) is not current:
                duplicates.append(current)
    return _grouped(inputs, duplicates, decisions)


def _left_out(message: Message) -> LeftOut:
    """Returns what the build of this message left out. Its headers name the build: it left out some of them, too."""
    if "ce-subject" in message.headers:
        return LeftOut.NONE
    return LeftOut.NULLS if "ce-specversion" in message.headers else LeftOut.DEFAULTS


def _grouped(
    inputs: dict[str, Input], duplicates: list[Input], decisions: list[tuple[CallDecision, StoredEvent, Message]]
) -> list[CallHistory]:
    histories: dict[str, CallHistory] = {}
    decided: set[str] = set()
    for event, stored, message in sorted(decisions, key=lambda one: one[2].sequence):
        cause_id = stored.envelope.causation_id
        decided.add(cause_id or "")
        history = histories.setdefault(str(event.call_id), CallHistory(str(event.call_id)))
        cause = inputs.get(cause_id or "")
        left_out = _left_out(message)
        history.decisions.append(Decision(event, message.sequence, cause_id, message.time, cause, left_out))
    for current in sorted((*inputs.values(), *duplicates), key=lambda one: one.message.time):
        if current.stored.envelope.id not in decided:
            call_id = call_of(current.message) or ""
            histories.setdefault(call_id, CallHistory(call_id)).ignored_inputs.append(current)
    return list(histories.values())
