"""Which campaigns are open, from their events and the time.

`call_orchestrator.domain.slots` has no clock. So `OpenCampaigns` updates it at each event of a campaign, and at each
begin and end of a campaign's period.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime

from call_orchestrator import metrics
from call_orchestrator.application.stored import StoredCampaign
from call_orchestrator.domain.limits import OPEN, CampaignLimits
from call_orchestrator.domain.slots import Slots
from call_orchestrator.ports import CampaignStates
from chassis.time_mapping import REAL_TIME, TimeMapping
from contracts import Campaign

MAX_SLEEP_SECONDS = 60.0
"""The clock of the server may be corrected meanwhile."""
_MIN_SLEEP_SECONDS = 0.01


class OpenCampaigns:
    """The campaigns that this replica has read, without those that were never closed and have no terms."""

    def __init__(self, slots: Slots, now: Callable[[], datetime], mapping: TimeMapping = REAL_TIME) -> None:
        """`mapping`: from the time of `now` to that in which it waits."""
        self._slots = slots
        self._now = now
        self._mapping = mapping
        self._sequence = 0
        """Up to which event of a campaign the campaigns are known."""
        self._known: dict[str, Campaign] = {}
        self._finished: set[str] = set()
        self._has_changed = asyncio.Event()

    def forget(self) -> None:
        """Forgets all campaigns before their events are read again. No call is granted a slot until then."""
        self._known.clear()
        self._finished.clear()
        self._slots.forget_campaigns()

    def update(self, states: CampaignStates) -> None:
        """Notes campaigns that were received; the first update after `forget` has all that have an event."""
        self._sequence = states.sequence
        self._keep(states.campaigns)

    def note(self, stored: StoredCampaign) -> bool:
        """Notes a campaign that was read at the leader. Returns whether it is newer than what was received."""
        campaign = stored.campaign
        if not self.is_read or stored.sequence <= self._sequence or self._is_known(campaign):
            return False
        self._keep({campaign.campaign_id: campaign})
        return True

    @property
    def is_read(self) -> bool:
        """Whether all campaigns are known. If not, `call_orchestrator.application.known_campaigns` reads them."""
        return self._slots.closed is not None

    def get(self, campaign_id: str) -> Campaign | None:
        """Returns the campaign as this replica knows it; None if it is finished, or neither created nor paused."""
        return self._known.get(campaign_id)

    def is_finished(self, campaign_id: str) -> bool:
        """Whether the campaign is finished, as this replica knows it."""
        return campaign_id in self._finished

    def is_closed(self, campaign_id: str) -> bool:
        """Whether the campaign may be granted no slots, as this replica knows it."""
        campaign = self._known.get(campaign_id)
        return campaign_id in self._finished or (campaign is not None and not campaign.is_open(self._now()))

    def is_over(self, campaign_id: str) -> bool:
        """Whether the campaign is finished or its period is over."""
        campaign = self._known.get(campaign_id)
        return campaign_id in self._finished or (campaign is not None and campaign.is_over(self._now()))

    def refresh(self) -> None:
        """Opens and closes campaigns whose period has begun or ended."""
        if self.is_read:
            self._update_slots(one for one in self._known.values() if one.starts_at or one.ends_at)

    async def wait_for_period(self) -> None:
        """Returns after the next begin or end of a period has come, or earlier."""
        self._has_changed.clear()
        next_at, now = self._next_change_at(), self._now()
        seconds = max(self._mapping.real_seconds(next_at - now), _MIN_SLEEP_SECONDS) if next_at else None
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds and min(seconds, MAX_SLEEP_SECONDS)):
                await self._has_changed.wait()
        self.refresh()

    def _is_known(self, campaign: Campaign) -> bool:
        if campaign.finished_at:
            return campaign.campaign_id in self._finished
        return self._known.get(campaign.campaign_id) == (campaign if _is_kept(campaign) else None)

    def _keep(self, campaigns: Mapping[str, Campaign]) -> None:
        for campaign_id, campaign in campaigns.items():
            if campaign.finished_at:
                self._finished.add(campaign_id)
            if _is_kept(campaign):
                self._known[campaign_id] = campaign
            else:
                self._known.pop(campaign_id, None)
        self._update_slots(campaigns.values())
        metrics.PAUSED.set(sum(one.is_paused for one in self._known.values()))
        self._has_changed.set()

    def _update_slots(self, campaigns: Iterable[Campaign]) -> None:
        now = self._now()
        self._slots.update_campaigns({one.campaign_id: _limits(one, now) for one in campaigns})

    def _next_change_at(self) -> datetime | None:
        now = self._now()
        instants = (at for one in self._known.values() for at in (one.starts_at, one.ends_at))
        return min((at for at in instants if at and at > now), default=None)


def _is_kept(campaign: Campaign) -> bool:
    return not campaign.finished_at and (campaign.is_paused or campaign.terms is not None)


def _limits(campaign: Campaign, now: datetime) -> CampaignLimits:
    if not _is_kept(campaign) and not campaign.finished_at:
        return OPEN
    if campaign.finished_at or campaign.terms is None:
        return CampaignLimits(is_open=campaign.is_open(now))
    return CampaignLimits(
        is_open=campaign.is_open(now),
        max_live=campaign.terms.max_concurrent_calls,
        calls_per_minute=campaign.terms.calls_per_minute,
    )
