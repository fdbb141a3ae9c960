"""The greeting is ready before the phone rings."""

import asyncio
from uuid import UUID

import structlog

from chassis.event_log import StoredEvent
from contracts import AudioRequested
from providers import RequestFailed
from voice.application.speech.synthesis import Speaking
from voice.ports import CallLog

GREETING_TURN = 0
MAX_PREPARATION_SECONDS = 4.0

logger = structlog.get_logger()


async def newest_greeting(calls: CallLog, call_id: UUID) -> tuple[StoredEvent, AudioRequested] | None:
    """The greeting as it was asked for last: a call that is changed before it is dialled gets a new one."""
    for recorded in reversed(await calls.read((f"{AudioRequested.event_name}.{call_id}",))):
        event = recorded.event
        if isinstance(event, AudioRequested) and event.turn == GREETING_TURN:
            return recorded, event
    return None


class Greetings:
    """Makes clips of greetings. One that is in the making is waited for, not made twice by the same process."""

    def __init__(self, calls: CallLog, speaking: Speaking, *, patience: float = MAX_PREPARATION_SECONDS) -> None:
        self._calls = calls
        self._speaking = speaking
        self._patience = patience
        self._under_way: dict[str, asyncio.Task[None]] = {}

    async def prepare(self, asked: StoredEvent, request: AudioRequested) -> None:
        """Puts the sentence among the clips. Idempotent: a clip is stored under the digest of what it says."""
        if request.turn != GREETING_TURN or not request.is_reusable:
            return
        key = asked.envelope.id
        if key not in self._under_way:
            task = asyncio.create_task(self._make(asked, request))
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
        await asyncio.shield(self._under_way[key])

    async def prepare_before_dialing(self, call_id: UUID) -> None:
        """As `prepare`, for a few seconds at most. A greeting that is not to be had does not stop the dial."""
        try:
            async with asyncio.timeout(self._patience):
                if (greeting := await newest_greeting(self._calls, call_id)) is not None:
                    await self.prepare(*greeting)
        except Exception as error:  # noqa: BLE001  quality fails open (law 9)
            logger.warning("greeting_not_ready", error=type(error).__name__)

    async def aclose(self) -> None:
        """Drops what is in the making."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, key: str, done: asyncio.Task[None]) -> None:
        del self._under_way[key]
        if not done.cancelled() and (error := done.exception()) is not None:
            logger.warning("greeting_not_made", error=type(error).__name__)

    async def _make(self, asked: StoredEvent, request: AudioRequested) -> None:
        if await self._speaking.has_clip(request):
            return
        try:
            await self._speaking.speak(asked, request, lambda _: None)
        except RequestFailed as failed:
            await self._speaking.give_up(asked, request, str(failed))
