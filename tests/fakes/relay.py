"""A call whose provider speaks and transcribes, in virtual time, with fakes at all its ends."""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self, cast

from tests.builders.events import status_changed
from tests.fakes.live import Answer, FollowedEventLog, LiveFixture

from chassis.event_log import StoredEvent
from contracts import CallDecision, MediaClosedReason
from contracts.vocabulary import ConversationMode
from voice.application.live.call_record import CallRecord
from voice.application.live.relay_call import RelayCall
from voice.application.live.relay_speaking import RelayRecord
from voice.application.speech.synthesis import SpeechSynthesis
from voice.domain.live.turn_policy import TurnPolicy

if TYPE_CHECKING:
    from chassis.event_log import EventLog

SECONDS_PER_CHARACTER = 0.05
FIRST_SOUND_SECONDS = 0.2


@dataclass(frozen=True)
class Text:
    text: str
    cycle: int
    is_interruptible: bool
    is_preemptible: bool


@dataclass
class FakeTextLine:
    """Speaks 20 characters a second, word by word, and reports it as Twilio does."""

    call: RelayCall | None = None
    has_reports: bool = True
    sent: list[Text | None] = field(default_factory=list)
    """None: the end of a cycle."""
    digits: str = ""
    heard: list[str] = field(default_factory=list)
    """All words that the callee has heard."""
    _texts: list[Text] = field(default_factory=list)
    _cycle: int = 0
    _spoken: list[str] = field(default_factory=list)
    _since: float = 0.0
    _has_texts: asyncio.Event = field(default_factory=asyncio.Event)

    def speak(
        self, text: str, language: str, *, is_last: bool, is_interruptible: bool = True, is_preemptible: bool = True
    ) -> None:
        one = Text(text, self._cycle, is_interruptible, is_preemptible)
        self._texts = [old for old in self._texts if old.cycle == one.cycle or not old.is_preemptible]
        self.sent.append(one)
        self._texts.append(one)
        self._has_texts.set()
        if is_last:
            self._cycle += 1

    def press_keys(self, digits: str) -> None:
        self.digits += digits

    def end_cycle(self) -> None:
        self.sent.append(None)
        self._cycle += 1

    async def run(self) -> None:
        assert self.call is not None
        while True:
            await self._has_texts.wait()
            self._has_texts.clear()
            await asyncio.sleep(FIRST_SOUND_SECONDS)
            self._report_speaking(True)
            self._spoken, self._since = [], asyncio.get_running_loop().time()
            while self._texts:
                await self._speak(self._texts[0])
            self._report_speaking(False)

    def interrupt(self) -> str:
        """The callee interrupts: the rest is discarded. Returns what was heard of it."""
        assert self.call is not None
        self._texts = [one for one in self._texts if not one.is_interruptible]
        heard = " ".join(self._spoken)
        self.call.receive_interruption(heard, asyncio.get_running_loop().time() - self._since)
        return heard

    async def _speak(self, text: Text) -> None:
        assert self.call is not None
        for word in text.text.split():
            await asyncio.sleep((len(word) + 1) * SECONDS_PER_CHARACTER)
            if text not in self._texts:
                return
            self._spoken.append(word)
            self.heard.append(word)
            if self.has_reports:
                self.call.receive_words_played(word)
        self._texts.remove(text)

    def _report_speaking(self, is_speaking: bool) -> None:
        assert self.call is not None
        if self.has_reports:
            self.call.receive_speaking(is_agent=True, is_speaking=is_speaking)


class RelayFixture(LiveFixture):
    """A relay call in virtual time, and its callee. Use it as a context manager."""

    relay: RelayCall

    def __init__(
        self, *answers: Answer, log: FollowedEventLog | None = None, generation: int = 1, **changes: object
    ) -> None:
        super().__init__(*answers, log=log, generation=generation, **changes)
        self.call = self.call.model_copy(update={"mode": ConversationMode.RELAY})
        self.text = FakeTextLine()

    async def __aenter__(self) -> Self:
        log = cast("EventLog", self.log)
        state = self.log.store(status_changed(self.call))
        assert isinstance(state.event, CallDecision)
        record = CallRecord(log, self.stream, StoredEvent(state.event, state.envelope, state.sequence))
        speech = RelayRecord(SpeechSynthesis([self.http], self.clips, log))
        session = f"VX{self.stream.generation}"
        self.relay = RelayCall(self.stream, session, self.call, self.text, record, speech, self.log, TurnPolicy())
        self.text.call = self.relay
        works = self.text.run(), self._conversation(), self.ticks(self.relay)
        self._tasks = [asyncio.create_task(work) for work in works]
        self.running = asyncio.create_task(self.relay.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self.running.done():
            self.relay.end(MediaClosedReason.HANG_UP)
        self.reason = await self.running
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def say(self, text: str, *, interrupts: bool = False) -> str:
        """The callee says something. Returns what was heard of the reply that it interrupts."""
        self.relay.receive_speaking(is_agent=False, is_speaking=True)
        heard = self.text.interrupt() if interrupts else ""
        await asyncio.sleep(0.5)
        self.relay.receive_speaking(is_agent=False, is_speaking=False)
        await asyncio.sleep(0.3)
        self.relay.receive_prompt(text, is_last=True)
        return heard
