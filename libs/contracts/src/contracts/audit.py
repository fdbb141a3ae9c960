"""The audit log: administrative acts in the stream ``AUDIT``, from which no message can be deleted."""

from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, StringConstraints

from contracts.event import Service
from contracts.instants import Instant


class Stage(StrEnum):
    """The stage of an act that an entry records."""

    ASKED = "asked"
    """Written before the act. If no other entry follows, it is unknown whether the act was done."""
    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNDECIDED = "undecided"
    """No decision was known when the act was answered. `call.create` has a further entry with a later outcome."""


class AuditEntry(BaseModel):
    """One entry of one act. Contains no secret and no transcript; phone numbers are masked."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    owners: ClassVar[frozenset[Service]] = frozenset({Service.EDGE})

    act_id: str = Field(description="the same in all entries of one act; UUIDv7")
    act: Annotated[str, StringConstraints(pattern=r"^[a-z_]+\.[a-z_]+$")] = Field(examples=["call.cancel"])
    target: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$")] = Field(
        description="the id of the call or campaign, or the digest of the number; the act begins with `call`, "
        "`campaign`, `number` or `person`. `dead_letter`: its sequence. `key.use`: `wrong-keys`, or an address"
    )
    key_name: str = Field(
        validation_alias=AliasChoices("key_name", "who"), description="the name of the API key; `unknown`: a wrong key"
    )
    recorded_at: Instant = Field(
        validation_alias=AliasChoices("recorded_at", "at"), description="when this entry was written"
    )
    stage: Stage
    fields: tuple[str, ...] = Field(default=(), description="the fields that the act was to change")
    before: dict[str, Any] | None = Field(default=None, description="the target before the act; null: unknown")
    after: dict[str, Any] | None = Field(default=None, description="the target when the act was answered")
    request: dict[str, Any] | None = Field(default=None, description="call.create, campaign.retry: what was requested")
    addresses: dict[str, int] | None = Field(
        default=None,
        description="key.use: how many wrong keys came from an IPv4 address or IPv6 network, of those with the most; "
        "`others`: from all that were not counted by themselves",
    )
    address: str | None = Field(default=None, description="key.use of an older build: the only address of the entry")
    count: int | None = Field(default=None, description="key.use: how many wrong keys there were")
    reasons: tuple[str, ...] = Field(default=(), description="why the act was refused or is undecided")

    @property
    def subject(self) -> str:
        """``audit.<family of the act>.<target>``."""
        return f"audit.{self.act.partition('.')[0]}.{self.target}"


ALL_ENTRIES = "audit.*.*"
"""The filter that matches every entry."""


def acts_on_call(call_id: object) -> str:
    """Returns the filter for the entries about one call."""
    return f"audit.call.{call_id}"


def acts_on_campaign(campaign_id: object) -> str:
    """Returns the filter for the entries about one campaign."""
    return f"audit.campaign.{campaign_id}"


def acts_on_number(number_digest: str) -> str:
    """Returns the filter for the entries about the do-not-call entries of one number."""
    return f"audit.number.{number_digest}"


def acts_on_person(number_digest: str) -> str:
    """Returns the filter for the entries about one person."""
    return f"audit.person.{number_digest}"
