"""A turn is heard while it is still being written: past and coming sentences, in order, without a gap."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from uuid import UUID

import structlog

from chassis import tracing
from chassis.event_log import StoredEvent
from contracts import AudioRequested, ReplyGenerated
from providers import RequestFailed
from voice.application.speech.greetings import GREETING_TURN, newest_greeting
from voice.application.speech.synthesis import Speaking
from voice.domain.playback import Playback, UnplayedRemainder
from voice.domain.turns import TurnOrder
from voice.metrics import FIRST_AUDIO_SECONDS
from voice.ports import CallLog, SpokenFacts

Write = Callable[[bytes], Awaitable[None]]
_Sound = asyncio.Queue[bytes | Exception]
"""The frames of one sentence; empty: it is over; an error: it is over before its end."""

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Sentence:
    asked: StoredEvent
    request: AudioRequested
    sound: _Sound


class Turns:
    """Plays turns. `patience`: how many seconds a turn waits for its next sentence."""

    def __init__(self, calls: CallLog, facts: SpokenFacts, speaking: Speaking, *, patience: float) -> None:
        self._calls = calls
        self._facts = facts
        self._speaking = speaking
        self._patience = patience

    async def play(
        self, call_id: UUID, attempt: int, turn: int, write: Write, *, aside: bool = False
    ) -> UnplayedRemainder | None:
        """Writes the turn's MP3 frames as they come, until its last sentence or until nothing more comes.

        The first sentence that is not heard to its end is the end: what comes behind it would not be understood.
        Somebody else must say the turn from that sentence's beginning on, for two voices do not make one sentence;
        the log says so. `aside`: nobody will, for it is not played on the call's line.
        """
        playback, clock = Playback(), asyncio.get_running_loop().time

        async def sent(frames: bytes) -> None:
            await write(frames)
            playback.add(frames, now=clock())

        lost = await self._play(call_id, attempt, turn, sent if turn == GREETING_TURN else _timed(sent))
        if lost is None:
            return None
        sentence, error = lost
        await self._give_up(sentence, error, say=not aside)
        left = UnplayedRemainder(sentence.request.sentence, playback.ends, sentence.asked.envelope.traceparent)
        return None if aside else left

    async def _play(self, call_id: UUID, attempt: int, turn: int, write: Write) -> tuple[_Sentence, Exception] | None:
        """The sentence that was not heard to its end, and why; none if all were.

        Each one's synthesis begins when it is asked for, so that it is ready when the one before has been sent.
        """
        sentences: asyncio.Queue[_Sentence | None] = asyncio.Queue()
        begun: list[asyncio.Task[None]] = []
        async with asyncio.TaskGroup() as tasks:

            def begin(asked: StoredEvent, request: AudioRequested) -> None:
                sentences.put_nowait(sentence := _Sentence(asked, request, _Sound()))
                begun.append(tasks.create_task(self._speak(sentence)))

            gathering = tasks.create_task(self._gather(call_id, attempt, turn, begin, sentences))
            while (sentence := await sentences.get()) is not None:
                if error := await _pass_on(sentence.sound, write):
                    for task in (gathering, *begun[sentence.request.sentence + 1 :]):
                        task.cancel()
                    return sentence, error
        return None

    async def _give_up(self, sentence: _Sentence, error: Exception, *, say: bool) -> None:
        reason = str(error) if isinstance(error, RequestFailed) else type(error).__name__
        try:
            await self._speaking.give_up(sentence.asked, sentence.request, reason, say=say)
        except Exception as trouble:  # what cannot be recorded is said nevertheless
            logger.warning("failure_not_recorded", error=type(trouble).__name__, exc_info=trouble)

    async def _gather(
        self,
        call_id: UUID,
        attempt: int,
        turn: int,
        begin: Callable[[StoredEvent, AudioRequested], None],
        sentences: asyncio.Queue[_Sentence | None],
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
            sentences.put_nowait(None)

    async def _follow(
        self,
        facts: AsyncIterator[StoredEvent],
        attempt: int,
        turn: int,
        begin: Callable[[StoredEvent, AudioRequested], None],
    ) -> None:
        order = TurnOrder[tuple[StoredEvent, AudioRequested]](count=1 if turn == GREETING_TURN else None)
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

    async def _speak(self, sentence: _Sentence) -> None:
        asked = sentence.asked
        try:
            with tracing.span("speak", tracing.SERVE, asked.envelope.traceparent):
                await self._speaking.speak(asked, sentence.request, sentence.sound.put_nowait)
        except RequestFailed as failed:
            sentence.sound.put_nowait(failed)
        except Exception as error:  # nobody takes it from the queue if the sentence was heard to its end before
            logger.warning("sentence_lost", error=type(error).__name__, exc_info=error)
            sentence.sound.put_nowait(error)


async def _pass_on(sound: _Sound, write: Write) -> Exception | None:
    """Why the sentence was not heard to its end; none if it was."""
    while frames := await sound.get():
        if isinstance(frames, Exception):
            return frames
        await write(frames)
    return None


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
