"""The attempts that the dialler began in the last minute, in all and by campaign. A fold of its claims; pure."""

from collections import Counter, deque
from datetime import datetime, timedelta

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


class RecentDials:
    """The claims of the last minute, in log order. Memory and cost follow the rate of dials, not the ended calls."""

    def __init__(self) -> None:
        self._claims: deque[tuple[datetime, str]] = deque()
        self._by_campaign: Counter[str] = Counter()

    def clear(self) -> None:
        """Forgets all claims before the log is read again."""
        self._claims.clear()
        self._by_campaign.clear()

    def count(self, campaign_id: str, claimed_at: datetime) -> None:
        """Counts a claim."""
        self._claims.append((claimed_at, campaign_id))
        self._by_campaign[campaign_id] += 1
        self._forget_before(claimed_at - MINUTE)

    def in_minute(self, now: datetime, campaign_id: str | None = None) -> int:
        """Returns the dials of the last minute, of one campaign or of all."""
        self._forget_before(now - MINUTE)
        return len(self._claims) if campaign_id is None else self._by_campaign[campaign_id]

    def in_second(self, now: datetime, campaign_id: str | None = None) -> int:
        """Returns the dials of the last second, of one campaign or of all."""
        found = 0
        for claimed_at, claimed_of in reversed(self._claims):
            if claimed_at <= now - SECOND:
                break
            found += campaign_id is None or claimed_of == campaign_id
        return found

    def _forget_before(self, instant: datetime) -> None:
        while self._claims and self._claims[0][0] <= instant:
            _, campaign_id = self._claims.popleft()
            self._by_campaign[campaign_id] -= 1
            if not self._by_campaign[campaign_id]:
                del self._by_campaign[campaign_id]
