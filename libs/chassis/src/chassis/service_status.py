"""Each process says that it runs, and the edge collects who does (`contracts.service_status`)."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version

import uuid_utils
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from prometheus_client import REGISTRY
from pydantic import ValidationError

from chassis.bus_clock import wall_clock
from contracts.service_status import ALL_STATUSES, STATUS_REQUEST, ServiceStatus, status_subject

COLLECT_SECONDS = 1.0
"""How long answers are waited for. A process that is busy for longer is missing."""
MAX_STATUSES = 1_000
BREAKER_METRIC = "centralita_breaker_state"
"""The gauge of `providers.metrics`: processes without vendors do not have it."""
BREAKER_STATES = {1.0: "half-open", 2.0: "open"}


async def answer_status(client: Client, service: str) -> None:
    """Answers each request for the status of this process, until the connection is drained."""
    status = ServiceStatus(
        service=service,
        instance=str(uuid_utils.uuid7()),
        version=version("centralita-chassis"),
        started_at=wall_clock(),
    )

    async def answer(_: Msg) -> None:
        body = status.model_copy(update={"breakers": breakers_not_closed()}).model_dump_json().encode()
        with suppress(NatsError):  # the connection is lost, and with it the request
            await client.publish(status_subject(service), body)

    await client.subscribe(STATUS_REQUEST, cb=answer)


def breakers_not_closed() -> dict[str, str]:
    """Returns the vendors whose circuit breaker is not closed in this process, as its metric says.

    Only this metric is read: all of them take milliseconds, and every answer to the question would cost that.
    """
    metrics = REGISTRY.restricted_registry((BREAKER_METRIC,)).collect()
    samples = (sample for metric in metrics for sample in metric.samples)
    return {sample.labels["provider"]: BREAKER_STATES.get(sample.value, "open") for sample in samples if sample.value}


async def collect_statuses(client: Client) -> list[ServiceStatus]:
    """Returns the processes that answer within `COLLECT_SECONDS`. Raises nats.errors.Error.

    An answer that names another service than its subject is left out.
    """
    found: dict[str, ServiceStatus] = {}

    async def note(message: Msg) -> None:
        if len(found) < MAX_STATUSES:
            found.update((one.instance, one) for one in _parsed(message))

    subscription = await client.subscribe(ALL_STATUSES, cb=note)
    try:
        await client.publish(STATUS_REQUEST)
        await asyncio.sleep(COLLECT_SECONDS)
    finally:
        with suppress(NatsError):
            await subscription.unsubscribe()
    return sorted(found.values(), key=lambda one: (one.service, one.started_at))


def _parsed(message: Msg) -> Iterator[ServiceStatus]:
    with suppress(ValidationError):
        status = ServiceStatus.model_validate_json(message.data)
        if status_subject(status.service) == message.subject:
            yield status
