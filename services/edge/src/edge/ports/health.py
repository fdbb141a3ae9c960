"""The health of the installation, as the bus shows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from chassis.findings import Finding
from chassis.jetstream_info import ConsumerState, StreamState
from contracts.service_status import ServiceStatus


@dataclass(frozen=True, slots=True)
class Health:
    """The findings at an instant, and the state of what they are about.

    `unacknowledged_since`: by consumer, since when, at the latest, its oldest message is unacknowledged.
    """

    examined_at: datetime
    findings: list[Finding]
    streams: list[StreamState]
    consumers: list[ConsumerState]
    services: list[ServiceStatus]
    unacknowledged_since: Mapping[str, datetime] = field(default_factory=dict)


class Installation(Protocol):
    """The installation to which this process belongs."""

    async def examine(self) -> Health:
        """Returns its health. A bus that does not answer is a finding."""
