"""What an event is: a frozen model that names its subject, its owner and its version."""

from abc import abstractmethod
from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict

from contracts.call import Call
from contracts.campaign import Campaign
from contracts.values import CallId, CampaignId


class Service(StrEnum):
    """The parties by name. Those that may publish a fact stand in its ``owners``; campaign-stats only reads."""

    UPSTREAM = "upstream"
    ORCHESTRATOR = "call-orchestrator"
    VOICE = "voice"
    CONVERSATION = "conversation"
    EDGE = "edge"
    CAMPAIGN_STATS = "campaign-stats"
    SCHEDULER = "nats-scheduler"


class Event(BaseModel):
    """A fact, as it is written to the log. Readers ignore fields they do not know, so additions break nobody."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    event_name: ClassVar[str]
    """``<family>.<fact>``: the first two tokens of the subject, and the CloudEvents type without its version."""
    owners: ClassVar[frozenset[Service]]
    version: ClassVar[int] = 1

    @property
    @abstractmethod
    def subject(self) -> str:
        """The subject on which this very event is published."""

    @classmethod
    @abstractmethod
    def subjects(cls) -> str:
        """The filter that matches every event of this type."""

    @classmethod
    def type_name(cls) -> str:
        """The CloudEvents ``type``: the fact and its version, e.g. ``dial.placed.v1``."""
        return f"{cls.event_name}.v{cls.version}"


class CallEvent(Event):
    """A fact about one call; the call's id is the partition key and the third token of the subject."""

    call_id: CallId

    @property
    def subject(self) -> str:
        """``<family>.<fact>.<call_id>``."""
        return f"{self.event_name}.{self.call_id}"

    @classmethod
    def subjects(cls) -> str:
        """``<family>.<fact>.*``."""
        return f"{cls.event_name}.*"


class CallDecision(Event):
    """A decision of the orchestrator: the fact, and the call as it stands after it."""

    owners: ClassVar[frozenset[Service]] = frozenset({Service.ORCHESTRATOR})
    version: ClassVar[int] = 2

    call: Call
    occurred_at: AwareDatetime

    @property
    def call_id(self) -> UUID:
        """The call that this is about."""
        return self.call.call_id

    @property
    def subject(self) -> str:
        """``call.<fact>.<call_id>.<status after it>``, so that consumers filter on the server."""
        return f"{self.event_name}.{self.call.call_id}.{self.call.status}"

    @classmethod
    def subjects(cls) -> str:
        """``call.<fact>.*.*``."""
        return f"{cls.event_name}.*.*"


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


class CampaignDecision(Event):
    """A decision of the orchestrator about a campaign, with the campaign after it."""

    owners: ClassVar[frozenset[Service]] = frozenset({Service.ORCHESTRATOR})
    version: ClassVar[int] = 2

    campaign: Campaign
    occurred_at: AwareDatetime

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
