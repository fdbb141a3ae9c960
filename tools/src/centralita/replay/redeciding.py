"""One input decided again, by the orchestrator's own service on a log of paper. Needs the extra ``replay``.

The only module of the tools that knows a service's rules: it runs them, and repeats none.
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
"""The orchestrator's default of ``DIAL_WITHIN_MINUTES``: the one limit that not every event tells of."""
INPUTS: tuple[type, ...] = (*get_args(Command), *get_args(Fact))
"""What the orchestrator decides on."""


@dataclass
class _Paper:
    """The service's ports: the call as it stood, and what is written after it. Nothing leaves it."""

    stored: Stored | None
    written: list[CallDecision] = field(default_factory=list)

    async def load(self, call_id: UUID) -> Stored | None:
        return self.stored

    async def append(self, event: CallDecision, *, after: int, cause: Envelope) -> int:
        self.written.append(event)
        return after + 1

    async def has_decided(self, call_id: UUID, cause: Envelope) -> bool:
        return False

    async def set(self, call_id: UUID, deadline: datetime, *, after: int, cause: Envelope) -> None:
        """No clock runs on paper."""

    async def clear(self, call_id: UUID) -> None:
        """No clock runs on paper."""

    async def join(self, call: Call, *, due_sequence: int, cause: Envelope) -> None:
        """Nobody waits on paper."""

    async def leave(self, place: int) -> None:
        """Nobody waits on paper."""

    async def request(self, greeting: AudioRequested, *, event_id: str, cause: Envelope) -> None:
        """Nothing is spoken on paper."""


async def decided(before: Call | None, told: StoredEvent, policy: Policy, now: datetime) -> CallDecision | None:
    """What follows from an input while the call is `before`; none if it is ignored or refused."""
    paper = _Paper(Stored(before, 0, None) if before else None)
    service = CallService(calls=paper, timers=paper, queue=paper, greetings=paper, policy=policy, now=lambda: now)
    await _tell(service, told)
    return paper.written[-1] if paper.written else None


async def _tell(service: CallService, told: StoredEvent) -> CommandOutcome:
    event, cause = told.event, told.envelope
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
            raise TypeError(f"{event.event_name} is no input of the orchestrator")


def policy_of(agreed: Call | None, dial_within: timedelta) -> Policy:
    """The house's defaults as they were when a call was made: what its request left open, the call itself says.

    A call that is queued says by its deadline how late it may be dialled; of any other, `dial_within` is taken. Without
    a call: some policy, since nothing recorded can be compared with what it leads to.
    """
    if agreed is None:
        span = timedelta(minutes=1)
        return Policy(call_timeout=span, max_retries=0, retry_delay=span, max_talk=span, dial_within=dial_within)
    if agreed.is_queued and agreed.deadline_at and agreed.due_at:
        dial_within = agreed.deadline_at - agreed.due_at
    return Policy(
        call_timeout=timedelta(seconds=agreed.call_timeout_seconds),
        max_retries=agreed.max_retries,
        retry_delay=timedelta(seconds=agreed.retry_delay_seconds),
        max_talk=timedelta(seconds=agreed.max_call_seconds),
        dial_within=dial_within,
    )
