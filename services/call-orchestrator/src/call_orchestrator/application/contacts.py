"""Takes waiting contacts of running campaigns, and creates their calls.

A contact becomes a call only when it may be dialled soon. Its campaign must be open, the calling hours of its group
must be open now, and few calls of the campaign wait for a slot (`ahead`). So a campaign of a million contacts has a
few calls, and its contacts need no timers. The server keeps the position: a contact leaves its stream when it is
acknowledged.

Each replica takes contacts for itself. `ahead` holds for one replica, so with three of them up to three times as many
calls wait. The id of the call follows from campaign and contact. So a contact that is delivered twice is the same call,
and one that is not acknowledged because its replica died is taken by another one. A contact that may not be called is
a fact of the log, `contact.refused`, once.

The contacts that remain when a campaign is over are counted and removed (`expired_contacts`). A campaign that fails is
considered again later, and delays no other (`failed_campaigns`).
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime
from math import ceil

import structlog

from call_orchestrator.application.call_inputs import call_input
from call_orchestrator.application.call_terms import Policy
from call_orchestrator.application.calls import CallService
from call_orchestrator.application.closed_groups import ClosedGroups
from call_orchestrator.application.contact_calls import request_of
from call_orchestrator.application.contact_refusals import ContactRefusals, other_call
from call_orchestrator.application.ended_campaigns import EndedCampaigns
from call_orchestrator.application.expired_contacts import ExpiredContacts
from call_orchestrator.application.failed_campaigns import FailedCampaigns
from call_orchestrator.application.open_campaigns import OpenCampaigns
from call_orchestrator.application.retention_periods import RetentionPeriods
from call_orchestrator.domain.decisions import Refused
from call_orchestrator.domain.slots import Slots
from call_orchestrator.metrics import CONTACTS
from call_orchestrator.ports import ContactQueue, Log, TakenContact
from chassis.background import cancel_until_done, run_in_background
from chassis.time_mapping import REAL_TIME, TimeMapping
from contracts import Campaign
from contracts.callees import Callee
from contracts.personal import PLACEHOLDERS
from contracts.vocabulary import RefusalCode

MIN_AHEAD = 20
AHEAD_MINUTES = 2
"""So many minutes' worth of the pace may wait for a slot, and at least `MIN_AHEAD` calls."""
_PULL_SECONDS = 1.0
_EMPTY_PULL_SECONDS = 10.0
"""How long a pull from a group waits that was empty before: a new contact is delivered at once."""
_MIN_PAUSE_SECONDS = 0.02
_MAX_PAUSE_SECONDS = 60.0
_FAILURE_PAUSE_SECONDS = 1.0
_FAILED_SECONDS = 60.0
"""After which time a contact whose handling has failed is delivered again."""
_FULL_PAUSE_SECONDS = 5.0
_SETTLE_SECONDS = 1.0
"""So long a new call counts as waiting, although the queue does not show it yet."""

ERASED_CONTACT = "phone_number: was erased while the contact waited"

logger = structlog.get_logger()

Group = tuple[str, str]
"""A campaign and a group of its contacts."""


