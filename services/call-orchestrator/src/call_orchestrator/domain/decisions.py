"""The decisions of the state machine: one event, or none and the reason. Events are named as in the contracts.

`permission`: what the calling policy said when the event was decided; None if it was not asked.
"""

from dataclasses import dataclass
from datetime import datetime

from call_orchestrator.domain.dial_times import Permission
from call_orchestrator.domain.states import Ended, Live, Pending
from contracts.vocabulary import HangupReason, RefusalCode


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCreated:
    """The call exists."""

    state: Pending
    permission: Permission | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStatusChanged:
    """The call has another status: the attempt moved forward, a retry follows, or the call ended.

    `duration_seconds`: the talk time of the attempt that ended, if the network has reported it.
    """

    state: Pending | Live | Ended
    reason: str | None = None
    duration_seconds: int | None = None
    permission: Permission | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallDue:
    """The call waits for a slot: its scheduled time has come, or its campaign was closed after it had one."""

    state: Pending


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPutOff:
    """A call that was granted a slot may not be dialled now: it waits for the next permitted time."""

    state: Pending
    permission: Permission


@dataclass(frozen=True, slots=True, kw_only=True)
class CallChanged:
    """A pending call was changed, or the metadata of a live one."""

    state: Pending | Live
    permission: Permission | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallConcluded:
    """The conversation is over, and the line is still open."""

    state: Live


@dataclass(frozen=True, slots=True, kw_only=True)
class CallHangupRequested:
    """The line must be closed."""

    state: Live
    reason: HangupReason


@dataclass(frozen=True, slots=True, kw_only=True)
class CallMessageRequested:
    """The message must be played to the machine that answered."""

    state: Live


@dataclass(frozen=True, slots=True, kw_only=True)
class CallMessageStarted:
    """The message is being played."""

    state: Live


@dataclass(frozen=True, slots=True, kw_only=True)
class CallMessageWithdrawn:
    """A person answered after all; the conversation goes on."""

    state: Live


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCallbackNoted:
    """The callee asked to be called again: live, after the conversation; pending, at another time than before."""

    state: Pending | Live
    permission: Permission | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTransferStarted:
    """The callee is being connected with a person."""

    state: Live


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTransferEnded:
    """No person was connected with the callee; the conversation goes on."""

    state: Live


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSettlementRequested:
    """The provider must be asked what became of the attempt."""

    state: Live


Event = (
    CallCreated
    | CallStatusChanged
    | CallDue
    | CallPutOff
    | CallChanged
    | CallConcluded
    | CallHangupRequested
    | CallMessageRequested
    | CallMessageStarted
    | CallMessageWithdrawn
    | CallCallbackNoted
    | CallTransferStarted
    | CallTransferEnded
    | CallSettlementRequested
)


@dataclass(frozen=True, slots=True)
class Ignored:
    """The input changes nothing: it is late, repeated, or has no effect in this state.

    `timer_at`: when the timer fires next; None: at the deadline of the state.
    """

    reason: str
    timer_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A command that cannot be carried out; the sender reads the reason."""

    reason: str
    code: RefusalCode | None = None
    permission: Permission | None = None


Decision = Event | Ignored | Refused
