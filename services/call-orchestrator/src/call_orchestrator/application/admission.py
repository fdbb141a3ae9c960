"""Grants slots, the permissions to begin an attempt, to waiting calls.

Each replica follows the log and the queue, and chooses the next call with `call_orchestrator.domain.slots`, which
explains the theory. It appends a grant on the condition that no other replica has granted meanwhile. Dialling does not
happen here: the module `grants` consumes the event. If a replica dies right after its grant, another carries it out.

A call that no longer waits leaves the queue. Every replica that knew its entry deletes it, so that it is deleted also
if the replica that granted its slot dies. A second deletion is harmless.

An entry is set aside if the leader of the log lacks its event, or if this build cannot read it. Other calls are granted
slots meanwhile. The event may follow when a new leader is elected. After `MAX_LAG_SECONDS` the log is certainly older
than the queue, as after a restore, and the entry is removed. A call that waits according to the log joins the queue
again. The entry of an unreadable event stays, because the next build may read it.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime
from uuid import UUID

import structlog

from call_orchestrator import metrics
from call_orchestrator.application.open_campaigns import OpenCampaigns
from call_orchestrator.application.stored import StoredCall, load_call, load_campaign
from call_orchestrator.domain.slot_events import Waiting
from call_orchestrator.domain.slots import Slots
from call_orchestrator.ports import Feeds, Log, Queue
from chassis import tracing
from chassis.background import run_in_background
from chassis.event_log import Conflict, Guard, UnreadableEvent
from chassis.leader_retry import MAX_ELECTION_SECONDS
from chassis.live import Incomplete
from chassis.stream_reader import StreamRecreated
from chassis.time_mapping import REAL_TIME, TimeMapping
from chassis.unreadable import UnreadableEvents
from contracts import AdmissionGranted, Campaign

_RESTART_SECONDS = 1.0
_STALE_SECONDS = 0.05
_MIN_SLEEP_SECONDS = 0.001
_RECHECK_SECONDS = 0.5
MAX_LAG_SECONDS = MAX_ELECTION_SECONDS + 3
"""How long the leader may lack the event of an entry: an election, and the reading of the new leader's log."""

logger = structlog.get_logger()


