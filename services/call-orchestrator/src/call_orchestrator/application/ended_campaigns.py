"""Expires the contacts of campaigns that are over, beside the taker of contacts.

One campaign follows the other, so many that end at once cost the server little. No open campaign waits for them.
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from call_orchestrator.application import expired_contacts
from call_orchestrator.application.expired_contacts import ExpiredContacts
from call_orchestrator.application.failed_campaigns import FailedCampaigns
from chassis.background import cancel_until_done
from contracts.callees import Callee


class EndedCampaigns:
    """The campaigns that are over and have groups of contacts."""

    def __init__(
        self,
        expired: ExpiredContacts,
        groups: dict[str, dict[str, Callee]],
        failed: FailedCampaigns,
        now: Callable[[], datetime],
        on_change: Callable[[], None],
    ) -> None:
        """`groups`: those of each campaign, which are removed here; `on_change`: called after the work."""
        self._expired = expired
        self._groups = groups
        self._failed = failed
        self._now = now
        self._on_change = on_change
        self._again_at: dict[str, datetime] = {}
        self._work: asyncio.Task[None] | None = None

    def again_at(self, campaign_id: str) -> datetime | None:
        """Returns when to look at the campaign again; None if that time has come."""
        again_at = self._again_at.get(campaign_id)
        return again_at if again_at and again_at > self._now() else None

    def begin(self, campaign_ids: Iterable[str]) -> None:
        """Begins to expire these campaigns, unless it does so with others. Then they follow at the next change."""
        if self._work is None:
            self._work = asyncio.create_task(self._expire_all(list(campaign_ids)))

    async def stop(self) -> None:
        """Ends the work; another replica continues it."""
        if self._work:
            await cancel_until_done(self._work)

    async def _expire_all(self, campaign_ids: Iterable[str]) -> None:
        try:
            for campaign_id in campaign_ids:
                with self._failed.isolated(campaign_id):
                    await self._expire(campaign_id)
        finally:
            self._work = None
            self._on_change()

    async def _expire(self, campaign_id: str) -> None:
        """Counts and removes the contacts of the campaign, and later its groups."""
        groups, is_done = self._groups.pop(campaign_id, {}), False
        try:
            is_done = await self._expired.remove(campaign_id, groups)
        finally:
            if not is_done:
                self._groups[campaign_id] = groups | self._groups.get(campaign_id, {})
        self._again_at.pop(campaign_id, None)
        if not is_done:
            self._again_at[campaign_id] = self._now() + timedelta(seconds=expired_contacts.LOOK_SECONDS)
