"""What is known about the number of a call at a grant: its list entry, its dials, another call to it, an erasure."""

from dataclasses import dataclass
from datetime import datetime

from contracts.vocabulary import DoNotCallSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The entry that lists the number. Without `campaign_id` and `list_name`, it forbids calls of all campaigns."""

    listed_at: datetime
    source: DoNotCallSource
    campaign_id: str | None
    list_name: str | None = None

    @property
    def described(self) -> str:
        """The entry for a person to read."""
        scope = f"of the campaign {self.campaign_id}" if self.campaign_id else "of all campaigns"
        name = self.list_name or scope
        since = f"since {self.listed_at:%Y-%m-%d %H:%M} UTC"
        return f"the number is on the do-not-call list {name} {since} (source: {self.source})"


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberUse:
    """How the number of a call is used otherwise.

    `dialed_at`: its earlier dials that a frequency cap counts. `in_use_until`: when another call to it ends at the
    latest; None: no other call may dial it now.
    """

    dialed_at: tuple[datetime, ...] = ()
    in_use_until: datetime | None = None
    listing: Listing | None = None
    erased_at: datetime | None = None
    """When the erasure of the person was requested, if that was after the request for the call."""


def described_erasure(erased_at: datetime) -> str:
    """Returns why a person who was erased is not called, for a person to read."""
    return f"the person was erased on request of {erased_at:%Y-%m-%d %H:%M:%S} UTC"


UNUSED = NumberUse()
