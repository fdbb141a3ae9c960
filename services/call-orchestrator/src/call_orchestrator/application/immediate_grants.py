"""Grants a slot to a call as soon as it begins to wait, if no other call may use the slot.

Such a call does not join the queue. That saves its entry in the stream ``QUEUE``, the deletion of the entry, and a read
of the call: this replica has just appended or loaded the event since which the call waits. The grant is the same, and
it is guarded by the same chain (`call_orchestrator.domain.slots`). If another replica has granted meanwhile, or if the
campaign is closed at the leader, the call joins the queue.

A replica that dies between the decision and the grant leaves a call that is in no queue. The message that led to the
decision is delivered again then, and the call joins or is granted its slot. A second grant of the same wait is
harmless: `call_orchestrator.application.grants` carries out one of them.

Grants follow each other: none is made before the last one is folded. A call that begins to wait meanwhile waits until
it is the next one, for a short time; otherwise it would join the queue, and each one after it would have to join, too.
The first call of a replica joins, because a queue that has never had an entry is restored from the whole log.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

from call_orchestrator.application.admission import append_grant, grant_of
from call_orchestrator.application.open_campaigns import OpenCampaigns
from call_orchestrator.application.stored import load_campaign
from call_orchestrator.domain.slot_events import Waiting
from call_orchestrator.domain.slots import Slots
from call_orchestrator.ports import Log
from contracts import Call, Envelope

_NO_ENTRY = 0
_NO_GUARD = -1
MAX_WAIT_SECONDS = 10.0
"""How long a call waits until those that came before it are granted their slots. After that, it joins the queue.

Longer than `MAX_WAITING` grants take on a busy machine. If the wait ended earlier, calls would join, and keep the
others waiting until these join, too."""
MAX_WAITING = 32
"""How many calls wait so at a time. Each occupies a worker of its consumer.

If so many calls are in the queue, a call joins it at once."""


class ImmediateGrants:
    """Grants slots to calls that begin to wait. Call `note_change` whenever the fold of the log has changed."""

    def __init__(
        self,
        slots: Slots,
        campaigns: OpenCampaigns,
        log: Log,
        now: Callable[[], datetime],
        *,
        max_wait_seconds: float = MAX_WAIT_SECONDS,
    ) -> None:
        self._slots = slots
        self._campaigns = campaigns
        self._log = log
        self._now = now
        self._max_wait_seconds = max_wait_seconds
        self._has_begun = False
        self._waiting = 0
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._guard_sequence = _NO_GUARD
        """The guard of the last grant, which must be folded before the next one."""

    def note_change(self) -> None:
        """Lets calls that wait for the fold of a grant look again."""
        self._changed.set()

    async def grant(self, call: Call, *, due_sequence: int, cause: Envelope) -> bool:
        """Grants the call a slot if it is the next one and a slot is free. If not, returns False: it has to join.

        `due_sequence`: the event since which the call waits.
        """
        if not self._has_begun:
            self._has_begun = True
            return False
        if self._waiting >= MAX_WAITING or self._is_queue_long() or not self._may_use_slot(call):
            return False
        self._waiting += 1
        try:
            async with asyncio.timeout(self._max_wait_seconds) as limit, self._turn:
                await self._wait_until_next(call)
                limit.reschedule(None)
                return self._may_use_slot(call) and await self._grant(call, due_sequence, cause)
        except TimeoutError:
            if limit.expired():
                return False
            raise
        finally:
            self._waiting -= 1

    def _is_queue_long(self) -> bool:
        return self._slots.grantable() > 0 and len(self._slots.waiting) >= MAX_WAITING

    def _may_use_slot(self, call: Call) -> bool:
        return self._slots.may_use_slot(str(call.call_id), call.campaign_id)

    async def _wait_until_next(self, call: Call) -> None:
        """Returns when the last grant is folded and no other call comes before, or when the call may use no slot."""
        while self._slots.guard_sequence == self._guard_sequence or self._slots.grantable():
            if not self._may_use_slot(call):
                return
            self._changed.clear()
            await self._changed.wait()

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
        try:
            return await append_grant(self._log, grant, waiting, guard_sequence, self._now, cause.traceparent)
        except BaseException:
            self._guard_sequence = _NO_GUARD  # the grant may be missing in the log; then its fold must not be awaited
            raise
