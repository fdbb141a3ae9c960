"""Clips in NATS's Object Store: shared by all replicas, bounded by the bucket."""

import asyncio

import structlog
from nats.errors import Error as NatsError
from nats.js.errors import APIError, ObjectNotFoundError
from nats.js.object_store import ObjectStore

from voice.metrics import CLIP_HITS, CLIP_MISSES, CLIPS_NOT_STORED

DEADLINE_SECONDS = 2.0
STORE_FULL = 10077
"""The server's error code for a stream at its ``max_bytes`` (nats-server ``errors.json``)."""

logger = structlog.get_logger()


class ObjectStoreClips:
    """The port `Clips`. A bucket that is full or out of reach costs a synthesis, nothing else."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def get(self, digest: str) -> bytes | None:
        """The clip; the store checks what it gives against its own digest."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                found = await self._store.get(digest)
        except (NatsError, TimeoutError) as error:
            if not isinstance(error, ObjectNotFoundError):
                logger.warning("clip_not_read", error=type(error).__name__)
            CLIP_MISSES.inc()
            return None
        CLIP_HITS.inc()
        return found.data

    async def put(self, digest: str, audio: bytes) -> None:
        """Stores the clip; once more under the same digest, it replaces its equal."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await self._store.put(digest, audio)
        except (NatsError, TimeoutError) as error:
            full = isinstance(error, APIError) and error.err_code == STORE_FULL
            CLIPS_NOT_STORED.labels(reason="full" if full else "error").inc()
            if not full:
                logger.warning("clip_not_stored", error=type(error).__name__)
