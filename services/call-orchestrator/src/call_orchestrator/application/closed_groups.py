"""Until when the contacts of a group may not be called.

The taker of contacts asks after each event, for each group. An answer of the calling policy costs about 50 µs and holds
until its instant, unless the terms of the campaign change. So it is remembered.

A group for which the policy fails is closed for a minute. So the failure keeps no other group from being asked.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

import structlog

from call_orchestrator.application.decision_terms import weekly_hours_of
from call_orchestrator.domain.calling_policy import CallingPolicy, PutOff
from contracts import Campaign
from contracts.callees import Callee
from contracts.dial_terms import DialTerms

FAILED = timedelta(minutes=1)
"""How long a group is closed for which the policy fails."""

logger = structlog.get_logger()


class ClosedGroups:
    """The groups that are known to be closed. Without a `policy`, none is."""

    def __init__(self, policy: CallingPolicy | None) -> None:
        self._policy = policy
        self._closed: dict[tuple[str, str], tuple[DialTerms, datetime]] = {}
        """By campaign and group: the terms, and until when they permit no call."""

    def known(self, campaign: Campaign, zone_group: str, now: datetime) -> datetime | None:
        """Returns until when the group is closed, if that is known."""
        known = self._closed.get((campaign.campaign_id, zone_group))
        return known[1] if known and known[0] == campaign.dial_terms and now < known[1] else None

    def ask(self, campaign: Campaign, zone_group: str, callee: Callee, now: datetime) -> datetime | None:
        """Returns until when the calling policy permits no call to the group; None if it permits one now.

        A group that is never callable is not closed: each of its contacts is refused.
        """
        if self._policy is None:
            return None
        try:
            closed_until = self._closed_until(self._policy, campaign.dial_terms, callee, now)
        except Exception:
            logger.exception("contact_group_failed", campaign_id=campaign.campaign_id, zone_group=zone_group)
            closed_until = now + FAILED
        if closed_until:
            self._closed[campaign.campaign_id, zone_group] = (campaign.dial_terms, closed_until)
        return closed_until

    @staticmethod
    def _closed_until(policy: CallingPolicy, terms: DialTerms, callee: Callee, now: datetime) -> datetime | None:
        hours = weekly_hours_of(terms.weekly_hours)
        permission = policy.next_permitted(callee, purpose=terms.purpose, at=now, hours=hours)
        return permission.until if isinstance(permission, PutOff) else None

    def forget(self, campaign_id: str, zone_groups: Iterable[str]) -> None:
        """Removes the groups of a campaign that is over."""
        for zone_group in zone_groups:
            self._closed.pop((campaign_id, zone_group), None)
