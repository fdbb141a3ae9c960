"""The contacts of a campaign that wait in the stream ``CONTACTS`` until their calls are created.

A contact is not a call: it has no state, and it leaves the stream when its call is created. The contacts of a campaign
are grouped by where they may be, so that those whose calling window is open can be taken first.
"""

from typing import Annotated, ClassVar

from pydantic import Field

from contracts.event import CallEvent, CampaignEvent, Service
from contracts.instants import Instant
from contracts.person_fields import GivenConsent
from contracts.personal import PERSON, PersonalText, PersonalTexts
from contracts.values import CampaignId

_ADDERS = frozenset({Service.EDGE, Service.ORCHESTRATOR})


class ContactAdded(CampaignEvent, GivenConsent):
    """The contact waits for its call. While it does, the server refuses the same number in the same campaign."""

    event_name: ClassVar[str] = "contact.added"
    owners: ClassVar[frozenset[Service]] = _ADDERS

    zone_group: str = Field(description="where the person may be: the group of a contact.group_added")
    number_digest: Annotated[str, PERSON] = Field(description="keyed digest of the number, 32 hex digits")
    contact_id: str
    phone_number: PersonalText = Field(description="E.164")
    variables: PersonalTexts = Field(default={}, description="values of the script's {{placeholders}}")
    time_zone: str | None = Field(default=None, description="IANA time zone of the callee; null: that of the number")
    language: str | None = Field(default=None, description="BCP 47; null: that of the campaign")
    metadata: PersonalTexts = Field(default={}, description="stored with the call, not interpreted")
    created_at: Instant = Field(description="when it was added")

    @property
    def subject(self) -> str:
        """``contact.added.<campaign_id>.<zone_group>.<number_digest>``."""
        return f"{self.event_name}.{self.campaign_id}.{self.zone_group}.{self.number_digest}"

    @classmethod
    def subjects(cls, campaign_id: str = "*", zone_group: str = "*") -> str:
        """Returns the filter for the contacts of a campaign and group; by default of all."""
        return f"{cls.event_name}.{campaign_id}.{zone_group}.*"


class ContactGroupAdded(CampaignEvent):
    """The campaign has contacts of this group, or had some. Published before the first of them, once."""

    event_name: ClassVar[str] = "contact.group_added"
    owners: ClassVar[frozenset[Service]] = _ADDERS

    zone_group: str
    country: str = Field(description="ISO 3166-1 alpha-2; empty: unknown")
    regions: tuple[str, ...] = Field(default=(), description="ISO 3166-2 without the country; empty: unknown")
    zones: tuple[str, ...] = Field(default=(), description="all possible IANA time zones; empty: unknown")

    @property
    def subject(self) -> str:
        """``contact.group_added.<campaign_id>.<zone_group>``."""
        return f"{self.event_name}.{self.campaign_id}.{self.zone_group}"

    @classmethod
    def subjects(cls, campaign_id: str = "*") -> str:
        """Returns the filter for the groups of a campaign; by default of all."""
        return f"{cls.event_name}.{campaign_id}.*"


class ContactRefused(CallEvent):
    """The contact was taken, and its call was not created. In the log (stream ``CALLS``), once per contact."""

    event_name: ClassVar[str] = "contact.refused"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.ORCHESTRATOR})

    campaign_id: CampaignId
    contact_id: str
    number_digest: str | None = Field(
        default=None, description="keyed digest of the number; null: refused by a build that did not record it"
    )
    reason: str = Field(description="why it is not called, without the number")
    refused_at: Instant
