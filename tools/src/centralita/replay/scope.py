"""The part of the log that a command works on: everything, one campaign, one call, or a time range."""

import json
from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict

from centralita.replay.messages import Message
from contracts import CallId, CampaignId, call_id_of
from contracts.filters import message_ids
from contracts.personal import json_and_sealed
from contracts.streams import REQUESTS


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


def call_of(message: Message) -> str | None:
    """Returns the id of the call that a message is about, also of a request; None if it is about something else."""
    if message.subject != "call.requested":
        return message_ids(message.subject, message.body).get("call_id")
    request_id = _field(message, "request_id") or message.identity
    return str(call_id_of(str(request_id)))


def campaign_of(message: Message) -> str | None:
    """Returns the campaign that a message names; None if it names only its call."""
    family, *rest = message.subject.split(".")
    if family == "campaign":
        return rest[1] if len(rest) > 1 else None
    if message.subject == "call.requested" or family == "contact":
        return _text(_field(message, "campaign_id"))
    call = _field(message, "call") if family == "call" and message.stream != REQUESTS.name else None
    return _text(call.get("campaign_id")) if isinstance(call, dict) else None


def _field(message: Message, name: str) -> object:
    try:
        body = json.loads(json_and_sealed(message.body)[0])
    except ValueError:
        return None
    return body.get(name) if isinstance(body, dict) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def parse_call_id(text: str) -> UUID:
    """Returns the call id that a user means by `text`: a call id, or the request id it is derived from."""
    try:
        return UUID(text)
    except ValueError:
        return call_id_of(text)
