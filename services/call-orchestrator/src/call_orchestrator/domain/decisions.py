"""What the state machine decides: one event, or nothing and why."""

from dataclasses import dataclass

from call_orchestrator.domain.states import Ended, Live, Pending
from contracts.vocabulary import HangupReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """The call exists."""

    state: Pending


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """The call has another status: a step forward of the attempt, a retry, or the end."""

    state: Pending | Live | Ended
    reason: str | None = None
    duration_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """Its time has come: it waits for a slot."""

    state: Pending


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A waiting call was changed."""

    state: Pending


@dataclass(frozen=True, slots=True, kw_only=True)
class Concluded:
    """The conversation is over, the line still open."""

    state: Live


@dataclass(frozen=True, slots=True, kw_only=True)
class HangupAsked:
    """The line must be closed."""

    state: Live
    reason: HangupReason


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementAsked:
    """The telephone network must be asked what became of the attempt."""

    state: Live


Event = Created | Moved | Due | Changed | Concluded | HangupAsked | SettlementAsked


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing to decide: old news, a repetition, or a fact that changes nothing."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A person asked for what cannot be; the reason is for that person."""

    reason: str


Decision = Event | Ignored | Refused
