"""Terms of a single call that concern the rights of the person who is called (ADR 47), as a request gives them."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from contracts.person_fields import GivenConsent, consent_refusals
from contracts.texts import name_refusals
from contracts.values import CallerId, VoiceId
from contracts.vocabulary import OptOutKey

CompanyName = Annotated[str, StringConstraints(min_length=1, max_length=100, strip_whitespace=True)]
MAX_RETENTION_DAYS = 3_650
RetentionDays = Annotated[int, Field(ge=1, le=MAX_RETENTION_DAYS)]


class RequestedCalleeTerms(GivenConsent):
    """Terms that a request or a change of a call may set, each with its validation."""

    opt_out_key: Literal[OptOutKey, "off"] | None = Field(
        default=None,
        description="the key by which the callee asks for no more calls; off: none; null: as before, or "
        "that of the campaign, or else 9",
    )
    caller_id: CallerId | None = Field(
        default=None, description="the number that calls, one of CALLER_IDS; null: as before, or that of the campaign"
    )
    voice: VoiceId | None = Field(
        default=None, description="id of the voice that speaks; null: as before, or that of the campaign"
    )
    company: CompanyName | None = Field(
        default=None,
        description="on whose behalf it is made; the greeting begins with it; null: as before, or that of the campaign",
    )
    retention_days: RetentionDays | None = Field(
        default=None,
        description="days after the last call of the person until they are erased; null: as before, or "
        "that of the campaign, or else RETENTION_DAYS",
    )

    def callee_terms_refusals(self, now: datetime) -> list[str]:
        """Refuses a consent that is not given yet, and a company with control characters."""
        return [*name_refusals(self.company, "company"), *consent_refusals(self, now)]
