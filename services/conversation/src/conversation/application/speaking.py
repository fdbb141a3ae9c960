"""Saying the sentences of one turn, as they come."""

from time import monotonic

from chassis.event_log import EventLog
from chassis.retry_later import RetryLater
from contracts import AudioRequested, Envelope, Event, SpeechHeard
from contracts.values import Language
from conversation.application.appending import First, event_id


class AnsweredElsewhere(RetryLater):
    """Another replica is answering this turn, or began to and may have crashed: look at the turn again later.

    The wait ends with the deadline of the turn; after it this replica closes the turn itself.
    """

    def __init__(self) -> None:
        super().__init__(delay=1.0)


class Speaker:
    """Asks for speech, sentence by sentence. The first sentence claims the turn: whoever says it says the rest.

    So no two answers are ever mixed, and the sentences after it need no guard.
    """

    def __init__(self, log: EventLog, heard: SpeechHeard, cause: Envelope, language: Language, *, last: int) -> None:
        """`last`: the sequence of the call's last ``audio.requested``, 0 if there is none."""
        self._log = log
        self._heard = heard
        self._cause = cause
        self._language = language
        self._last = last
        self._started = monotonic()
        self.said: list[str] = []
        self.first_sentence_seconds: float | None = None

    async def say(self, text: str, *, repeats: bool = False) -> None:
        """Asks for one sentence. `repeats`: a stock phrase. Raises AnsweredElsewhere."""
        event = AudioRequested(
            call_id=self._heard.call_id,
            attempt=self._heard.attempt,
            turn=self._heard.turn,
            sentence=len(self.said),
            text=text,
            language=self._language,
            is_reusable=repeats,
        )
        if self.said:
            identity = event_id(event.call_id, event.attempt, event.turn, f"sentence/{event.sentence}")
            await self._log.append(event, cause=self._cause, event_id=identity)
        else:
            await self._claim(event)
        self.said.append(text)

    async def _claim(self, event: AudioRequested) -> None:
        def alike(other: Event) -> bool:
            return isinstance(other, AudioRequested) and (other.attempt, other.turn) == (event.attempt, event.turn)

        if not await First(self._log, self._cause).append(event, last=self._last, alike=alike):
            raise AnsweredElsewhere
        self.first_sentence_seconds = monotonic() - self._started
