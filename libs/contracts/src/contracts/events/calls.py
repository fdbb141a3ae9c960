"""The orchestrator's decisions about calls: one message per decision, with the call after it (law 1)."""

from typing import ClassVar

from pydantic import Field

from contracts.event import CallDecision
from contracts.instants import Instant
from contracts.vocabulary import CallStatus, RefusalCode


class CallCreated(CallDecision):
    """The request was accepted: the call exists and will reach exactly one final status.

    A request in clear is erased afterwards, so the event has what the call does not show of it.
    """

    event_name: ClassVar[str] = "call.created"

    scheduled_at: Instant | None = Field(default=None, description="the time that the request named, if it named one")


class CallStatusChanged(CallDecision):
    """The status of the call changed. A retry returns it to ``pending``."""

    event_name: ClassVar[str] = "call.status_changed"

    previous: CallStatus
    status: CallStatus
    attempt: int
    reason: str | None = None
    next_attempt_at: Instant | None = None


class CallChanged(CallDecision):
    """A pending call, or the metadata of a live one, was changed on request."""

    event_name: ClassVar[str] = "call.changed"

    changed: tuple[str, ...] = Field(description="names of the fields that the command set")
    scheduled_at: Instant | None = Field(default=None, description="the time that the command named, if it named one")


class CallCommandRefused(CallDecision):
    """A command was refused: it changes only the ``command_sequence`` of the call, so it is not decided again later."""

    event_name: ClassVar[str] = "call.command_refused"

    command: str = Field(description="the name of the command, such as call.retry_requested")
    changed: tuple[str, ...] = Field(default=(), description="names of the fields that a refused change named")
    scheduled_at: Instant | None = Field(default=None, description="the time that a refused change named")
    reason: str
    code: RefusalCode | None = None


class CallDue(CallDecision):
    """The scheduled time has come: the call waits for a slot and is dialled when it has one.

    Also after a slot was granted: its campaign was paused before the grant was carried out, and the call waits on.
    """

    event_name: ClassVar[str] = "call.due"


class CallPutOff(CallDecision):
    """The call had a slot, but it may not be dialled now: it waits until ``due_at``, the next permitted time."""

    event_name: ClassVar[str] = "call.put_off"


class CallConcluded(CallDecision):
    """The conversation is over; the line stays open while the goodbye is played."""

    event_name: ClassVar[str] = "call.concluded"


class CallHangupRequested(CallDecision):
    """The line must be closed: canceled, too long, answered by a machine, or the goodbye has been played."""

    event_name: ClassVar[str] = "call.hangup_requested"


class CallMessageRequested(CallDecision):
    """A machine answered, and the call has a message for it: voice plays the message on the line."""

    event_name: ClassVar[str] = "call.message_requested"


class CallMessageStarted(CallDecision):
    """The message to the machine is being played."""

    event_name: ClassVar[str] = "call.message_started"


class CallMessageWithdrawn(CallDecision):
    """The callee spoke after a machine verdict: a person answered, and the conversation goes on."""

    event_name: ClassVar[str] = "call.message_withdrawn"


class CallCallbackNoted(CallDecision):
    """The callee asked to be called again: a live call waits for that after its attempt, a waiting one at once."""

    event_name: ClassVar[str] = "call.callback_noted"


class CallTransferStarted(CallDecision):
    """The callee is being connected with a person of the company: the call may last longer."""

    event_name: ClassVar[str] = "call.transfer_started"


class CallTransferEnded(CallDecision):
    """No person was connected with the callee; the conversation goes on."""

    event_name: ClassVar[str] = "call.transfer_ended"


class CallSettlementRequested(CallDecision):
    """The deadline passed without an event. Voice asks the provider what became of the attempt."""

    event_name: ClassVar[str] = "call.settlement_requested"
