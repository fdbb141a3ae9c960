"""What of a campaign's terms restricts when its calls may be dialled: a grant and a permission carry it."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from contracts.vocabulary import Purpose

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_TIME = r"^([01]\d|2[0-3]):[0-5]\d$"
_END = r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$"


class OpenHours(BaseModel):
    """A window of some weekdays in the callee's local time. Stored ones are not validated again."""

    model_config = ConfigDict(frozen=True, extra="allow")

    days: tuple[str, ...] = Field(description="mon, tue, wed, thu, fri, sat, sun")
    opens_at: str = Field(description="HH:MM")
    closes_at: str = Field(description="HH:MM, not included; 24:00 is the end of the day")


class RequestedOpenHours(OpenHours):
    """A window of some weekdays in the callee's local time, as a command gives it."""

    model_config = ConfigDict(extra="forbid")

    days: Annotated[tuple[Weekday, ...], Field(min_length=1, max_length=7)]
    opens_at: Annotated[str, StringConstraints(pattern=_TIME)] = Field(description="HH:MM")
    closes_at: Annotated[str, StringConstraints(pattern=_END)] = Field(
        description="HH:MM, not included; 24:00 is the end of the day"
    )

    @model_validator(mode="after")
    def _opens_before_it_closes(self) -> Self:
        if self.closes_at <= self.opens_at:
            remedy = "a window ends on its day: give one until 24:00 and one from 00:00"
            raise ValueError(f"closes_at ({self.closes_at}) is not after opens_at ({self.opens_at}); {remedy}")
        return self


class DialTerms(BaseModel):
    """The terms of a campaign that restrict when its calls may be dialled."""

    model_config = ConfigDict(frozen=True, extra="allow")

    purpose: Purpose | None = Field(default=None, description="why people are called; null: as each call says")
    weekly_hours: tuple[OpenHours, ...] = Field(
        default=(), description="when people are called, in their local time; empty: no such limit"
    )
    do_not_call_lists: tuple[str, ...] = Field(default=(), description="the named lists whose numbers are not called")


NO_DIAL_TERMS = DialTerms()
