"""Fields that requests for calls and for contacts have in common, and why they are refused."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Protocol

from pydantic import BaseModel, Field, StringConstraints

from contracts.instants import Instant
from contracts.numbers import number_refusals
from contracts.personal import PERSONAL
from contracts.texts import metadata_refusals, variable_refusals

ConsentSource = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True), PERSONAL]


class GivenConsent(BaseModel):
    """The consent of a person to be called, as far as it is known. A calling rule may require it."""

    consent_at: Instant | None = Field(
        default=None, description="when the person consented to be called; null: not known"
    )
    consent_source: ConsentSource | None = Field(
        default=None, description="where the consent is recorded, such as a form and its version; null: not known"
    )


class _Request(Protocol):
    @property
    def phone_number(self) -> str | None: ...
    @property
    def variables(self) -> Mapping[str, str] | None: ...
    @property
    def metadata(self) -> Mapping[str, str] | None: ...


def person_refusals(request: _Request) -> list[str]:
    """Refuses numbers that are never called, and unacceptable texts."""
    return [
        *number_refusals(request.phone_number),
        *variable_refusals(request.variables),
        *metadata_refusals(request.metadata),
    ]


def consent_refusals(consent: GivenConsent, now: datetime) -> list[str]:
    """Refuses a consent that is not given yet, and a source without an instant."""
    if consent.consent_at and consent.consent_at > now:
        return ["consent_at: lies in the future; give the instant at which the person consented"]
    if consent.consent_source and consent.consent_at is None:
        return ["consent_source: needs consent_at; give the instant at which the person consented"]
    return []
