"""The outcomes of requests and commands, which their senders receive, and the error that delays one."""

from uuid import UUID

from pydantic import Field

from call_orchestrator.domain.decisions import Refused
from chassis.event_log import Conflict
from contracts import Call, CommandOutcome

MAX_CONFLICTS = 20
"""How often a decision is made again because another one of the same call was appended first."""


class CallOutcome(CommandOutcome):
    """The outcome of a request or command of a call. Its sender receives it without `call`."""

    call: Call | None = Field(default=None, exclude=True)
    """The call after it, if there is one."""

    @property
    def decided_sequence(self) -> int | None:
        """The position in REQUESTS whose decision the log shows."""
        return self.call.command_sequence if self.call else None


def accepted(call: Call) -> CallOutcome:
    """Returns the outcome of an accepted request or command. `call`: the call after it."""
    return CallOutcome(
        accepted=True,
        call_id=call.call_id,
        request_id=call.request_id,
        status=call.status,
        call=call,
    )


def refused(call_id: UUID, refused: Refused, call: Call | None = None) -> CallOutcome:
    """Returns the outcome of a refused request or command. `call`: the call after it, if there is one."""
    return CallOutcome(
        accepted=False,
        call_id=call_id,
        status=call.status if call else None,
        reasons=(refused.reason,),
        code=refused.code,
        call=call,
    )


def too_many_conflicts(id: object) -> Conflict:
    """Returns the error after `MAX_CONFLICTS`. `id`: of a call, or the digest of a number."""
    return Conflict(f"{id}: {MAX_CONFLICTS} conflicts in a row; the message is delivered again")
