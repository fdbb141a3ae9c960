"""Clips for one call, which are stored when the call is answered, and removed when it ends.

The server publishes both events again. The process that has clips of the call stores and removes them. So the greeting
of an unanswered call never leaves the memory of the process that dialled it. If the first message is lost, another
replica synthesizes the clip again. If the second one is lost, or the process ends before, clips expire after an hour.
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

from chassis.stream_api import jetstream_of
from chassis.stream_scan import subscribed
from contracts.buckets import CALL_CLIPS
from contracts.filters import ANSWERED_CALL_FILTERS, ENDED_CALL_FILTERS, subject_ids
from contracts.streams import CALLS
from voice.adapters.recent_clips import DEADLINE_SECONDS, RecentClips, report_unread, report_unstored

MAX_RECENT_BYTES = 16 * 1024 * 1024
"""How many bytes of clips a process keeps in memory: about an hour of speech."""

MAX_CALLS = 20_000
"""How many calls a process remembers. The clips of others expire."""

logger = structlog.get_logger()


class CallClips:
    """Clips in a bucket of the key-value store, and in memory. Call `follow_calls` before `put` and `keep`.

    A call usually has one clip, of its greeting.
    """

    def __init__(self, client: Client, bucket: KeyValue, *, max_recent_bytes: int = MAX_RECENT_BYTES) -> None:
        self._client = client
        self._bucket = bucket
        self._recent = RecentClips(max_recent_bytes)
        self._keys: OrderedDict[UUID, dict[str, bool]] = OrderedDict()
        """The keys of the clips of this process, by the call, until it ends. True: the clip is in the bucket."""

    @asynccontextmanager
    async def follow_calls(self) -> AsyncIterator[None]:
        """Stores the clips of calls that are answered while the block runs, and removes those of calls that end."""
        followed = (*((one, self._on_answered_call) for one in ANSWERED_CALL_FILTERS),)
        followed += (*((one, self._on_ended_call) for one in ENDED_CALL_FILTERS),)
        async with AsyncExitStack() as stack:
            for filter, handle in followed:
                await stack.enter_async_context(subscribed(self._client, CALLS.live(filter), handle))
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
        self._add(call_id, key, clip, is_stored=True)
        return clip

    async def put(self, call_id: UUID, digest: str, audio: bytes) -> None:
        """Stores the clip; a failure is counted."""
        key = _key(call_id, digest)
        self._add(call_id, key, audio, is_stored=True)
        await self._store(key, audio)

    def keep(self, call_id: UUID, digest: str, audio: bytes) -> None:
        """Keeps the clip in memory, and stores it when the call is answered."""
        self._add(call_id, _key(call_id, digest), audio, is_stored=False)

    def _add(self, call_id: UUID, key: str, audio: bytes, *, is_stored: bool) -> None:
        self._keys.setdefault(call_id, {})[key] = is_stored
        if len(self._keys) > MAX_CALLS:
            self._keys.popitem(last=False)
        self._recent.add(key, audio)

    async def _store(self, key: str, audio: bytes) -> None:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await self._bucket.put(key, audio)
        except (NatsError, TimeoutError) as error:
            report_unstored(error)

    async def _on_answered_call(self, message: Msg) -> None:
        keys = self._keys.get(_call_id_of(message), {})
        for key in [key for key, is_stored in keys.items() if not is_stored]:
            if (clip := self._recent.get(key)) is not None:
                keys[key] = True
                await self._store(key, clip)

    async def _on_ended_call(self, message: Msg) -> None:
        call_id = _call_id_of(message)
        keys = self._keys.pop(call_id, {})
        for key in keys:
            self._recent.remove(key)
        if not any(keys.values()):
            return
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await jetstream_of(self._client, CALL_CLIPS.stream.name).purge_stream(
                    CALL_CLIPS.stream.name, subject=f"$KV.{CALL_CLIPS.name}.{_key(call_id, '*')}"
                )
        except (NatsError, TimeoutError) as error:
            logger.warning("clips_not_removed", error=type(error).__name__)


def _call_id_of(message: Msg) -> UUID:
    """Returns the call of a message that the server has published again."""
    return UUID(subject_ids((message.headers or {})["Nats-Subject"])["call_id"])


def _key(call_id: UUID, digest: str) -> str:
    return f"{call_id}.{digest}"
