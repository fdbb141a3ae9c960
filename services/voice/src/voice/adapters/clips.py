"""Clips in two buckets, which all replicas share: those for every call, and those for one call (`adapters.call_clips`).

The buckets bound their size.
"""

import asyncio
from base64 import urlsafe_b64encode
from collections import OrderedDict
from hashlib import sha256

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import ObjectInfo
from nats.js.errors import DigestMismatchError, ObjectNotFoundError
from nats.js.object_store import OBJ_CHUNKS_PRE_TEMPLATE, OBJ_DIGEST_TEMPLATE, ObjectStore

from chassis.direct_get import get_page
from contracts.buckets import CLIPS
from voice.adapters.call_clips import CallClips
from voice.adapters.recent_clips import DEADLINE_SECONDS, RecentClips, report_unread, report_unstored
from voice.domain.clips import ClipName
from voice.metrics import CLIP_HITS, CLIP_MISSES

MAX_RECENT_BYTES = 32 * 1024 * 1024
"""How many bytes of clips a process keeps in memory: about two hours of speech."""
MAX_KNOWN = 65_536
"""How many digests of stored clips a process remembers."""


class StoredClips:
    """Implements `voice.ports.Clips`. A bucket that is full or unreachable costs one more synthesis."""

    def __init__(self, shared: "ObjectStoreClips", of_calls: CallClips) -> None:
        self._shared = shared
        self._of_calls = of_calls

    async def has(self, name: ClipName) -> bool:
        """See the interface."""
        is_shared = not name.is_personal and await self._shared.has(name.digest)
        return is_shared or self._of_calls.has(name.call_id, name.digest)

    async def get(self, name: ClipName) -> bytes | None:
        """See the interface."""
        clip = None if name.is_personal else await self._shared.get(name.digest)
        if clip is None:
            clip = await self._of_calls.get(name.call_id, name.digest)
        (CLIP_MISSES if clip is None else CLIP_HITS).inc()
        return clip

    async def put(self, name: ClipName, audio: bytes, *, is_answered: bool = True) -> None:
        """See the interface."""
        if not name.is_personal:
            await self._shared.put(name.digest, audio)
        elif is_answered:
            await self._of_calls.put(name.call_id, name.digest, audio)
        else:
            self._of_calls.keep(name.call_id, name.digest, audio)


class ObjectStoreClips:
    """Clips in the Object Store, under the digests of their syntheses.

    A process keeps the clips that it used most recently, and the digests of those that are stored. If the bucket has
    removed such a clip meanwhile, it costs one synthesis when it is played.
    """

    def __init__(self, client: Client, store: ObjectStore, *, max_recent_bytes: int = MAX_RECENT_BYTES) -> None:
        self._client = client
        self._store = store
        self._recent = RecentClips(max_recent_bytes)
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
            report_unread(error)
            return False
        self._remember(digest)
        return True

    async def get(self, digest: str) -> bytes | None:
        """Returns the clip, or none. It is verified against the digest in its metadata; a failure counts as none."""
        if (recent := self._recent.get(digest)) is not None:
            return recent
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                clip = await self._read(await self._store.get_info(digest))
        except (NatsError, TimeoutError) as error:
            self._known.pop(digest, None)
            report_unread(error)
            return None
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
            report_unstored(error)
        else:
            self._remember(digest)

    async def _read(self, info: ObjectInfo) -> bytes:
        """Returns an object. ``ObjectStore.get`` would make a consumer, and does not understand what it delivers.

        nats-py 2.16 takes its position from the wrong token of a reply that names the account (`contracts.accounts`).
        """
        subject = OBJ_CHUNKS_PRE_TEMPLATE.format(bucket=CLIPS.name, obj=info.nuid)
        clip, start_sequence = bytearray(), 1
        while len(clip) < (info.size or 0):
            page = await get_page(self._client, CLIPS.stream.name, subject, start_sequence=start_sequence)
            if not page.messages:
                raise ObjectNotFoundError  # removed meanwhile
            clip += b"".join(chunk.data for chunk in page.messages)
            start_sequence = page.messages[-1].seq + 1
        digest = urlsafe_b64encode(sha256(clip).digest()).decode()
        if info.digest != OBJ_DIGEST_TEMPLATE.format(digest=digest):
            raise DigestMismatchError
        return bytes(clip)

    def _remember(self, digest: str) -> None:
        self._known[digest] = None
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
