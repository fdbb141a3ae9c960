"""How many nodes of a cluster keep a stream."""

from enum import IntEnum

import structlog
from nats.js.api import StreamConfig

logger = structlog.get_logger()


class Replicas(IntEnum):
    """The permitted numbers of replicas: 1, or 3 and 5, which keep a majority when one or two nodes are lost."""

    ONE = 1
    THREE = 3
    FIVE = 5


def at_least_existing(existing: StreamConfig, wanted: int) -> int:
    """Returns the larger of the wanted and the existing number of replicas. Provisioning never removes replicas."""
    replicas = existing.num_replicas or 1
    if replicas > wanted:
        logger.warning("more_replicas_kept", stream=existing.name, replicas=replicas, nats_replicas=wanted)
    return max(replicas, wanted)
