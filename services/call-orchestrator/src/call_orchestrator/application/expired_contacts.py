"""Counts and removes the contacts that remain when a campaign is over.

An event counts them, and then they are removed. The event is guarded by the last one of the campaign, so one replica
appends it. It names the position up to which they were counted. If that replica dies before it removes them, another
one removes the same. Contacts that were added meanwhile follow in another event. A contact whose call is being created
at that moment may be counted, too.

The groups are removed `LATE_SECONDS` after the end, and until then the contacts are counted every `LOOK_SECONDS`. So
contacts of an import that did not know of the end are found, also if the importing process died before it could add
their groups again.

If the personal data of the campaign is kept for some time only, the number of each contact notes until when, before the
contacts are removed (`application.retention_periods`). Otherwise they are removed without being read.
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import structlog

from call_orchestrator.application.retention_periods import RetentionPeriods
from call_orchestrator.metrics import CONTACTS
from call_orchestrator.ports import ContactQueue, Log
from chassis.event_log import Conflict, Guard, StoredEvent
from contracts import Campaign, CampaignContactsExpired, CampaignDecision
from contracts.filters import campaign_state_filter

LATE_SECONDS = 600.0
"""So long after the end of a campaign an import may still add contacts: it looks at the campaign before each batch."""
NOTED_TOGETHER = 32
"""How many numbers note at once until when their data is kept."""
LOOK_SECONDS = 20.0
"""The interval in which the contacts are counted until then."""

logger = structlog.get_logger()


class ExpiredContacts:
    """Removes the contacts of campaigns that are over."""

    def __init__(
        self, log: Log, queue: ContactQueue, now: Callable[[], datetime], retention: RetentionPeriods | None = None
    ) -> None:
        """`retention`: until when personal data is kept; None: for ever."""
        self._retention = retention
        self._log = log
        self._queue = queue
        self._now = now

    async def remove(self, campaign_id: str, groups: Iterable[str]) -> bool:
        """Counts and removes the contacts of a campaign and then its groups.

        Returns whether the groups are removed. They are not if contacts may still be added, if the campaign is not over
        at the leader, or if another replica counts its contacts.

        Contacts may be added meanwhile. Those that were counted are removed, and the others are counted next. A contact
        is added before its group. So the group of one that comes after the last count is added again.
        """
        while True:
            last = await self._log.last(campaign_state_filter(campaign_id))
            event = last.event if last else None
            now = self._now()
            if last is None or not isinstance(event, CampaignDecision) or not event.campaign.is_over(now):
                return False
            until_sequence = await self._queue.last_sequence()
            if isinstance(event, CampaignContactsExpired):
                await self._remove_counted(last, event, until_sequence)
            count = await self._queue.count(campaign_id, until_sequence)
            if count:
                if not await self._append(event.campaign, last.sequence, count, until_sequence):
                    return False
                continue
            if _over_at(event.campaign) + timedelta(seconds=LATE_SECONDS) > now:
                return False
            await self._queue.remove_groups(campaign_id, groups, until_sequence)
            if not await self._queue.count(campaign_id, await self._queue.last_sequence()):
                return True

    async def _remove_counted(self, stored: StoredEvent, expired: CampaignContactsExpired, until_sequence: int) -> None:
        """Removes the contacts that an event has counted; `until_sequence`: if it does not say up to where.

        Those whose numbers have noted the end of their data are removed at once, so an interruption costs one page.
        """
        campaign = expired.campaign
        if expired.until_sequence is not None:
            until_sequence = expired.until_sequence
        after_sequence = 0
        while self._retention and self._retention.is_limited(campaign):
            persons = await self._queue.persons(campaign.campaign_id, after_sequence, until_sequence)
            if not persons:
                break
            for begin in range(0, len(persons), NOTED_TOGETHER):
                notes = (
                    self._retention.note_contact(
                        one.number_digest,
                        campaign,
                        added_at=one.added_at,
                        ended_at=expired.occurred_at,
                        cause=stored.envelope,
                    )
                    for one in persons[begin : begin + NOTED_TOGETHER]
                )
                await asyncio.gather(*notes)
            after_sequence = persons[-1].sequence
            await self._queue.remove(campaign.campaign_id, after_sequence)
        await self._queue.remove(campaign.campaign_id, until_sequence)

    async def _append(self, campaign: Campaign, after_sequence: int, count: int, until_sequence: int) -> bool:
        """Returns False if another event of the campaign was appended first."""
        expired = CampaignContactsExpired(
            campaign=campaign, count=count, until_sequence=until_sequence, occurred_at=self._now()
        )
        try:
            await self._log.append(expired, guard=Guard(campaign_state_filter(campaign.campaign_id), after_sequence))
        except Conflict:  # another replica has, or the campaign has changed
            return False
        CONTACTS.labels(outcome="expired").inc(count)
        logger.info("contacts_expired", campaign_id=campaign.campaign_id, count=count)
        return True


def _over_at(campaign: Campaign) -> datetime:
    """Returns since when a campaign is over."""
    return min(instant for instant in (campaign.finished_at, campaign.ends_at) if instant)
