"""Answers in NATS's key-value store: shared by all replicas, bounded by the bucket, each expiring by itself."""

import asyncio
import json
from collections.abc import Sequence

import structlog
from nats.errors import Error as NatsError
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue
from prometheus_client import Counter

HITS = Counter("centralita_answer_cache_hits", "Answers asked for and found")
MISSES = Counter("centralita_answer_cache_misses", "Answers asked for and not found")
DEADLINE_SECONDS = 0.5
"""A cache that takes longer saves nothing."""

logger = structlog.get_logger()


class KeptAnswers:
    """The port `Answers`; an answer is kept for `seconds`."""

    def __init__(self, bucket: KeyValue, *, seconds: int) -> None:
        self._bucket = bucket
        self._seconds = seconds

    async def get(self, key: str) -> tuple[str, ...]:
        """See the port."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                found = await self._bucket.get(key)
        except (NatsError, TimeoutError) as error:
            if not isinstance(error, KeyNotFoundError):
                logger.warning("answer_not_read", error=type(error).__name__)
            MISSES.inc()
            return ()
        HITS.inc()
        sentences: list[str] = json.loads(found.value or b"[]")
        return tuple(sentences)

    async def put(self, key: str, sentences: Sequence[str]) -> None:
        """See the port. Whoever was first is kept: the two answers are equally good."""
        body = json.dumps(list(sentences), ensure_ascii=False).encode()
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await self._bucket.create(key, body, msg_ttl=self._seconds)
        except (NatsError, TimeoutError) as error:
            if not isinstance(error, KeyWrongLastSequenceError):
                logger.warning("answer_not_kept", error=type(error).__name__)


class NoAnswers:
    """The port `Answers` when nothing is to be kept."""

    async def get(self, key: str) -> tuple[str, ...]:
        """Nothing."""
        return ()

    async def put(self, key: str, sentences: Sequence[str]) -> None:
        """Does nothing."""
