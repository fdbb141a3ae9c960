"""On how many nodes of a cluster a stream stands."""

from enum import IntEnum

import structlog
from nats.js.api import StreamConfig

logger = structlog.get_logger()


class Replicas(IntEnum):
    """Numbers of which a majority is left when one or two are lost."""

    ONE = 1
    THREE = 3
    FIVE = 5


def no_fewer(there: StreamConfig, wanted: int) -> int:
    """As many replicas as are wanted, or as there are: to take copies of the record away is for a human to decide."""
    found = there.num_replicas or 1
    if found > wanted:
        logger.warning("more_replicas_kept", stream=there.name, replicas=found, nats_replicas=wanted)
    return max(found, wanted)
