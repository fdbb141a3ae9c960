"""Grants a slot to a call as soon as it begins to wait, if no other call may use the slot.

Such a call does not join the queue. That saves its entry in the stream ``QUEUE``, the deletion of the entry, and a read
of the call: this replica has just appended or loaded the event since which the call waits. The grant is the same, and
it is guarded by the same chain (`call_orchestrator.domain.slots`). If another replica has granted meanwhile, or if the
campaign is closed at the leader, the call joins the queue.

A replica that dies between the decision and the grant leaves a call that is in no queue. The message that led to the
decision is delivered again then, and the call joins or is granted its slot. A second grant of the same wait is
harmless: `call_orchestrator.application.grants` carries out one of them.

Grants follow each other: none is made before the last one is folded. A call that begins to wait meanwhile joins the
queue. So does the first call of a replica, because a queue that has never had an entry is restored from the whole log.
"""

from collections.abc import Callable
from datetime import datetime

from call_orchestrator.application.admission import append_grant, grant_of
from call_orchestrator.application.open_campaigns import OpenCampaigns
from call_orchestrator.application.stored import load_campaign
from call_orchestrator.domain.slot_events import Waiting
from call_orchestrator.domain.slots import Slots
from call_orchestrator.ports import Log, Queue
from contracts import Call, Envelope

_NO_ENTRY = 0


class ImmediateGrants:
    """Implements `Queue`: a call joins `queue` unless it is granted a slot at once."""

    def __init__(
        self, queue: Queue, slots: Slots, campaigns: OpenCampaigns, log: Log, now: Callable[[], datetime]
    ) -> None:
        self._queue = queue
        self._slots = slots
        self._campaigns = campaigns
        self._log = log
        self._now = now
        self._has_joined = False
        self._is_granting = False
        self._guard_sequence = -1
        """The guard of the last grant, which must be folded before the next one."""

    async def join(self, call: Call, *, due_sequence: int, cause: Envelope) -> None:
        """Grants the call a slot if it is the next one and a slot is free. Otherwise the call joins the queue."""
        if not (self._has_joined and await self._is_granted(call, due_sequence, cause)):
            await self._queue.join(call, due_sequence=due_sequence, cause=cause)
            self._has_joined = True

    async def leave(self, queue_sequence: int) -> None:
        """Removes the entry of this sequence from the queue."""
        await self._queue.leave(queue_sequence)

    async def _is_granted(self, call: Call, due_sequence: int, cause: Envelope) -> bool:
        is_folded = self._slots.guard_sequence != self._guard_sequence
        if self._is_granting or not is_folded or not self._slots.is_next(str(call.call_id), call.campaign_id):
            return False
        self._is_granting = True
        try:
            return await self._grant(call, due_sequence, cause)
        finally:
            self._is_granting = False

    async def _grant(self, call: Call, due_sequence: int, cause: Envelope) -> bool:
        """Appends the grant if the campaign is open at the leader, as admission does."""
        guard_sequence, replay_from_sequence = self._slots.guard_sequence, self._slots.replay_from_sequence
        stored = await load_campaign(self._log, call.campaign_id)
        if self._campaigns.note(stored) or not stored.campaign.is_open(self._now()):
            return False
        assert call.due_at is not None  # noqa: S101  a call that waits has a due time
        waiting = Waiting(
            call_id=str(call.call_id),
            campaign_id=call.campaign_id,
            attempt=call.attempt + 1,
            due_at=call.due_at,
            due_sequence=due_sequence,
            queue_sequence=_NO_ENTRY,
        )
        grant = grant_of(waiting, stored.campaign, replay_from_sequence)
        self._guard_sequence = guard_sequence
        return await append_grant(self._log, grant, waiting, guard_sequence, self._now, cause.traceparent)
