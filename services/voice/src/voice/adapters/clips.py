"""Clips in the NATS Object Store, which all replicas share. The bucket bounds their size."""

import asyncio
from collections import OrderedDict

import structlog
from nats.errors import Error as NatsError
from nats.js.errors import APIError, ObjectNotFoundError
from nats.js.object_store import ObjectStore

from voice.metrics import CLIP_HITS, CLIP_MISSES, CLIPS_NOT_STORED

DEADLINE_SECONDS = 2.0
STORE_FULL = 10077
"""The server's error code for a stream that has reached its ``max_bytes`` (nats-server ``errors.json``)."""
MAX_RECENT_BYTES = 32 * 1024 * 1024
"""How many bytes of clips a process keeps in memory: about two hours of speech."""
MAX_KNOWN = 65_536
"""How many digests of stored clips a process remembers."""

logger = structlog.get_logger()


class ObjectStoreClips:
    """Implements `voice.ports.Clips`. A bucket that is full or unreachable costs one more synthesis.

    A process keeps the clips that it used most recently, and the digests of those that are stored. If the bucket has
    removed such a clip meanwhile, it costs one synthesis when it is played.
    """

    def __init__(self, store: ObjectStore, *, max_recent_bytes: int = MAX_RECENT_BYTES) -> None:
        self._store = store
        self._recent = _RecentClips(max_recent_bytes)
        self._known: OrderedDict[str, None] = OrderedDict()
        """The digests of clips that are stored."""

    async def has(self, digest: str) -> bool:
        """Returns whether the clip is stored. Reads its metadata only; a failure counts as not stored."""
        if digest in self._known or self._recent.get(digest) is not None:
            return True
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await self._store.get_info(digest)
        except (NatsError, TimeoutError) as error:
            _report_unread(error)
            return False
        self._remember(digest)
        return True

    async def get(self, digest: str) -> bytes | None:
        """Returns the clip, or none. The store verifies it against its own digest; a failure counts as none."""
        if (recent := self._recent.get(digest)) is not None:
            CLIP_HITS.inc()
            return recent
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                clip = (await self._store.get(digest)).data or b""
        except (NatsError, TimeoutError) as error:
            self._known.pop(digest, None)
            _report_unread(error)
            CLIP_MISSES.inc()
            return None
        CLIP_HITS.inc()
        self._recent.add(digest, clip)
        return clip

    async def put(self, digest: str, audio: bytes) -> None:
        """Stores the clip unless it is known to be stored; a failure is counted."""
        self._recent.add(digest, audio)
        if digest in self._known:
            return
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await self._store.put(digest, audio)
        except (NatsError, TimeoutError) as error:
            is_full = isinstance(error, APIError) and error.err_code == STORE_FULL
            CLIPS_NOT_STORED.labels(reason="full" if is_full else "error").inc()
            if not is_full:
                logger.warning("clip_not_stored", error=type(error).__name__)
        else:
            self._remember(digest)

    def _remember(self, digest: str) -> None:
        self._known[digest] = None
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)


class _RecentClips:
    """The clips that were used most recently, up to `max_bytes` together."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._clips: OrderedDict[str, bytes] = OrderedDict()

    def get(self, digest: str) -> bytes | None:
        if digest in self._clips:
            self._clips.move_to_end(digest)
        return self._clips.get(digest)

    def add(self, digest: str, clip: bytes) -> None:
        self._bytes += len(clip) - len(self._clips.pop(digest, b""))
        self._clips[digest] = clip
        while self._bytes > self._max_bytes:
            _, removed = self._clips.popitem(last=False)
            self._bytes -= len(removed)


def _report_unread(error: Exception) -> None:
    if not isinstance(error, ObjectNotFoundError):
        logger.warning("clip_not_read", error=type(error).__name__)
