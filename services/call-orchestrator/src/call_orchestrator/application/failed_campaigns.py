"""The campaigns whose contacts could not be considered, and when each is considered again.

The taker of contacts considers all campaigns in turn. A failure that concerns one campaign, such as contacts that the
server cannot count, must not keep those of the others from being called.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import structlog

from call_orchestrator.metrics import FAILED_CAMPAIGNS

FAILED = timedelta(seconds=20)
"""How long a campaign is not considered after a failure."""

logger = structlog.get_logger()


class FailedCampaigns:
    """The campaigns that failed at their last try."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._until: dict[str, datetime] = {}

    def until(self, campaign_id: str) -> datetime | None:
        """Returns until when the campaign is not considered; None if it may be now."""
        until = self._until.get(campaign_id)
        return until if until and until > self._now() else None

    @contextmanager
    def isolated(self, campaign_id: str) -> Iterator[None]:
        """Logs the failure of the block, which concerns this campaign, and raises nothing."""
        try:
            yield
        except Exception:
            logger.exception("campaign_contacts_failed", campaign_id=campaign_id)
            self._until[campaign_id] = self._now() + FAILED
        else:
            self._until.pop(campaign_id, None)
        FAILED_CAMPAIGNS.set(len(self._until))
