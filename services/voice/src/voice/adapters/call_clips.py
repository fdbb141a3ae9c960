"""Clips for one call, which are removed when the call ends.

The server publishes the end of each call again (`filters.ENDED_CALL_FILTERS`). The process that has stored clips of the
call removes them. Such a message may be lost, and the process may end before: then the clips expire after an hour.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.kv import KeyValue

from chassis.stream_scan import subscribed
from contracts.buckets import CALL_CLIPS
from contracts.filters import ENDED_CALL_FILTERS, subject_ids
from contracts.streams import CALLS
from voice.adapters.recent_clips import DEADLINE_SECONDS, RecentClips, report_unread, report_unstored

MAX_RECENT_BYTES = 16 * 1024 * 1024
"""How many bytes of clips a process keeps in memory: about an hour of speech."""

MAX_CALLS = 20_000
"""How many calls a process remembers. The clips of others expire."""

logger = structlog.get_logger()


class CallClips:
    """Clips in a bucket of the key-value store, and in memory. Call `follow_ended_calls` before `put`.

    A call usually has one clip, of its greeting.
    """

    def __init__(self, client: Client, bucket: KeyValue, *, max_recent_bytes: int = MAX_RECENT_BYTES) -> None:
        self._client = client
        self._bucket = bucket
        self._recent = RecentClips(max_recent_bytes)
        self._keys: OrderedDict[UUID, set[str]] = OrderedDict()
        """The keys of the clips that this process has stored or read, by the call, until it ends."""

    @asynccontextmanager
    async def follow_ended_calls(self) -> AsyncIterator[None]:
        """Removes the clips of calls that end while the block runs."""
        async with AsyncExitStack() as stack:
            for filter in ENDED_CALL_FILTERS:
                await stack.enter_async_context(subscribed(self._client, CALLS.live(filter), self._on_ended_call))
            yield

    def has(self, call_id: UUID, digest: str) -> bool:
        """Returns whether this process keeps the clip. Others have none of a call before they play its turns."""
        return self._recent.get(_key(call_id, digest)) is not None

    async def get(self, call_id: UUID, digest: str) -> bytes | None:
        """Returns the clip, or none; a failure counts as none."""
        key = _key(call_id, digest)
        if (recent := self._recent.get(key)) is not None:
            return recent
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                clip = (await self._bucket.get(key)).value or b""
        except (NatsError, TimeoutError) as error:
            report_unread(error)
            return None
        self._keep(call_id, key, clip)
        return clip

    async def put(self, call_id: UUID, digest: str, audio: bytes) -> None:
        """Stores the clip; a failure is counted."""
        key = _key(call_id, digest)
        self._keep(call_id, key, audio)
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await self._bucket.put(key, audio)
        except (NatsError, TimeoutError) as error:
            report_unstored(error)

    def _keep(self, call_id: UUID, key: str, audio: bytes) -> None:
        self._keys.setdefault(call_id, set()).add(key)
        if len(self._keys) > MAX_CALLS:
            self._keys.popitem(last=False)
        self._recent.add(key, audio)

    async def _on_ended_call(self, message: Msg) -> None:
        call_id = UUID(subject_ids((message.headers or {})["Nats-Subject"])["call_id"])
        if (keys := self._keys.pop(call_id, None)) is None:
            return
        for key in keys:
            self._recent.remove(key)
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await self._client.jetstream().purge_stream(
                    CALL_CLIPS.stream.name, subject=f"$KV.{CALL_CLIPS.name}.{_key(call_id, '*')}"
                )
        except (NatsError, TimeoutError) as error:
            logger.warning("clips_not_removed", error=type(error).__name__)


def _key(call_id: UUID, digest: str) -> str:
    return f"{call_id}.{digest}"
