"""The limits of admission: those of the installation, and those of a campaign."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many calls may be live at once, in all and per campaign (none: no limit), and how many unclaimed."""

    max_live: int | None
    max_live_per_campaign: int | None
    max_unclaimed: int
    """Calls with a slot whose attempt the dialler has not claimed yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignLimits:
    """Whether calls of a campaign may be granted slots now, how many may be live, and how many may begin in a minute.

    None: the campaign has no such limit of its own.
    """

    is_open: bool = True
    max_live: int | None = None
    calls_per_minute: float | None = None


OPEN = CampaignLimits()
