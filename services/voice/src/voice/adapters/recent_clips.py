"""What the buckets of clips have in common: clips in memory, a deadline, and reports of failures."""

from collections import OrderedDict

import structlog
from nats.errors import Error as NatsError
from nats.js.errors import APIError, NotFoundError

from voice.metrics import CLIPS_NOT_STORED

DEADLINE_SECONDS = 2.0
STORE_FULL = 10077
"""The server's error code for a stream that has reached its ``max_bytes`` (nats-server ``errors.json``)."""

logger = structlog.get_logger()


class RecentClips:
    """The clips that were used most recently, up to `max_bytes` together."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._clips: OrderedDict[str, bytes] = OrderedDict()

    def get(self, name: str) -> bytes | None:
        """Returns the clip, or none."""
        if name in self._clips:
            self._clips.move_to_end(name)
        return self._clips.get(name)

    def add(self, name: str, clip: bytes) -> None:
        """Keeps the clip, and removes those that were not used for the longest time."""
        self.remove(name)
        self._bytes += len(clip)
        self._clips[name] = clip
        while self._bytes > self._max_bytes:
            self.remove(next(iter(self._clips)))

    def remove(self, name: str) -> None:
        """Removes the clip, if it is kept."""
        self._bytes -= len(self._clips.pop(name, b""))


def report_unread(error: NatsError | TimeoutError) -> None:
    """Logs a failure, unless the clip does not exist."""
    if not isinstance(error, NotFoundError):
        logger.warning("clip_not_read", error=type(error).__name__)


def report_unstored(error: NatsError | TimeoutError) -> None:
    """Counts a failure; logs it, unless the bucket is full."""
    is_full = isinstance(error, APIError) and error.err_code == STORE_FULL
    CLIPS_NOT_STORED.labels(reason="full" if is_full else "error").inc()
    if not is_full:
        logger.warning("clip_not_stored", error=type(error).__name__)
