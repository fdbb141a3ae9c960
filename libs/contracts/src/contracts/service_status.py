"""Which processes run: the edge asks all of them at once, and each answers on a subject of its own.

The subject of an answer is fixed, so no process needs the permission to reply to others, or can answer for another
service.
"""

from pydantic import BaseModel, ConfigDict, Field

from contracts.instants import Instant

STATUS_REQUEST = "service.status_requested"
"""Asks each process for its `ServiceStatus`."""
ALL_STATUSES = "service.status.*"
"""The filter of all answers."""


def status_subject(service: str) -> str:
    """Returns the subject on which the processes of a service answer."""
    return f"service.status.{service}"


class ServiceStatus(BaseModel):
    """One process that runs. It answers once its subscribers have started, so it is ready."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    service: str = Field(max_length=100)
    instance: str = Field(max_length=100, description="a random name of the process")
    version: str = Field(max_length=100)
    started_at: Instant
    breakers: dict[str, str] = Field(
        default={}, max_length=50, description="vendors whose circuit breaker is not closed: half-open or open"
    )
