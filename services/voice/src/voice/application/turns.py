"""A turn is heard while it is still being written: past and coming sentences, in order, without a gap."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic
from uuid import UUID

import structlog
from prometheus_client import Histogram

from chassis import tracing
from chassis.log import Recorded
from contracts import AudioRequested, ReplyGenerated
from voice.application.greetings import GREETING_TURN, newest_greeting
from voice.application.speech import Speaking
from voice.domain.turns import TurnOrder
from voice.ports import CallLog, SpokenFacts

FIRST_AUDIO_SECONDS = Histogram(
    "centralita_turn_first_audio_seconds",
    "From the line asking for a reply, which it does on hearing something, to the first sound sent",
    buckets=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.25, 1.5, 2, 2.5, 3, 4, 6, 8, 12, 20),
)
Write = Callable[[bytes], Awaitable[None]]
_Sound = asyncio.Queue[bytes]
"""The frames of one sentence; empty: it is over."""

logger = structlog.get_logger()


class Turns:
    """Plays turns. `patience`: how many seconds a turn waits for its next sentence."""

    def __init__(self, calls: CallLog, facts: SpokenFacts, speaking: Speaking, *, patience: float) -> None:
        self._calls = calls
        self._facts = facts
        self._speaking = speaking
        self._patience = patience

    async def play(self, call_id: UUID, attempt: int, turn: int, write: Write) -> bool:
        """Writes the turn's MP3 frames as they come, until its last sentence or until nothing more comes.

        Each sentence's synthesis begins when it is asked for, so that it is ready when the one before has been sent.
        False: the first sentence could not be heard, and nothing was written; somebody else must say the turn.
        """
        write = write if turn == GREETING_TURN else _timed(write)
        sounds: asyncio.Queue[_Sound | None] = asyncio.Queue()
        begun: list[asyncio.Task[None]] = []
        async with asyncio.TaskGroup() as tasks:

            def begin(asked: Recorded, request: AudioRequested) -> None:
                sound = _Sound()
                sounds.put_nowait(sound)
                begun.append(tasks.create_task(self._speak(asked, request, sound)))

            gathering = tasks.create_task(self._gather(call_id, attempt, turn, begin, sounds))
            written = False
            while (sound := await sounds.get()) is not None:
                written = await _pass_on(sound, write) or written
                if not written:
                    for task in (gathering, *begun[1:]):
                        task.cancel()
                    return False
        return True

    async def _gather(
        self,
        call_id: UUID,
        attempt: int,
        turn: int,
        begin: Callable[[Recorded, AudioRequested], None],
        sounds: asyncio.Queue[_Sound | None],
    ) -> None:
        try:
            greeting = await newest_greeting(self._calls, call_id) if turn == GREETING_TURN else None
            if greeting is not None:
                begin(*greeting)
                return
            async with self._facts.follow(call_id) as facts:
                await self._follow(facts, attempt if turn != GREETING_TURN else 0, turn, begin)
        except Exception as error:  # what has been begun is still heard
            logger.warning("turn_lost", attempt=attempt, turn=turn, error=type(error).__name__, exc_info=error)
        finally:
            sounds.put_nowait(None)

    async def _follow(
        self,
        facts: AsyncIterator[Recorded],
        attempt: int,
        turn: int,
        begin: Callable[[Recorded, AudioRequested], None],
    ) -> None:
        order = TurnOrder[tuple[Recorded, AudioRequested]](count=1 if turn == GREETING_TURN else None)
        clock = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(self._patience) as bound:
                while not order.complete:
                    recorded = await anext(facts)
                    event = recorded.event
                    if not isinstance(event, AudioRequested | ReplyGenerated):
                        continue
                    if (event.attempt, event.turn) != (attempt, turn):
                        continue
                    bound.reschedule(clock() + self._patience)
                    if isinstance(event, ReplyGenerated):
                        order.close(event.sentences)
                    else:
                        for sentence in order.ask(event.sentence, (recorded, event)):
                            begin(*sentence)
        except TimeoutError:
            logger.warning("turn_cut_short", attempt=attempt, turn=turn)

    async def _speak(self, asked: Recorded, request: AudioRequested, sound: _Sound) -> None:
        try:
            with tracing.span("speak", tracing.SERVE, asked.envelope.traceparent):
                await self._speaking.speak(asked, request, sound.put_nowait)
        except Exception as error:  # one sentence must not silence the others
            logger.warning("sentence_lost", error=type(error).__name__, exc_info=error)
        finally:
            sound.put_nowait(b"")


async def _pass_on(sound: _Sound, write: Write) -> bool:
    """Whether there was anything to hear."""
    heard = False
    while frames := await sound.get():
        await write(frames)
        heard = True
    return heard


def _timed(write: Write) -> Write:
    """Observes how long it is from now to the first sound that is written."""
    begun, waiting = monotonic(), True

    async def timed(frames: bytes) -> None:
        nonlocal waiting
        await write(frames)
        if waiting:
            FIRST_AUDIO_SECONDS.observe(monotonic() - begun)
            waiting = False

    return timed
