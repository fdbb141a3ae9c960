"""The state of a campaign, which every ``campaign.*`` event of the stream ``CALLS`` carries (law 1)."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from contracts.instants import Instant


class Campaign(BaseModel):
    """A campaign as it is after an event. A campaign without events has the default values."""

    model_config = ConfigDict(frozen=True, extra="allow")

    campaign_id: str
    is_paused: bool = Field(default=False, description="no call of a paused campaign is granted a slot")
    changed_at: Instant | None = Field(default=None, description="when it was last paused or resumed, if ever")
    reason: str | None = Field(default=None, description="why it is paused, if the command gave a reason")

    def paused(self, at: datetime, reason: str | None) -> Self:
        """Returns the campaign after a pause."""
        return self.model_copy(update={"is_paused": True, "changed_at": at, "reason": reason})

    def resumed(self, at: datetime) -> Self:
        """Returns the campaign after it was resumed."""
        return self.model_copy(update={"is_paused": False, "changed_at": at, "reason": None})
