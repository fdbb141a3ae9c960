"""What the agent says in one call whose provider speaks: the sentences of the newest turn, as text.

Only the newest turn is spoken. A sentence is sent as soon as it is requested, and never again: what was heard of it is
known from the provider's reports (`domain.live.relay_playback`). A reply is one talk cycle; a filler is one of its own.
"""

import asyncio

from contracts import SentenceAudio
from voice.application.live.speaker import Listener, Reply
from voice.application.speech.synthesis import Sentence, SpeechSynthesis
from voice.domain.live.playout import FILLER, Heard, Playing
from voice.domain.live.relay_playback import SECONDS_PER_CHARACTER, RelayPlayback
from voice.ports import TextLine

PROVIDER = "conversation_relay"
"""What speaks, as the log names it."""


class RelayRecord:
    """Implements `speech_record.SpeechRecord`. The provider speaks, so nothing is synthesized here."""

    def __init__(self, synthesis: SpeechSynthesis) -> None:
        self._synthesis = synthesis

    async def record(self, sentence: Sentence, audio: SentenceAudio) -> None:
        """See the interface."""
        await self._synthesis.record_ready(sentence, [audio])

    async def record_failure(self, sentence: Sentence, reason: str) -> None:
        """See the interface."""
        await self._synthesis.record_failure(sentence, reason)


class RelaySpeaking:
    """Implements `speaker.Speaker`."""

    underruns = 0

    def __init__(self, line: TextLine, listener: Listener, *, language: str) -> None:
        self._line = line
        self._listener = listener
        self._language = language
        self._playback = RelayPlayback()
        self._is_cycle_open = False
        self._interrupted: Heard | None = None
        """What was heard until the interruption that the provider has just reported."""
        self._clock = asyncio.get_running_loop().time
        self.reply = Reply(-1, is_over=True)

    def begin(self, turn: int, first_sentence: int = 0) -> None:
        """See the interface."""
        self.reply = Reply(turn, first_sentence)

    def add(self, sentence: Sentence, *, is_interruptible: bool = True) -> None:
        """See the interface."""
        reply = self.reply
        reply.requested_at = reply.requested_at or self._clock()
        for ready in reply.order.add(sentence.event.sentence, sentence):
            reply.sentences[ready.event.sentence] = ready
            if ready.event.sentence >= reply.first_sentence:
                self._send(ready, is_interruptible=is_interruptible)
        self._declare_complete(reply)

    def add_filler(self, sentence: Sentence) -> None:
        """See the interface. The reply waits for its end."""
        self._end_cycle()
        self._line.speak(sentence.event.text, self._language, is_last=True, is_preemptible=False)
        self._playback.add(sentence.event.turn, FILLER, sentence.event.text, self._clock())

    def press_keys(self, digits: str) -> None:
        """See the interface."""
        self._line.press_keys(digits)

    def close(self, count: int) -> None:
        """See the interface."""
        self.reply.order.close(count)
        self._declare_complete(self.reply)

    def playing(self) -> Playing | None:
        """See the interface."""
        return self._playback.playing(self._clock())

    def is_audible(self) -> bool:
        """See the interface."""
        return self._playback.is_audible(self._clock())

    def heard(self) -> Heard | None:
        """See the interface."""
        return self._playback.heard(self.reply.turn, self._clock())

    def pause(self) -> None:
        """See the interface. The provider decides what interrupts, and pauses nothing."""

    def resume(self) -> None:
        """See the interface, and `pause`."""

    def interrupt(self) -> Heard:
        """See the interface. What the provider still speaks of the reply, the next one replaces."""
        reply, reported = self.reply, self._interrupted
        heard = reported or self._playback.heard(reply.turn, self._clock())
        self._interrupted = None
        self._end_cycle()
        self._playback.clear(is_by_provider=reported is not None)
        reply.is_over = True
        return heard

    def pump(self) -> None:
        """See the interface."""
        self._playback.check(self._clock())
        self._report()

    def is_line_stalled(self) -> bool:
        """See the interface. Nothing tells."""
        return False

    async def aclose(self) -> None:
        """See the interface."""

    def interrupted(self, utterance: str, seconds: float | None) -> None:
        """Takes that the provider has stopped speaking; `interrupt` follows. `utterance`: what it had spoken."""
        self._interrupted = self._playback.heard_until(self.reply.turn, utterance, seconds, self._clock())

    def words_played(self, text: str) -> None:
        """Takes the next words that the callee heard."""
        self._playback.words_played(text)
        self._report()

    def agent_speaking(self, is_speaking: bool) -> None:
        """Takes that our speech begins to be heard, or ends."""
        if is_speaking and self.reply.sentences:
            self.reply.audible_at = self.reply.audible_at or self._clock()
        self._playback.speaking(is_speaking, self._clock())
        self._report()

    def _send(self, sentence: Sentence, *, is_interruptible: bool) -> None:
        request = sentence.event
        self._is_cycle_open = True
        self._line.speak(
            request.text.strip() + " ",
            self._language,
            is_last=False,
            is_interruptible=is_interruptible,
            is_preemptible=is_interruptible,
        )
        self._playback.add(
            request.turn, request.sentence, request.text, self._clock(), is_interruptible=is_interruptible
        )

    def _declare_complete(self, reply: Reply) -> None:
        if not reply.order.is_complete or reply.is_declared_complete:
            return
        reply.is_declared_complete = True
        self._end_cycle()
        self._report()  # its end may be known after it was heard

    def _end_cycle(self) -> None:
        if self._is_cycle_open:
            self._is_cycle_open = False
            self._line.end_cycle()

    def _report(self) -> None:
        reply = self.reply
        for turn, number in self._playback.take_heard():
            if turn != reply.turn or number == FILLER or reply.is_over:
                continue
            reply.heard.add(number)
            sentence = reply.sentences[number]
            seconds = round(len(sentence.event.text) * SECONDS_PER_CHARACTER, 3)
            audio = SentenceAudio(sentence=number, duration_seconds=seconds, is_cached=False, provider=PROVIDER)
            self._listener.on_sentence_heard(reply, sentence, audio)
        if reply.is_declared_complete and reply.is_heard and not reply.is_over and not self.is_audible():
            reply.is_over = True
            self._listener.on_reply_heard(reply)
