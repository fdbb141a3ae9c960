"""Which part of the log is meant: all of it, a campaign, a call, a span of time."""

import json
from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict

from centralita.replay.messages import Message
from contracts import CallId, CampaignId, call_id_of
from contracts.streams import REQUESTS


class Scope(BaseModel):
    """Nothing given: everything. `since` is the first instant that is in it, `until` the first that is not."""

    model_config = ConfigDict(frozen=True)

    campaign_id: CampaignId | None = None
    call_id: CallId | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None

    @property
    def is_span(self) -> bool:
        """Whether calls may begin before it or end after it, so that it does not hold all of each."""
        return self.since is not None or self.until is not None

    def wants(self, message: Message, ids: Collection[str]) -> bool:
        """Whether the message is in it; `ids`: the calls of its campaign, where a campaign is asked for."""
        if not self._in_time(message.time):
            return False
        if self.call_id is not None and call_of(message) != str(self.call_id):
            return False
        if self.campaign_id is None:
            return True
        return call_of(message) in ids or campaign_of(message) == self.campaign_id

    def _in_time(self, time: datetime) -> bool:
        return (self.since is None or time >= self.since) and (self.until is None or time < self.until)


def call_of(message: Message) -> str | None:
    """The call that a message is about, also when it only asks for one; none if it is about something else."""
    if message.subject != "call.requested":
        tokens = message.subject.split(".")
        return tokens[2] if len(tokens) > 2 and tokens[0] != "campaign" else None
    request_id = _field(message, "request_id") or message.identity
    return str(call_id_of(str(request_id)))


def campaign_of(message: Message) -> str | None:
    """The campaign that a message names; none where only its call is named."""
    family, *rest = message.subject.split(".")
    if family == "campaign":
        return rest[1] if len(rest) > 1 else None
    if message.subject == "call.requested":
        return _text(_field(message, "campaign_id"))
    call = _field(message, "call") if family == "call" and message.stream != REQUESTS.name else None
    return _text(call.get("campaign_id")) if isinstance(call, dict) else None


def _field(message: Message, name: str) -> object:
    try:
        body = json.loads(message.body)
    except ValueError:
        return None
    return body.get(name) if isinstance(body, dict) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def identified(text: str) -> UUID:
    """A call's id as a person gives it: the id, or the request id that it is made from."""
    try:
        return UUID(text)
    except ValueError:
        return call_id_of(text)
