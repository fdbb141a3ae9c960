"""The orchestrator's decisions: one message each, and the call's state is their fold (law 1)."""

from typing import ClassVar

from pydantic import AwareDatetime, Field

from contracts.event import CallDecision
from contracts.vocabulary import CallStatus


class CallCreated(CallDecision):
    """Accepted; the call exists and will reach exactly one final status."""

    event_name: ClassVar[str] = "call.created"


class CallStatusChanged(CallDecision):
    """The call went from one status to another. A retry goes back to ``pending``."""

    event_name: ClassVar[str] = "call.status_changed"

    previous: CallStatus
    status: CallStatus
    attempt: int
    reason: str | None = None
    next_attempt_at: AwareDatetime | None = None


class CallChanged(CallDecision):
    """A pending call, or the metadata of a live one, was changed on request."""

    event_name: ClassVar[str] = "call.changed"

    changed: tuple[str, ...] = Field(description="names of the fields that changed")


class CallDue(CallDecision):
    """Its time has come: it waits for a slot, and is dialled as soon as it is given one."""

    event_name: ClassVar[str] = "call.due"


class CallConcluded(CallDecision):
    """The conversation has come to its end; the line is still open while the goodbye is heard."""

    event_name: ClassVar[str] = "call.concluded"


class CallHangupRequested(CallDecision):
    """The line must be closed: canceled, too long, a machine answered, or the goodbye has been said."""

    event_name: ClassVar[str] = "call.hangup_requested"


class CallSettlementRequested(CallDecision):
    """The deadline passed without news. Voice asks the telephone network what became of the attempt."""

    event_name: ClassVar[str] = "call.settlement_requested"
