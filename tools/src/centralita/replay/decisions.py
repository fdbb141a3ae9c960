"""Deciding one input again by the orchestrator's own service, with its ports in memory. Needs the extra ``replay``.

The only module of the tools that knows a service's rules: it runs them and repeats none.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import get_args
from uuid import UUID

from call_orchestrator.application.call_terms import Policy
from call_orchestrator.application.calls import CallInput, CallService
from call_orchestrator.domain import inputs
from call_orchestrator.entrypoints.subscribers import Command, Fact, input_of
from call_orchestrator.ports import Stored
from chassis.event_log import StoredEvent
from contracts import (
    AudioRequested,
    Call,
    CallCancelRequested,
    CallChangeRequested,
    CallDecision,
    CallRequested,
    CallRetryRequested,
    CommandOutcome,
    Envelope,
)

DIAL_WITHIN = timedelta(days=1)
"""The orchestrator's default of ``DIAL_WITHIN_MINUTES``, the only limit that some events do not carry."""
INPUTS: tuple[type, ...] = (*get_args(Command), *get_args(Fact))
"""The event types that the orchestrator decides on."""


@dataclass
class _InMemoryPorts:
    """The service's ports: they return `stored` and keep the appended events. The other effects do nothing."""

    stored: Stored | None
    appended: list[CallDecision] = field(default_factory=list)

    async def load(self, call_id: UUID) -> Stored | None:
        return self.stored

    async def append(self, event: CallDecision, *, after: int, cause: Envelope) -> int:
        self.appended.append(event)
        return after + 1

    async def has_decided(self, call_id: UUID, cause: Envelope) -> bool:
        return False

    async def set(self, call_id: UUID, deadline: datetime, *, after: int, cause: Envelope) -> None:
        """Sets no timer."""

    async def clear(self, call_id: UUID) -> None:
        """Clears no timer."""

    async def join(self, call: Call, *, due_sequence: int, cause: Envelope) -> None:
        """Joins no queue."""

    async def leave(self, place: int) -> None:
        """Leaves no queue."""

    async def request(self, greeting: AudioRequested, *, event_id: str, cause: Envelope) -> None:
        """Requests no audio."""


async def decide_again(before: Call | None, stored: StoredEvent, policy: Policy, now: datetime) -> CallDecision | None:
    """Returns the decision on an input while the call is `before`; None if the input is ignored or refused."""
    ports = _InMemoryPorts(Stored(before, 0, None) if before else None)
    service = CallService(calls=ports, timers=ports, queue=ports, greetings=ports, policy=policy, now=lambda: now)
    await _decide(service, stored)
    return ports.appended[-1] if ports.appended else None


async def _decide(service: CallService, stored: StoredEvent) -> CommandOutcome:
    event, cause = stored.event, stored.envelope
    match event:
        case CallRequested():
            return await service.request(event, cause)
        case CallChangeRequested():
            return await service.change(event, cause)
        case CallCancelRequested():
            return await service.tell(CallInput(event.call_id, inputs.CancelRequested(), cause))
        case CallRetryRequested():
            return await service.tell(CallInput(event.call_id, inputs.RetryRequested(), cause))
        case _ if isinstance(event, Fact):
            return await service.tell(CallInput(event.call_id, input_of(event), cause))
        case _:
            raise TypeError(f"{event.event_name} is not an input of the orchestrator")


def policy_of(call: Call | None, dial_within: timedelta) -> Policy:
    """Returns the defaults that were in force when a call was created, as far as the call carries them.

    A queued call shows by its deadline how late it may be dialled; for any other, `dial_within` is used. Without a call
    the values do not matter, because no recorded decision is compared with the result.
    """
    if call is None:
        span = timedelta(minutes=1)
        return Policy(call_timeout=span, max_retries=0, retry_delay=span, max_talk=span, dial_within=dial_within)
    if call.is_queued and call.deadline_at and call.due_at:
        dial_within = call.deadline_at - call.due_at
    return Policy(
        call_timeout=timedelta(seconds=call.call_timeout_seconds),
        max_retries=call.max_retries,
        retry_delay=timedelta(seconds=call.retry_delay_seconds),
        max_talk=timedelta(seconds=call.max_call_seconds),
        dial_within=dial_within,
    )
