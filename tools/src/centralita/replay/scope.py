"""The part of the log that a command works on: everything, one campaign, one call, or a time range."""

from collections.abc import Collection
from datetime import datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict

from contracts import CallId, CampaignId
from records.call_ids import call_of, campaign_of
from records.messages import Message


class Scope(BaseModel):
    """A selection of messages; without arguments, all of them. `since` is included, `until` is not."""

    model_config = ConfigDict(frozen=True)

    campaign_id: CampaignId | None = None
    call_id: CallId | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None

    @property
    def is_time_range(self) -> bool:
        """Whether calls may begin before the scope or end after it, so that it contains only a part of them."""
        return self.since is not None or self.until is not None

    @property
    def is_everything(self) -> bool:
        """Whether the scope is the whole log."""
        return self == Scope()

    def includes(self, message: Message, campaign_call_ids: Collection[str]) -> bool:
        """Returns whether the message is in the scope; `campaign_call_ids`: the calls of `campaign_id`, if that is set.

        Most events name only their call, so the campaign's calls must be known.
        """
        if not self._includes_time(message.time):
            return False
        if self.call_id is not None and call_of(message) != str(self.call_id):
            return False
        if self.campaign_id is None:
            return True
        return call_of(message) in campaign_call_ids or campaign_of(message) == self.campaign_id

    def _includes_time(self, time: datetime) -> bool:
        return (self.since is None or time >= self.since) and (self.until is None or time < self.until)