class ContactTaker:
    """Takes contacts, as many as the campaigns need."""

    def __init__(
        self,
        log: Log,
        queue: ContactQueue,
        calls: CallService,
        campaigns: OpenCampaigns,
        slots: Slots,
        policy: Policy,
        now: Callable[[], datetime],
        mapping: TimeMapping = REAL_TIME,
        retention: RetentionPeriods | None = None,
    ) -> None:
        """`mapping`: from the time of `now` to that in which it waits. `retention`: None keeps data for ever."""
        self._queue = queue
        self._refusals = ContactRefusals(log, now)
        self._calls = calls
        self._campaigns = campaigns
        self._slots = slots
        self._closed = ClosedGroups(policy.calling_policy)
        self._now = now
        self._mapping = mapping
        self._groups: dict[str, dict[str, Callee]] = {}
        self._failed = FailedCampaigns(now)
        self._retention = retention
        expired = ExpiredContacts(log, queue, now, retention)
        self._ended = EndedCampaigns(expired, self._groups, self._failed, now, self.note_change)
        self._pulls: dict[Group, asyncio.Task[None]] = {}
        self._reserved: Counter[str] = Counter()
        self._empty: set[Group] = set()
        self._created: dict[str, tuple[str, float]] = {}
        """The new calls that may not be among the waiting ones yet: campaign and time of creation."""
        self._changed = asyncio.Event()
        self._is_stopping = False

    def note_change(self) -> None:
        """Considers all campaigns again: slots, waiting calls or campaigns have changed."""
        self._changed.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Takes contacts while the block runs."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.stop)
            for part in (self._follow_groups, self._consider_all):
                await stack.enter_async_context(run_in_background(_run_forever(part)))
            yield

    async def stop(self) -> None:
        """Takes no further contacts. A drain of the connection would wait for pulls that wait for a contact."""
        self._is_stopping = True
        for task in list(self._pulls.values()):
            await cancel_until_done(task)
        await self._ended.stop()

    async def _follow_groups(self) -> None:
        async with self._queue.groups() as batches:
            async for batch in batches:
                for group in batch:
                    callee = Callee(country=group.country, regions=group.regions, zones=group.zones)
                    self._groups.setdefault(group.campaign_id, {})[group.zone_group] = callee
                self._changed.set()

    async def _consider_all(self) -> None:
        """Begins the pulls that are needed now; returns after something has changed, or when there is more to do."""
        self._changed.clear()
        self._forget_settled()
        opens_at: datetime | None = None
        ended: list[str] = []
        for campaign_id in list(self._groups):
            again_at = self._failed.until(campaign_id)
            if again_at is None:
                with self._failed.isolated(campaign_id):
                    again_at = self._consider(campaign_id, ended)
            opens_at = min(filter(None, (opens_at, again_at)), default=None)
        if ended and not self._is_stopping:
            self._ended.begin(ended)
        await asyncio.sleep(_MIN_PAUSE_SECONDS)
        seconds = self._mapping.real_seconds(opens_at - self._now()) if opens_at else _MAX_PAUSE_SECONDS
        if self._created:  # they make room without an event if their calls no longer wait
            seconds = min(seconds, _SETTLE_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(min(max(seconds, 0), _MAX_PAUSE_SECONDS)):
                await self._changed.wait()

    def _consider(self, campaign_id: str, ended: list[str]) -> datetime | None:
        """Begins the pulls of a campaign, or adds it to those that are over. Returns when to consider it again."""
        if self._campaigns.is_over(campaign_id):
            again_at = self._ended.again_at(campaign_id)
            if again_at is None:
                self._closed.forget(campaign_id, self._groups[campaign_id])
                self._empty.difference_update((campaign_id, zone_group) for zone_group in self._groups[campaign_id])
                ended.append(campaign_id)
            return again_at
        campaign = self._campaigns.get(campaign_id)
        return self._begin_pulls(campaign) if campaign and campaign.is_open(self._now()) else None

    def _forget_settled(self) -> None:
        settled_at = time.monotonic() - _SETTLE_SECONDS
        self._created = {
            call_id: one
            for call_id, one in self._created.items()
            if one[1] > settled_at and call_id not in self._slots.waiting and call_id not in self._slots.occupied
        }

    def _begin_pulls(self, campaign: Campaign) -> datetime | None:
        """Begins a pull from each open group that has none, while there is room. Returns when the next group opens."""
        opens_at: datetime | None = None
        for zone_group, callee in self._groups[campaign.campaign_id].items():
            group = (campaign.campaign_id, zone_group)
            if group in self._pulls or self._is_stopping:
                continue
            now, room = self._now(), self._room(campaign)
            closed_until = self._closed.known(campaign, zone_group, now)
            if room and not closed_until:
                closed_until = self._closed.ask(campaign, zone_group, callee, now)
            if closed_until:
                opens_at = min(opens_at or closed_until, closed_until)
            elif room:
                reserved = 0 if group in self._empty else room
                self._reserved[campaign.campaign_id] += reserved
                self._pulls[group] = asyncio.create_task(self._pull(group, reserved))
        return opens_at

    def _room(self, campaign: Campaign) -> int:
        """Returns how many contacts of the campaign may be taken now: none, or at least a quarter of `ahead`."""
        campaign_id, most = campaign.campaign_id, ahead(campaign)
        created = sum(one[0] == campaign_id for one in self._created.values())
        room = most - self._slots.waiting_in([campaign_id]) - self._reserved[campaign_id] - created
        return room if room >= ceil(most / 4) else 0

    async def _pull(self, group: Group, reserved: int) -> None:
        """Takes contacts of one group. A group that was empty before reserves nothing while it waits for a contact."""
        campaign_id = group[0]
        try:
            taken = await self._queue.take(*group, reserved or 1, _PULL_SECONDS if reserved else _EMPTY_PULL_SECONDS)
            (self._empty.discard if taken else self._empty.add)(group)
            await self._handle_all(taken)
        except Exception as error:  # noqa: BLE001  the contacts are delivered again
            logger.warning("contacts_not_taken", campaign_id=campaign_id, error=repr(error))
            await asyncio.sleep(_FAILURE_PAUSE_SECONDS)
        finally:
            self._reserved[campaign_id] -= reserved
            del self._pulls[group]
            self._changed.set()

    async def _handle_all(self, taken: Sequence[TakenContact]) -> None:
        """Handles the contacts in turn. One that fails comes back later than those after it, so it delays none."""
        for position, one in enumerate(taken):
            try:
                await self._handle(one)
            except Exception:
                await one.put_back(_FAILED_SECONDS)
                for other in taken[position + 1 :]:
                    await other.put_back(0)
                raise

    async def _handle(self, taken: TakenContact) -> None:
        """Creates the call of a contact, or records why it is refused, and acknowledges the contact."""
        contact, cause = taken.stored.event, taken.stored.envelope
        campaign = self._campaigns.get(contact.campaign_id)
        if campaign is None or not campaign.is_open(self._now()):
            await taken.put_back(0)
            return
        request = request_of(contact)
        if contact.phone_number in PLACEHOLDERS:
            await self._refusals.append(taken, ERASED_CONTACT)
            await self._end(taken, campaign)
            return
        is_redelivered, sent_at = taken.stored.deliveries > 1, taken.stored.sent_at
        given = call_input(request, cause, is_redelivered=is_redelivered, sent_at=sent_at)
        handled = await self._calls.carry_out(given)
        if isinstance(handled, Refused) and handled.code is RefusalCode.BACKLOG_FULL:
            await taken.put_back(_FULL_PAUSE_SECONDS)
            return
        if isinstance(handled, Refused):
            await self._refusals.append(taken, handled.reason)
        elif reason := other_call(handled.call, contact):
            await self._refusals.append_taken_id(taken, reason)
        else:
            CONTACTS.labels(outcome="taken").inc()
            if not handled.call.status.is_final:  # that of a contact which is added again may have ended
                if handled.call.is_queued:
                    self._created[str(handled.call.call_id)] = (contact.campaign_id, time.monotonic())
                await taken.acknowledge()
                return
        await self._end(taken, campaign)

    async def _end(self, taken: TakenContact, campaign: Campaign) -> None:
        """Acknowledges a contact without an open call, after its number has noted until when its data is kept."""
        stored = taken.stored
        if self._retention:
            await self._retention.note_contact(
                stored.event.number_digest,
                campaign,
                added_at=stored.sent_at,
                ended_at=self._now(),
                cause=stored.envelope,
            )
        await taken.acknowledge()


def ahead(campaign: Campaign) -> int:
    """Returns how many calls of the campaign may wait for a slot before no further contact is taken."""
    calls_per_minute = campaign.terms.calls_per_minute if campaign.terms else None
    return max(MIN_AHEAD, ceil(AHEAD_MINUTES * (calls_per_minute or 0)))


async def _run_forever(part: Callable[[], Coroutine[None, None, None]]) -> None:
    while True:
        try:
            await part()
        except Exception as error:  # noqa: BLE001  it begins again
            logger.warning("contacts_interrupted", part=part.__name__, error=repr(error))
            await asyncio.sleep(_FAILURE_PAUSE_SECONDS)