class Admission:
    """Grants slots, one at a time."""

    def __init__(
        self,
        slots: Slots,
        campaigns: OpenCampaigns,
        log: Log,
        queue: Queue,
        feeds: Feeds,
        now: Callable[[], datetime],
        *,
        max_lag_seconds: float = MAX_LAG_SECONDS,
        mapping: TimeMapping = REAL_TIME,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """`mapping`: from the time of `now` to that in which it waits.

        `on_change`: called after slots, waiting calls or campaigns have changed.
        """
        self._slots = slots
        self._log = log
        self._queue = queue
        self._feeds = feeds
        self._now = now
        self._mapping = mapping
        self._on_change = on_change
        self._changed = asyncio.Event()
        self._campaigns = campaigns
        self._outdated: deque[Waiting] = deque()
        self._has_outdated = asyncio.Event()
        self._max_lag_seconds = max_lag_seconds
        self._set_aside: dict[Waiting, float] = {}
        """The entries that are set aside, each with its instant on the clock of the event loop."""
        self._has_set_aside = asyncio.Event()
        metrics.register_slots(slots)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Grants slots while the block runs. A part that fails is logged and started again.

        Each part is cancelled until it ends. A task group passes a second cancellation on to none of its tasks, so one
        task that loses the first would keep the service from stopping.
        """
        parts = (self._follow_slots, self._follow_campaigns, self._follow_waiting, self._leave_queue)
        async with AsyncExitStack() as stack:
            for part in (*parts, self._follow_periods, self._recheck_set_aside, self._grant_next):
                await stack.enter_async_context(run_in_background(_run_forever(part)))
            yield

    def _note_change(self) -> None:
        self._changed.set()
        self._on_change()

    async def _follow_slots(self) -> None:
        self._slots.reset()
        async with self._feeds.slot_events() as batches:
            async for batch in batches:
                self._discard(call for event in batch if (call := self._slots.apply(event)))
                self._note_change()

    async def _follow_campaigns(self) -> None:
        self._campaigns.forget()
        async with self._feeds.campaigns() as changes:
            async for change in changes:
                self._campaigns.update(change)
                self._note_change()

    async def _follow_periods(self) -> None:
        await self._campaigns.wait_for_period()
        self._note_change()

    async def _follow_waiting(self) -> None:
        async with self._feeds.waiting() as batches:
            async for batch in batches:
                self._discard(call for call in batch if not self._slots.join(call))
                self._note_change()

    async def _leave_queue(self) -> None:
        """Deletes outdated entries of the queue; after a failure it begins again with the same entry."""
        await self._has_outdated.wait()
        while self._outdated:
            await self._queue.leave(self._outdated[0].queue_sequence)
            self._outdated.popleft()
        self._has_outdated.clear()

    def _discard(self, calls: Iterable[Waiting]) -> None:
        self._outdated.extend(calls)
        self._has_outdated.set()

    async def _grant_next(self) -> None:
        self._changed.clear()
        self._slots.begin_paced(self._now())
        # The guard must be what the choice was based on, even if newer grants are folded before the append.
        call, guard_sequence = self._slots.next_call(), self._slots.guard_sequence
        replay_from_sequence = self._slots.replay_from_sequence
        if call is None:
            await self._wait_for_change()
        elif checked := await self._check(call):
            stored, campaign = checked
            grant = grant_of(call, campaign, replay_from_sequence)
            await append_grant(self._log, grant, call, guard_sequence, self._now, stored.envelope.traceparent)
            await self._wait_until_folded(guard_sequence)

    async def _wait_for_change(self) -> None:
        """Returns after something has changed, or when the pace of a campaign permits its next grant."""
        next_at = self._slots.next_pace_at
        seconds = max(self._mapping.real_seconds(next_at - self._now()), _MIN_SLEEP_SECONDS) if next_at else None
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    async def _check(self, call: Waiting) -> tuple[StoredCall, Campaign] | None:
        """Returns the call and its campaign if it still waits and the campaign is open, both at the leader.

        The campaign is read for each grant, although the replica follows campaigns: no call is dialled after a pause
        was acknowledged, also if the replica receives it late (law 9). The next call is chosen again after a newer
        state of the campaign was noted, which may have a lower limit.
        """
        stored, campaign = await asyncio.gather(self._load(call), load_campaign(self._log, call.campaign_id))
        if stored is None:
            self._put_aside(call)
            return None
        if not (stored.call.is_queued and stored.sequence == call.due_sequence):
            self._slots.leave(call)
            await self._rejoin(stored)
            self._discard([call])
            return None
        if self._campaigns.note(campaign):
            return None
        if not campaign.campaign.is_open(self._now()):
            self._campaigns.refresh()
            await asyncio.sleep(_STALE_SECONDS)  # its period is over now, the leader lags, or it is being read again
            return None
        return stored, campaign.campaign

    async def _load(self, call: Waiting) -> StoredCall | None:
        """Returns the call; None if the log has no such event, or if this build cannot read it."""
        try:
            stored = await load_call(self._log, UUID(call.call_id))
        except UnreadableEvent:
            return None
        return stored if stored and stored.sequence >= call.due_sequence else None

    def _put_aside(self, call: Waiting) -> None:
        self._slots.leave(call)
        self._set_aside[call] = asyncio.get_running_loop().time()
        metrics.SET_ASIDE.set(len(self._set_aside))
        self._has_set_aside.set()
        logger.warning("queue_entry_set_aside", call_id=call.call_id, due_sequence=call.due_sequence)

    async def _recheck_set_aside(self) -> None:
        """Returns entries to the waiting calls when their events can be read; removes those that have no event."""
        await self._has_set_aside.wait()
        await asyncio.sleep(_RECHECK_SECONDS)
        for call, since in list(self._set_aside.items()):
            if await self._load(call):
                self._discard([] if self._slots.join(call) else [call])
            elif asyncio.get_running_loop().time() - since < self._max_lag_seconds or not await self._remove(call):
                continue
            del self._set_aside[call]
            self._changed.set()
        metrics.SET_ASIDE.set(len(self._set_aside))
        if not self._set_aside:
            self._has_set_aside.clear()

    async def _remove(self, call: Waiting) -> bool:
        """Removes an entry that is newer than the log; a call that waits joins again.

        Returns false if the call cannot be read.
        """
        try:
            stored = await load_call(self._log, UUID(call.call_id))
        except UnreadableEvent:
            return False
        if stored:
            await self._rejoin(stored)
        self._discard([call])  # a newer entry has another position and stays
        metrics.DROPPED_ENTRIES.inc()
        logger.error("queue_entry_dropped", call_id=call.call_id, due_sequence=call.due_sequence)
        return True

    async def _rejoin(self, stored: StoredCall) -> None:
        """Adds a call that waits to the queue again: an outdated entry may have replaced its newest one."""
        if stored.call.is_queued:
            await self._queue.join(stored.call, due_sequence=stored.sequence, cause=stored.envelope)

    async def _wait_until_folded(self, guard_sequence: int) -> None:
        """Waits until the grant, or the faster grant of another replica, is folded."""
        while self._slots.guard_sequence <= guard_sequence:
            self._changed.clear()
            await self._changed.wait()


def grant_of(call: Waiting, campaign: Campaign, replay_from_sequence: int) -> AdmissionGranted:
    """Returns the grant of a slot to a waiting call; the terms of its campaign restrict the dial."""
    return AdmissionGranted(
        call_id=UUID(call.call_id),
        campaign_id=call.campaign_id,
        attempt=call.attempt,
        due_sequence=call.due_sequence,
        replay_from_sequence=replay_from_sequence,
        dial_terms=campaign.dial_terms,
    )


async def append_grant(
    log: Log,
    grant: AdmissionGranted,
    call: Waiting,
    guard_sequence: int,
    now: Callable[[], datetime],
    traceparent: str | None,
) -> bool:
    """Appends the grant. Returns False if another replica has granted since `guard_sequence`.

    A grant has no cause, but it belongs to the trace of the call.
    """
    try:
        with tracing.span("grant slot", tracing.PROCESS, traceparent):
            await log.append(grant, guard=Guard(AdmissionGranted.subjects(), guard_sequence))
    except Conflict:
        metrics.LOST_GRANTS.inc()
        return False
    metrics.SLOT_WAIT_SECONDS.observe((now() - call.due_at).total_seconds())
    return True


async def _run_forever(part: Callable[[], Awaitable[None]]) -> None:
    unreadable = UnreadableEvents("admission")
    while True:
        try:
            await part()
        except UnreadableEvent as error:  # until a build that can decode it runs, this replica grants nothing
            unreadable.report(error)
            await asyncio.sleep(_RESTART_SECONDS)
        except (Incomplete, StreamRecreated) as error:
            logger.warning("admission_interrupted", part=part.__name__, reason=str(error))
            await asyncio.sleep(_RESTART_SECONDS)
        except Exception as error:
            logger.warning("admission_interrupted", part=part.__name__, exc_info=error)
            await asyncio.sleep(_RESTART_SECONDS)
