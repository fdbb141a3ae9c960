"""The answer cache in a NATS key-value bucket: shared by all replicas, bounded, with an expiry per answer."""

import asyncio
import json
from collections.abc import Sequence

import structlog
from nats.errors import Error as NatsError
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from conversation.metrics import CACHE_HITS, CACHE_MISSES

DEADLINE_SECONDS = 0.5
"""A slower cache does not save time: the model would already be answering."""

logger = structlog.get_logger()


class NatsAnswerCache:
    """Implements `conversation.ports.AnswerCache`. Each answer expires after `expiry_seconds`."""

    def __init__(self, bucket: KeyValue, *, expiry_seconds: int) -> None:
        self._bucket = bucket
        self._expiry_seconds = expiry_seconds

    async def get(self, key: str) -> tuple[str, ...]:
        """Returns the sentences of the answer; none if there is none, or if the bucket cannot be read in time."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                entry = await self._bucket.get(key)
        except (NatsError, TimeoutError) as error:
            if not isinstance(error, KeyNotFoundError):
                logger.warning("answer_cache_read_failed", error=type(error).__name__)
            CACHE_MISSES.inc()
            return ()
        CACHE_HITS.inc()
        sentences: list[str] = json.loads(entry.value or b"[]")
        return tuple(sentences)

    async def put(self, key: str, sentences: Sequence[str]) -> None:
        """Stores the sentences unless the key exists: another replica's answer is equally good. Logs NATS failures."""
        body = json.dumps(list(sentences), ensure_ascii=False).encode()
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await self._bucket.create(key, body, msg_ttl=self._expiry_seconds)
        except (NatsError, TimeoutError) as error:
            if not isinstance(error, KeyWrongLastSequenceError):
                logger.warning("answer_cache_write_failed", error=type(error).__name__)
