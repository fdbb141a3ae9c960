"""The orchestrator's decisions: one message each, and the call's state is their fold (law 1)."""

from typing import ClassVar

from pydantic import AwareDatetime, Field

from contracts.event import CallEvent
from contracts.values import CallStatus


class CallCreated(CallEvent):
    """Accepted; the call exists and will reach exactly one final status."""

    fact: ClassVar[str] = "call.created"


class CallStatusChanged(CallEvent):
    """The call went from one status to another. A retry goes back to ``pending``."""

    fact: ClassVar[str] = "call.status_changed"

    previous: CallStatus
    status: CallStatus
    attempt: int
    reason: str | None = None
    next_attempt_at: AwareDatetime | None = None


class CallChanged(CallEvent):
    """A call that was waiting was changed on request."""

    fact: ClassVar[str] = "call.changed"

    changed: tuple[str, ...] = Field(description="names of the fields that changed")


class CallDue(CallEvent):
    """Its time has come: it waits for a slot, and is dialled as soon as it is given one."""

    fact: ClassVar[str] = "call.due"


class CallConcluded(CallEvent):
    """The conversation has come to its end; the line is still open while the goodbye is heard."""

    fact: ClassVar[str] = "call.concluded"


class CallHangupRequested(CallEvent):
    """The line must be closed: canceled, too long, a machine answered, or the goodbye has been said."""

    fact: ClassVar[str] = "call.hangup_requested"


class CallSettlementRequested(CallEvent):
    """The deadline passed without news. Voice asks the telephone network what became of the attempt."""

    fact: ClassVar[str] = "call.settlement_requested"
