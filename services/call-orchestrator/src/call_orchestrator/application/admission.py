"""Admission: a call whose time has come is dialled as soon as there is a slot for it.

Every replica folds the log into `Slots` and offers the next slot to the same call; the server takes one grant, since
each is guarded by the last one of all. A replica that has not seen the last grant therefore cannot grant, and one that
has knows of every slot that is held. What a grant leads to is decided where all facts are: a replica that dies after
its grant has nothing left to do.

Calls of a paused campaign are given no slot. A replica grants nothing before it has read which campaigns are paused,
and asks the log once more before each grant, since it may have been cut off. A grant and a pause that cross each other
within that one look are both valid: the call goes on, as every call does that has its slot.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge, Histogram

from call_orchestrator.domain.slots import Slots, Waiting
from call_orchestrator.ports import Admissions, CallLog, CampaignLog, Heard, Queue
from chassis.event_log import Conflict
from contracts import AdmissionGranted, AdmissionReleased, DialClaimed

_PAUSE_SECONDS = 1.0
_STALE_SECONDS = 0.05

LIVE = Gauge("centralita_live_calls", "Calls that hold a slot, by the log; every replica says the same")
LIMIT = Gauge("centralita_live_calls_limit", "Calls that may be live at once; infinite: any number")
WAITING = Gauge("centralita_waiting_calls", "Calls whose time has come and that wait for a slot")
WAITING_PAUSED = Gauge("centralita_waiting_calls_paused", "Of the waiting calls, those of paused campaigns")
PAUSED = Gauge("centralita_paused_campaigns", "Campaigns that are paused, by the log; every replica says the same")
WAIT_SECONDS = Histogram(
    "centralita_slot_wait_seconds",
    "From a call's time to its slot",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14_400),
)
RACES = Counter("centralita_lost_grants", "Grants that another replica had given first")

logger = structlog.get_logger()


class Admission:
    """Gives slots to calls that wait."""

    def __init__(
        self,
        slots: Slots,
        calls: CallLog,
        campaigns: CampaignLog,
        queue: Queue,
        admissions: Admissions,
        now: Callable[[], datetime],
    ) -> None:
        self._slots = slots
        self._calls = calls
        self._campaigns = campaigns
        self._queue = queue
        self._admissions = admissions
        self._now = now
        self._news = asyncio.Event()
        LIMIT.set(float("inf") if slots.limits.live is None else slots.limits.live)
        WAITING_PAUSED.set_function(slots.waiting_paused)

    async def run(self) -> None:
        """Grants until cancelled. Whatever fails is logged and tried again."""
        async with asyncio.TaskGroup() as tasks:
            for part in (self._hear, self._hear_of_campaigns, self._see_who_waits, self._grant_next):
                tasks.create_task(_for_ever(part))

    async def _hear(self) -> None:
        self._slots.forget()
        async with self._admissions.heard() as batches:
            async for batch in batches:
                left = [gone for heard in batch if (gone := self._take(heard))]
                self._tell()
                for gone in left:
                    await self._queue.leave(gone.place)

    def _take(self, heard: Heard) -> Waiting | None:
        """Folds a fact; returns the call that it made wait no more without a slot."""
        match heard.fact:
            case AdmissionGranted(campaign_id=campaign_id):
                self._slots.granted(heard.sequence, heard.call_id, campaign_id)
            case AdmissionReleased(grant_sequence=granted):
                self._slots.released(heard.call_id, granted)
            case DialClaimed():
                self._slots.claimed(heard.call_id)
            case None:
                return self._slots.stands(heard.sequence, heard.call_id, live=heard.live)
        return None

    async def _hear_of_campaigns(self) -> None:
        self._slots.paused = None
        async with self._campaigns.standings() as batches:
            async for paused in batches:
                self._slots.campaigns(paused)
                self._tell()

    async def _see_who_waits(self) -> None:
        async with self._admissions.waiting() as batches:
            async for batch in batches:
                for call in batch:
                    self._slots.joined(call)
                self._tell()

    def _tell(self) -> None:
        LIVE.set(len(self._slots.held))
        WAITING.set(len(self._slots.waiting))
        PAUSED.set(len(self._slots.paused or ()))
        self._news.set()

    async def _grant_next(self) -> None:
        self._news.clear()
        # What is seen now is what the grant will be guarded by, however much is heard before it is stored.
        call, after, since = self._slots.next(), self._slots.last_grant, self._slots.since
        if call is None:
            await self._news.wait()
        elif await self._may_begin(call):
            await self._grant(call, since, after)

    async def _may_begin(self, call: Waiting) -> bool:
        stored = await self._calls.load(UUID(call.call_id))
        if stored is None or stored.sequence < call.due:
            await asyncio.sleep(_STALE_SECONDS)  # a server that lags has answered
            return False
        if stored.call.is_queued and stored.sequence == call.due:
            return await self._runs(call.campaign_id)
        self._slots.left(call)
        await self._queue.leave(call.place)
        return False

    async def _runs(self, campaign_id: str) -> bool:
        is_paused = (await self._campaigns.load(campaign_id)).campaign.is_paused
        if is_paused:
            await asyncio.sleep(_STALE_SECONDS)  # this replica will hear of it
        return not is_paused

    async def _grant(self, call: Waiting, since: int, after: int) -> None:
        """Grants, and waits until the grant, or that of who was faster, is folded."""
        try:
            await self._admissions.grant(call, since=since, after=after)
        except Conflict:
            RACES.inc()
        else:
            WAIT_SECONDS.observe((self._now() - call.due_at).total_seconds())
            await self._queue.leave(call.place)
        while self._slots.last_grant <= after:
            self._news.clear()
            await self._news.wait()


async def _for_ever(part: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await part()
        except Exception as error:
            logger.warning("admission_interrupted", part=part.__name__, exc_info=error)
            await asyncio.sleep(_PAUSE_SECONDS)
