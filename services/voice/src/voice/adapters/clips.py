"""Clips in the NATS Object Store, which all replicas share. The bucket bounds their size."""

import asyncio

import structlog
from nats.errors import Error as NatsError
from nats.js.errors import APIError, ObjectNotFoundError
from nats.js.object_store import ObjectStore

from voice.metrics import CLIP_HITS, CLIP_MISSES, CLIPS_NOT_STORED

DEADLINE_SECONDS = 2.0
STORE_FULL = 10077
"""The server's error code for a stream that has reached its ``max_bytes`` (nats-server ``errors.json``)."""

logger = structlog.get_logger()


class ObjectStoreClips:
    """Implements `voice.ports.Clips`. A bucket that is full or unreachable costs one more synthesis."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def get(self, digest: str) -> bytes | None:
        """Returns the clip, or none. The store verifies it against its own digest; a failure counts as none."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                clip = await self._store.get(digest)
        except (NatsError, TimeoutError) as error:
            if not isinstance(error, ObjectNotFoundError):
                logger.warning("clip_not_read", error=type(error).__name__)
            CLIP_MISSES.inc()
            return None
        CLIP_HITS.inc()
        return clip.data

    async def put(self, digest: str, audio: bytes) -> None:
        """Stores the clip; a failure is counted. A second clip under the same digest replaces an equal one."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await self._store.put(digest, audio)
        except (NatsError, TimeoutError) as error:
            is_full = isinstance(error, APIError) and error.err_code == STORE_FULL
            CLIPS_NOT_STORED.labels(reason="full" if is_full else "error").inc()
            if not is_full:
                logger.warning("clip_not_stored", error=type(error).__name__)
