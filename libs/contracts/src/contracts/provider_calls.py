"""A query for the call of an attempt, by the id that the telephone provider gave it."""

from typing import ClassVar, Self

from pydantic import Field, model_validator

from contracts.queries import CallListQuery
from contracts.values import ProviderCallId

ONE_ATTEMPT = "provider_call_id names one call: leave out status, disposition and contact_id"
"""Why such a query by the provider's id is refused, and the remedy."""


class ProviderCallsQuery(CallListQuery):
    """As `CallListQuery`, for the call of which an attempt has this id at the telephone provider.

    Its subject is its own: an older campaign-stats would answer it with every call.
    """

    subject: ClassVar[str] = "stats.provider_calls"

    provider_call_id: ProviderCallId = Field(description="the telephone provider's id of one attempt")

    @model_validator(mode="after")
    def _names_one_call(self) -> Self:
        if self.status or self.disposition or self.contact_id is not None:
            raise ValueError(ONE_ATTEMPT)
        return self
