"""The terms of a campaign as a command gives them, each with its validation. Stored terms are not validated again."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints, ValidationInfo, field_validator

from contracts.campaign import CampaignTerms
from contracts.instants import Instant, schedule_refusals
from contracts.texts import name_refusals

CampaignName = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
MAX_CONCURRENT_CALLS = 100_000


class RequestedTerms(CampaignTerms):
    """The terms of a command. Fields that are left out have their default, also in a change."""

    model_config = ConfigDict(extra="forbid")

    name: CampaignName | None = Field(default=None, description="for people; the id identifies the campaign")
    mode: Literal["turn_based"] = Field(default="turn_based", description="how conversations are held")
    ends_at: Instant | None = Field(
        default=None, validate_default=True, description="no call is granted a slot from then on; null: no end"
    )
    max_concurrent_calls: Annotated[int, Field(ge=1, le=MAX_CONCURRENT_CALLS)] | None = Field(
        default=None, description="calls that may be live at once; null: as the installation permits"
    )

    @field_validator("mode", mode="before")
    @classmethod
    def _is_available(cls, mode: object) -> object:
        if mode == "live":
            raise ValueError("live conversations are not available; use turn_based")
        return mode

    @field_validator("ends_at")
    @classmethod
    def _ends_after_its_start(cls, ends_at: datetime | None, info: ValidationInfo) -> datetime | None:
        starts_at = info.data.get("starts_at")
        if ends_at and starts_at and ends_at <= starts_at:
            raise ValueError("is not after starts_at; give a later instant, or leave it out")
        return ends_at

    def refusals(self, now: datetime) -> list[str]:
        """Returns why the terms are not acceptable at this instant, one line per field."""
        refusals = [*name_refusals(self.name), *schedule_refusals(self.starts_at, now, "starts_at")]
        if self.ends_at and self.ends_at <= now:
            refusals.append("ends_at: is over; give a later instant, or leave it out")
        return refusals

    def stored(self) -> CampaignTerms:
        """Returns the terms as the log stores them."""
        return CampaignTerms.model_validate(self.model_dump())
