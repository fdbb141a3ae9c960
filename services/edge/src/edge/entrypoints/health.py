"""The REST API of the installation's health, under ``/api/v1/health``."""

from datetime import datetime

from fastapi import Request
from pydantic import BaseModel, Field

from chassis.findings import Result
from edge.application.errors import NotForLimitedKeys
from edge.application.health import HealthChecks
from edge.entrypoints.scopes import ReadRoute, create_router, key_of
from edge.ports.health import Health


class HealthRoute(ReadRoute):
    """A route about the whole installation: a key of some campaigns is refused, whichever campaign it names."""

    async def check_campaign(self, request: Request) -> None:
        """Raises NotForLimitedKeys for a key that is limited to campaigns."""
        if key_of(request).campaigns is not None:
            raise NotForLimitedKeys(key_of(request))


router = create_router(HealthRoute, "/health", "Health")


class FindingResource(BaseModel):
    """One check of the doctor."""

    area: str = Field(examples=["NATS"])
    check: str = Field(examples=["stream CALLS"])
    result: Result
    found: str
    advice: str = Field(description="what to do; empty if nothing has to be done")


class StreamResource(BaseModel):
    """A stream or a bucket."""

    name: str
    messages: int
    bytes: int
    max_bytes: int | None = Field(description="size at which it refuses messages; null: no limit")
    replicas: int = Field(description="nodes that keep it")
    current_replicas: int = Field(description="nodes that have all of it")
    leader: str | None = Field(description="the node that stores messages; null: there is one node")


class ConsumerResource(BaseModel):
    """A durable consumer of a service."""

    name: str
    stream: str
    pending: int = Field(description="messages that were not delivered yet")
    unacknowledged: int = Field(description="messages that a service has received and not acknowledged")
    redelivered: int = Field(description="those of them that were delivered more than once")
    is_subscribed: bool = Field(description="whether a service subscribes to it")
    unacknowledged_since: datetime | None = Field(
        default=None, description="the oldest of them is older than this; null: there is none, or it is not known yet"
    )


class ProcessResource(BaseModel):
    """A process that answers. A process that does not is missing."""

    service: str
    instance: str = Field(description="a random name of the process")
    version: str
    started_at: datetime
    breakers: dict[str, str] = Field(description="vendors whose circuit breaker is not closed: half-open or open")


class HealthResource(BaseModel):
    """What the doctor finds on the bus. Settings, accounts and the public address: `centralita doctor`."""

    examined_at: datetime
    findings: list[FindingResource]
    streams: list[StreamResource]
    consumers: list[ConsumerResource]
    services: list[ProcessResource]

    @classmethod
    def of(cls, health: Health) -> "HealthResource":
        """Returns the public form."""
        resource = cls.model_validate(health, from_attributes=True)
        for one in resource.consumers:
            one.unacknowledged_since = health.unacknowledged_since.get(one.name)
        return resource


@router.get("")
async def read_health(request: Request) -> HealthResource:
    """Returns the state of streams, consumers and services, with what to do about each problem.

    It is examined at most once in 5 seconds, for all who ask. A key that is limited to campaigns is refused.
    """
    checks: HealthChecks = request.app.state.health
    return HealthResource.of(await checks.read())
