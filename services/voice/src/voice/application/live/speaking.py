"""What the agent says in one live call: the sentences of the newest turn, in order, on the line.

Only the newest turn is spoken. Its sentences are synthesized as they are requested; `domain.live.playout` decides when
their audio is sent, and knows what was heard of it.
"""

import asyncio
from dataclasses import replace
from functools import partial

import structlog

from providers import RequestFailed
from voice.application.live.live_speech import LiveSpeech, Synthesis
from voice.application.live.speaker import PUMP_SECONDS, Listener, Reply
from voice.application.speech.synthesis import Sentence
from voice.domain.live.alignments import Alignment
from voice.domain.live.playout import FILLER, TONES, Heard, Mark, Playing, Playout, SentencePlayed
from voice.domain.live.tones import tones_of
from voice.ports import Line

MAX_MARK_SECONDS = 5.0
"""A mark that returns later than this after its time: the provider does not play what it receives."""

logger = structlog.get_logger()


class Speaking:
    """Plays the replies of one call. `pump` must be called every 100 ms: it sends what is due, in one message."""

    def __init__(self, line: Line, speech: LiveSpeech, listener: Listener) -> None:
        self._line = line
        self._speech = speech
        self._listener = listener
        self._playout = Playout()
        self._marks: dict[str, float] = {}
        """The marks that have not returned, and when they were sent."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._clock = asyncio.get_running_loop().time
        self.reply = Reply(-1, is_over=True)
        """The newest one."""

    @property
    def underruns(self) -> int:
        """How often audio was due to be sent and was not there."""
        return self._playout.underruns

    @property
    def is_paused(self) -> bool:
        """Whether a sound of the callee has paused the reply."""
        return self._playout.is_paused

    def begin(self, turn: int, first_sentence: int = 0) -> None:
        """Begins the reply of a turn. What is left of the one before must have been interrupted."""
        self.reply = Reply(turn, first_sentence)

    def add(self, sentence: Sentence, *, is_interruptible: bool = True) -> None:
        """Adds a requested sentence of the newest turn; out of order, or twice, does no harm."""
        reply = self.reply
        reply.requested_at = reply.requested_at or self._clock()
        for ready in reply.order.add(sentence.event.sentence, sentence):
            reply.sentences[ready.event.sentence] = ready
            if ready.event.sentence >= reply.first_sentence:
                self._start(reply, ready, is_interruptible=is_interruptible)
        self._declare_complete(reply)

    def add_filler(self, sentence: Sentence) -> None:
        """Plays a phrase that belongs to no reply."""
        self._start(self.reply, sentence, is_interruptible=True)

    def press_keys(self, digits: str) -> None:
        """See `speaker.Speaker`. A media stream takes audio only, so the keys are tones."""
        self._playout.begin(self.reply.turn, TONES, "", is_interruptible=False)
        self._playout.add(self.reply.turn, TONES, tones_of(digits))
        self._playout.finish(self.reply.turn, TONES)
        self.pump()

    def close(self, count: int) -> None:
        """Declares how many sentences the newest reply has."""
        self.reply.order.close(count)
        self._declare_complete(self.reply)

    def playing(self) -> Playing | None:
        """Returns what the callee hears now; none if the line is silent."""
        return self._playout.playing(self._clock())

    def is_audible(self) -> bool:
        """Returns whether the callee hears our speech now, or would without a pause."""
        return self._playout.is_paused or self._playout.is_audible(self._clock())

    def heard(self) -> Heard | None:
        """Returns what was heard of the reply that is being heard, or was heard last."""
        return self._playout.heard(self._clock())

    def pause(self) -> None:
        """Stops the sound; `resume` or `interrupt` follows."""
        self._playout.pause(self._clock())
        self._clear()

    def resume(self) -> None:
        """Continues after a pause."""
        self._playout.resume(self._clock())
        self.pump()

    def interrupt(self) -> Heard:
        """Ends the newest reply, and returns what was heard of it."""
        reply, was_paused = self.reply, self._playout.is_paused
        heard = self._playout.interrupt(self._clock())
        if heard is not None and not was_paused:
            self._clear()
        reply.is_over = True
        for task in reply.tasks:
            task.cancel()
        self._speech.finish_reply()
        if heard is None or heard.turn != reply.turn:
            return Heard(reply.turn, reply.first_sentence, "", 0.0, 0.0)
        if heard.sentence in reply.heard:  # its mark has returned, and the next one has not begun
            return replace(heard, sentence=heard.sentence + 1, sentence_seconds=0.0)
        return heard

    def pump(self) -> None:
        """Sends what is due now."""
        now = self._clock()
        for outgoing in self._playout.due(now):
            if isinstance(outgoing, Mark):
                self._marks[outgoing.name] = now
                self._line.send_mark(outgoing.name)
            else:
                self.reply.sent_at = self.reply.sent_at or now
                self._line.send_audio(outgoing)

    def mark_returned(self, name: str) -> None:
        """Takes a mark that came back."""
        self._marks.pop(name, None)
        if (played := self._playout.mark_returned(name, self._clock())) is not None:
            self._on_played(played)

    def stood_still(self, seconds: float) -> None:
        """Takes that this process stood still: marks may have returned that were not read yet."""
        self._marks = {name: sent_at + seconds for name, sent_at in self._marks.items()}

    def is_line_stalled(self) -> bool:
        """Returns whether the provider does not play what it receives."""
        return any(sent_at + MAX_MARK_SECONDS < self._clock() for sent_at in self._marks.values())

    async def aclose(self) -> None:
        """Cancels the syntheses in progress."""
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, reply: Reply, sentence: Sentence, *, is_interruptible: bool) -> None:
        request = sentence.event
        self._playout.begin(request.turn, request.sentence, request.text, is_interruptible=is_interruptible)
        # Sent before the reply can be declared complete, which ends its context.
        synthesis = self._speech.speak(sentence, partial(self._add_audio, reply, sentence))
        task = asyncio.create_task(self._synthesize(reply, sentence, synthesis))
        reply.tasks.append(task)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _add_audio(self, reply: Reply, sentence: Sentence, audio: bytes, alignment: Alignment | None) -> None:
        if not audio:
            return
        now = self._clock()
        reply.audible_at = reply.audible_at or now
        self._playout.add(sentence.event.turn, sentence.event.sentence, audio, alignment)
        if self._playout.lead_seconds(now) < PUMP_SECONDS:  # otherwise the pieces become as small as they come
            self.pump()

    async def _synthesize(self, reply: Reply, sentence: Sentence, synthesis: Synthesis) -> None:
        turn, number = sentence.event.turn, sentence.event.sentence
        try:
            reply.audio[number] = await synthesis()
        except RequestFailed as error:
            self._fail(reply, sentence, str(error))
        except Exception as error:
            logger.warning("sentence_failed", error=type(error).__name__, exc_info=error)
            self._fail(reply, sentence, type(error).__name__)
        else:
            self._playout.finish(turn, number)
            self.pump()

    def _fail(self, reply: Reply, sentence: Sentence, reason: str) -> None:
        """Reports a sentence that cannot be synthesized; a filler just ends, so that the reply behind it is played."""
        if sentence.event.sentence == FILLER:
            self._playout.finish(sentence.event.turn, FILLER)
            self.pump()
        else:
            self._listener.on_sentence_failed(reply, sentence, reason)

    def _declare_complete(self, reply: Reply) -> None:
        if not reply.order.is_complete or reply.is_declared_complete:
            return
        reply.is_declared_complete = True
        self._speech.finish_reply()
        self._playout.finish_turn(reply.turn)
        self.pump()
        self._finish_if_heard(reply)  # its last mark may have returned before its end was known

    def _on_played(self, played: SentencePlayed) -> None:
        reply = self.reply
        if played.turn != reply.turn or played.sentence < 0:
            return
        reply.heard.add(played.sentence)
        if (audio := reply.audio.get(played.sentence)) is not None:
            self._listener.on_sentence_heard(reply, reply.sentences[played.sentence], audio)
        self._finish_if_heard(reply)

    def _finish_if_heard(self, reply: Reply) -> None:
        if reply.is_declared_complete and reply.is_heard and not reply.is_over:
            reply.is_over = True
            self._listener.on_reply_heard(reply)

    def _clear(self) -> None:
        self._line.clear()
        self._marks.clear()
