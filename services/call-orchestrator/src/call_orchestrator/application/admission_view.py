"""What admission has granted and what waits, for people: a view of the fold that every replica keeps.

The answer about all campaigns reads each campaign with waiting or live calls. It is computed at most once in
`FRESH_SECONDS`, however many ask. That about one campaign costs the same with any number of campaigns and calls.
"""

import time
from collections.abc import Callable
from datetime import datetime
from heapq import nsmallest

from call_orchestrator.application.open_campaigns import OpenCampaigns
from call_orchestrator.domain.slots import Slots
from contracts.queries import AdmissionQuery, AdmissionState, WaitingCampaign

FRESH_SECONDS = 1.0
MAX_WAITING_CAMPAIGNS = 20


class NotRead(Exception):
    """This replica has not read the log yet, so it does not know which slots are occupied."""


class AdmissionView:
    """Answers queries from the fold of this replica. All replicas compute the same fold."""

    def __init__(
        self,
        slots: Slots,
        campaigns: OpenCampaigns,
        now: Callable[[], datetime],
        *,
        dials_per_second: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._slots = slots
        self._campaigns = campaigns
        self._now = now
        self._dials_per_second = dials_per_second
        self._clock = clock
        self._computed: tuple[float, AdmissionState] | None = None

    def handle(self, query: AdmissionQuery) -> AdmissionState:
        """Returns the state of one campaign, or of all. Raises NotRead."""
        if not self._slots.is_read:
            raise NotRead
        if query.campaign_id:
            return self._of_campaign(query.campaign_id)
        if self._computed is None or self._clock() - self._computed[0] >= FRESH_SECONDS:
            self._computed = self._clock(), self._of_all()
        return self._computed[1]

    def _of_campaign(self, campaign_id: str) -> AdmissionState:
        usage, campaign, now = self._slots.usage_of(campaign_id), self._campaigns.get(campaign_id), self._now()
        return AdmissionState(
            campaign_id=campaign_id,
            at=now,
            is_open=usage.is_open,
            live=usage.live,
            max_live=usage.max_live,
            waiting=usage.waiting,
            waiting_closed=0 if usage.is_open else usage.waiting,
            oldest_due_at=usage.oldest_due_at if usage.is_open else None,
            dials_in_second=self._slots.dials.in_second(now, campaign_id),
            dials_in_minute=self._slots.dials.in_minute(now, campaign_id),
            max_dials_per_second=self._dials_per_second,
            max_calls_per_minute=campaign.terms.calls_per_minute if campaign and campaign.terms else None,
        )

    def _of_all(self) -> AdmissionState:
        now, usage = self._now(), list(self._slots.usage())
        waiting = [
            WaitingCampaign(
                campaign_id=one.campaign_id, waiting=one.waiting, live=one.live, oldest_due_at=one.oldest_due_at
            )
            for one in nsmallest(
                MAX_WAITING_CAMPAIGNS,
                (one for one in usage if one.is_open and one.oldest_due_at),
                key=lambda one: one.oldest_due_at or now,
            )
            if one.oldest_due_at
        ]
        return AdmissionState(
            campaign_id=None,
            at=now,
            is_open=True,
            live=len(self._slots.occupied),
            max_live=self._slots.limits.max_live,
            waiting=len(self._slots.waiting),
            waiting_closed=sum(one.waiting for one in usage if not one.is_open),
            oldest_due_at=waiting[0].oldest_due_at if waiting else None,
            dials_in_second=self._slots.dials.in_second(now),
            dials_in_minute=self._slots.dials.in_minute(now),
            max_dials_per_second=self._dials_per_second,
            max_calls_per_minute=None,
            longest_waiting=tuple(waiting),
        )
