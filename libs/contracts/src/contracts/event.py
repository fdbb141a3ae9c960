"""The base classes of events: a frozen model with one subject, named owners and a version."""

from abc import abstractmethod
from datetime import datetime
from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from contracts.call import Call
from contracts.campaign import Campaign
from contracts.instants import Instant
from contracts.values import CallId, CampaignId


class Service(StrEnum):
    """The parties on the bus. `Event.owners` names those that may publish an event."""

    UPSTREAM = "upstream"
    ORCHESTRATOR = "call-orchestrator"
    VOICE = "voice"
    CONVERSATION = "conversation"
    EDGE = "edge"
    CAMPAIGN_STATS = "campaign-stats"
    SCHEDULER = "nats-scheduler"


class Event(BaseModel):
    """An event as it is stored. Readers ignore unknown fields, so adding a field breaks no reader."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    event_name: ClassVar[str]
    """``<family>.<fact>``: the first two tokens of the subject, and the CloudEvents type without its version."""
    owners: ClassVar[frozenset[Service]]
    version: ClassVar[int] = 1

    @property
    @abstractmethod
    def subject(self) -> str:
        """The subject on which this event is published."""

    @classmethod
    @abstractmethod
    def subjects(cls) -> str:
        """Returns the filter that matches every event of this type."""

    @classmethod
    def former_subjects(cls) -> tuple[str, ...]:
        """Returns the filters of events of this type that older builds stored; none if the subject never changed."""
        return ()

    def belongs_on(self, subject: str) -> bool:
        """Whether this event is published on the subject, or was by an older build."""
        return subject == self.subject

    def refusals(self, now: datetime) -> list[str]:
        """Returns why the event is not acceptable at this instant, one line per field, such as ``name: remedy``.

        Asked where requests enter, not when a stored event is read again. Most events are always acceptable.
        """
        return []

    def body(self) -> bytes:
        """Returns the body of the message: JSON without the fields that have their default.

        So a default is part of the stored form and never changes; `contracts.compatibility` refuses a change.
        """
        return self.model_dump_json(exclude_defaults=True).encode()

    @classmethod
    def type_name(cls) -> str:
        """Returns the CloudEvents ``type``: name and version, e.g. ``dial.placed.v1``."""
        return f"{cls.event_name}.v{cls.version}"


class CallEvent(Event):
    """An event about one call. The call's id is the partition key and the third token of the subject."""

    call_id: CallId

    @property
    def subject(self) -> str:
        """``<family>.<fact>.<call_id>``."""
        return self.subject_for(self.call_id)

    @classmethod
    def subject_for(cls, call_id: object) -> str:
        """Returns the subject of this event for a call."""
        return f"{cls.event_name}.{call_id}"

    @classmethod
    def subjects(cls) -> str:
        """``<family>.<fact>.*``."""
        return cls.subject_for("*")


class ChainEvent(Event):
    """An event about one call, on one literal subject for all calls; the id of the call is in the body.

    Grants and permits form one chain each: each of them is guarded by the previous one, so the newest must stay in the
    stream. The server resolves a wildcard in a guard across all matching subjects (law 11). Older builds stored these
    events on ``<family>.<fact>.<call_id>``.
    """

    call_id: CallId

    @property
    def subject(self) -> str:
        """``<family>.<fact>``."""
        return self.event_name

    @classmethod
    def subjects(cls) -> str:
        """``<family>.<fact>``."""
        return cls.event_name

    @classmethod
    def former_subjects(cls) -> tuple[str, ...]:
        """``<family>.<fact>.*``."""
        return (f"{cls.event_name}.*",)

    def belongs_on(self, subject: str) -> bool:
        """Whether the subject is that of the chain, or the one on which older builds stored this event."""
        return subject in (self.event_name, f"{self.event_name}.{self.call_id}")


class CallDecision(Event):
    """A decision of the orchestrator about a call, with the call after it."""

    owners: ClassVar[frozenset[Service]] = frozenset({Service.ORCHESTRATOR})
    version: ClassVar[int] = 2

    call: Call
    occurred_at: Instant

    @property
    def call_id(self) -> UUID:
        """The id of the call."""
        return self.call.call_id

    @property
    def subject(self) -> str:
        """``call.<fact>.<call_id>.<status>``, with the status after the event, so that consumers can filter by it."""
        return self.subject_for(self.call.call_id, self.call.status)

    @classmethod
    def subject_for(cls, call_id: object, status: str = "*") -> str:
        """Returns the subject of this event for a call; by default the filter that matches every status."""
        return f"{cls.event_name}.{call_id}.{status}"

    @classmethod
    def subjects(cls) -> str:
        """``call.<fact>.*.*``."""
        return cls.subject_for("*")


class CampaignEvent(Event):
    """An event about one campaign that does not carry it, such as a command."""

    campaign_id: CampaignId

    @property
    def subject(self) -> str:
        """``campaign.<fact>.<campaign_id>``."""
        return f"{self.event_name}.{self.campaign_id}"

    @classmethod
    def subjects(cls) -> str:
        """``campaign.<fact>.*``."""
        return f"{cls.event_name}.*"


class NumberEvent(Event):
    """An event about one telephone number, whose digest is the third token of the subject."""

    @property
    @abstractmethod
    def digest(self) -> str:
        """The digest of the number."""

    @property
    def subject(self) -> str:
        """``number.<fact>.<digest>``."""
        return self.subject_for(self.digest)

    @classmethod
    def subject_for(cls, digest: str) -> str:
        """Returns the subject of this event for a number."""
        return f"{cls.event_name}.{digest}"

    @classmethod
    def subjects(cls) -> str:
        """``number.<fact>.*``."""
        return cls.subject_for("*")


class CampaignDecision(Event):
    """A decision of the orchestrator about a campaign, with the campaign after it."""

    owners: ClassVar[frozenset[Service]] = frozenset({Service.ORCHESTRATOR})

    campaign: Campaign
    occurred_at: Instant

    @property
    def campaign_id(self) -> str:
        """The id of the campaign."""
        return self.campaign.campaign_id

    @property
    def subject(self) -> str:
        """``campaign.<fact>.<campaign_id>``."""
        return f"{self.event_name}.{self.campaign.campaign_id}"

    @classmethod
    def subjects(cls) -> str:
        """``campaign.<fact>.*``."""
        return f"{cls.event_name}.*"
