"""What a campaign occupies of the slots, and what of it waits for one."""

from dataclasses import dataclass, field
from datetime import datetime

from call_orchestrator.domain.priorities import Priorities


@dataclass(slots=True)
class Slot:
    """An occupied slot."""

    campaign_id: str
    grant_sequence: int
    is_claimed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignUsage:
    """The slots that a campaign occupies, its limit (none: no limit), and its calls that wait.

    `oldest_due_at`: when the first of them became due.
    """

    campaign_id: str
    is_open: bool
    live: int
    max_live: int | None
    waiting: int
    oldest_due_at: datetime | None


@dataclass(slots=True)
class CampaignSlots:
    """A campaign with waiting or live calls. `queue`: its waiting calls, in the order of their due times."""

    last_grant_sequence: int = 0
    live: int = 0
    queue: Priorities[str, tuple[datetime, int]] = field(default_factory=Priorities)

    def usage(self, campaign_id: str, *, is_open: bool, max_live: int | None) -> CampaignUsage:
        """Returns what the campaign of this id occupies and what of it waits."""
        first = self.queue.first_item()
        return CampaignUsage(
            campaign_id=campaign_id,
            is_open=is_open,
            live=self.live,
            max_live=max_live,
            waiting=len(self.queue),
            oldest_due_at=first[0][0] if first else None,
        )
