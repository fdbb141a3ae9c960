"""A recorded log sorted by call: each decision with the input that it followed from, and the inputs without one."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from centralita.replay.messages import Message
from centralita.replay.redeciding import INPUTS
from centralita.replay.scope import call_of
from chassis.event_log import StoredEvent
from contracts import Call, CallDecision, InvalidMessage
from contracts.streams import CALLS


@dataclass(frozen=True, slots=True)
class Input:
    """Something that the orchestrator was told, and where and when it stands."""

    message: Message
    told: StoredEvent


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision as it is recorded. `cause`: what it followed from; none if that is not in the record."""

    event: CallDecision
    sequence: int
    cause_id: str | None
    at: datetime
    cause: Input | None


@dataclass(slots=True)
class Case:
    """One call: its decisions in the order of the log, and the inputs that came to nothing, in the order of time."""

    call_id: str
    decisions: list[Decision] = field(default_factory=list)
    without_effect: list[Input] = field(default_factory=list)

    def states_for(self, told: Input) -> list[tuple[Call | None, datetime]]:
        """The call as it may have stood when an input was handled, which the log does not say, and since when.

        At the least as it stood when the input came; at the most one decision after all that followed from earlier
        inputs, since the orchestrator takes what there is together.
        """
        time = told.message.time
        first = sum(decision.at <= time for decision in self.decisions)
        earlier = [
            number
            for number, decision in enumerate(self.decisions, start=1)
            if decision.cause and decision.cause.message.time < time
        ]
        last = min(max([first, *earlier]) + 1, len(self.decisions))
        states: list[tuple[Call | None, datetime]] = [(None, time)] if first == 0 else []
        states += [(one.event.call, max(one.at, time)) for one in self.decisions[max(first - 1, 0) : last]]
        return states


def cases(messages: Iterable[Message]) -> list[Case]:
    """Every call that somebody asked for or that there is, in the order in which it first appears."""
    inputs: dict[str, Input] = {}
    repeated: list[Input] = []
    events: list[tuple[CallDecision, StoredEvent, Message]] = []
    for message in messages:
        try:
            recorded = message.recorded()
        except InvalidMessage:
            continue
        if isinstance(recorded.event, CallDecision) and message.stream == CALLS.name:
            events.append((recorded.event, recorded, message))
        elif isinstance(recorded.event, INPUTS):
            told = Input(message, recorded)
            if inputs.setdefault(recorded.envelope.id, told) is not told:
                repeated.append(told)
    return _sorted_out(inputs, repeated, events)


def _sorted_out(
    inputs: dict[str, Input], repeated: list[Input], events: list[tuple[CallDecision, StoredEvent, Message]]
) -> list[Case]:
    found: dict[str, Case] = {}
    decided: set[str] = set()
    for event, recorded, message in sorted(events, key=lambda one: one[2].sequence):
        cause_id = recorded.envelope.causation_id
        decided.add(cause_id or "")
        case = found.setdefault(str(event.call_id), Case(str(event.call_id)))
        cause = inputs.get(cause_id or "")
        case.decisions.append(Decision(event, message.sequence, cause_id, message.time, cause))
    for told in sorted((*inputs.values(), *repeated), key=lambda one: one.message.time):
        call_id = call_of(told.message) or ""
        if told.told.envelope.id not in decided:
            found.setdefault(call_id, Case(call_id)).without_effect.append(told)
    return list(found.values())
