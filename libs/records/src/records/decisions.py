"""Why a call was dialled, delayed or ended: the orchestrator's decisions for people, without what was spoken."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from chassis.event_log import StoredEvent
from contracts import CallCallbackNoted, CallCommandRefused, CallDecision, CallStatus, ContactRefused
from contracts.call import Permission


class ExplainedDecision(BaseModel):
    """One decision about a call, without what was spoken."""

    model_config = ConfigDict(frozen=True)

    sequence: int = Field(description="position in the log of all calls")
    type: str = Field(examples=["call.put_off.v1"])
    time: datetime = Field(description="when it was decided")
    status: CallStatus | None = Field(description="after the decision; null: the contact was refused, and has no call")
    attempt: int
    due_at: datetime | None = Field(description="waiting: not dialled before this instant")
    reason: str | None = Field(description="why the call has this status")
    permission: Permission | None = Field(description="what the calling policy said; null: it was not asked")

    @classmethod
    def of(cls, stored: StoredEvent) -> Self:
        """Returns the explanation of a decision about a call, or of the refusal of a contact. Raises TypeError."""
        event = stored.event
        if isinstance(event, ContactRefused):
            return cls._of_refusal(event, stored.sequence)
        if not isinstance(event, CallDecision):
            raise TypeError(f"{event.event_name} is no decision about a call")
        call = event.call
        return cls(
            sequence=stored.sequence,
            type=event.type_name(),
            time=event.occurred_at,
            status=call.status,
            attempt=call.attempt,
            due_at=call.due_at,
            reason=_reason(event),
            permission=call.permission,
        )

    @classmethod
    def _of_refusal(cls, refused: ContactRefused, sequence: int) -> Self:
        return cls(
            sequence=sequence,
            type=refused.type_name(),
            time=refused.refused_at,
            status=None,
            attempt=0,
            due_at=None,
            reason=refused.reason,
            permission=None,
        )


def _reason(event: CallDecision) -> str | None:
    match event:
        case CallCommandRefused():
            return event.reason
        case CallCallbackNoted(call=call) if call.callback_at:
            return f"the callee asked to be called again at {call.callback_at:%Y-%m-%d %H:%M:%S} UTC"
        case _:
            return event.call.reason


def name_of(decision: Mapping[str, Any]) -> str:
    """Returns the kind of an `ExplainedDecision` in JSON; of a change of the status, the new one."""
    kind = str(decision.get("type", "")).removeprefix("call.").rpartition(".")[0]
    return str(decision.get("status", "")) if kind == "status_changed" else kind


def reason_of(decision: Mapping[str, Any]) -> str:
    """Returns why a decision was made: its reason, and what the calling policy said, unless the reason repeats it."""
    reason, permission = str(decision.get("reason") or ""), decision.get("permission")
    if not permission or (reason and permission["detail"] in reason):
        return reason
    return "; ".join(filter(None, (reason, f"{permission['rule']}: {permission['detail']}")))


def inputs_of(decision: Mapping[str, Any]) -> dict[str, str]:
    """Returns what the calling policy decided with: the rule, its inputs and the version; empty if it was not asked."""
    permission = decision.get("permission") or {}
    flat = {**permission, **(permission.get("campaign") or {}), "campaign": None}
    return {name: _in_words(value) for name, value in flat.items() if value not in (None, (), [], {}, "")}


def _in_words(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_in_words(one)}" for name, one in value.items() if one is not None)
    return "; ".join(map(_in_words, value)) if isinstance(value, list | tuple) else str(value)
