"""The outcomes of requests and commands, which their senders receive, and the error that delays one."""

from uuid import UUID

from call_orchestrator.domain.decisions import Refused
from chassis.event_log import Conflict
from contracts import Call, CallStatus, CommandOutcome

MAX_CONFLICTS = 20
"""How often a decision is made again because another one of the same call was appended first."""


def accepted(call: Call) -> CommandOutcome:
    """Returns the outcome of an accepted request or command. `call`: the call after it."""
    return CommandOutcome(accepted=True, call_id=call.call_id, request_id=call.request_id, status=call.status)


def refused(call_id: UUID, refused: Refused, status: CallStatus | None = None) -> CommandOutcome:
    """Returns the outcome of a refused request or command."""
    return CommandOutcome(accepted=False, call_id=call_id, status=status, reasons=(refused.reason,), code=refused.code)


def too_many_conflicts(id: object) -> Conflict:
    """Returns the error after `MAX_CONFLICTS`. `id`: of a call, or the digest of a number."""
    return Conflict(f"{id}: {MAX_CONFLICTS} conflicts in a row; the message is delivered again")
