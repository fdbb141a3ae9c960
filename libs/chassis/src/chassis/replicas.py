"""How many nodes of a cluster keep a stream."""

from enum import IntEnum

import structlog
from nats.js.api import StreamConfig

logger = structlog.get_logger()


class Replicas(IntEnum):
    """The numbers of nodes that still have a majority when one or two of them are lost, and one node alone."""

    ONE = 1
    THREE = 3
    FIVE = 5


def at_least_existing(existing: StreamConfig, wanted: int) -> int:
    """Returns the larger of the wanted and the existing number of replicas. Provisioning never removes replicas."""
    replicas = existing.num_replicas or 1
    if replicas > wanted:
        logger.warning("more_replicas_kept", stream=existing.name, replicas=replicas, nats_replicas=wanted)
    return max(replicas, wanted)
