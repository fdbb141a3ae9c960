"""Administrative acts and who did them. They stand in the stream ``AUDIT``, from which nothing can be taken away."""

from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import AliasChoices, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from contracts.event import Service


class Stage(StrEnum):
    """What an entry says of its act."""

    ASKED = "asked"
    """Written before anything is done. Alone, without an entry that follows it: nobody knows whether it was done."""
    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNDECIDED = "undecided"
    """Not decided, or not known to be, when it was answered; what came of it is in the log of the call."""


class AuditEntry(BaseModel):
    """One step of one act. Holds no secret, no transcript, and phone numbers only masked."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    owners: ClassVar[frozenset[Service]] = frozenset({Service.EDGE})

    act_id: str = Field(description="the same in all entries of one act; UUIDv7")
    act: Annotated[str, StringConstraints(pattern=r"^[a-z]+\.[a-z_]+$")] = Field(examples=["call.cancel"])
    target: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$")] = Field(
        description="what was acted on: the call's or the campaign's id, by the first word of the act"
    )
    key_name: str = Field(validation_alias=AliasChoices("key_name", "who"), description="the name of the API key")
    recorded_at: AwareDatetime = Field(
        validation_alias=AliasChoices("recorded_at", "at"), description="when this entry was written"
    )
    stage: Stage
    fields: tuple[str, ...] = Field(default=(), description="the fields whose change was asked for")
    before: dict[str, Any] | None = Field(default=None, description="what was acted on, as it stood; none: unknown")
    after: dict[str, Any] | None = Field(default=None, description="as it stood when the act was answered")
    reasons: tuple[str, ...] = Field(default=(), description="why it was refused, or is undecided")

    @property
    def subject(self) -> str:
        """``audit.<family of the act>.<target>``."""
        return f"audit.{self.act.partition('.')[0]}.{self.target}"


ALL_ENTRIES = "audit.*.*"
"""The filter that matches every entry."""


def acts_on_call(call_id: object) -> str:
    """The filter that matches the entries about one call."""
    return f"audit.call.{call_id}"


def acts_on_campaign(campaign_id: object) -> str:
    """The filter that matches the entries about one campaign."""
    return f"audit.campaign.{campaign_id}"
