"""A turn, from what was heard to the reply that closes it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic

import structlog

from chassis.event_log import EventLog, StoredEvent
from contracts import ConversationEnded, Envelope, Event, ReplyGenerated, ReplySource, SpeechHeard
from contracts.events.audio import AudioRequested
from contracts.streams import call_filters
from conversation import metrics as measures
from conversation.application.answering import Answer, Asking
from conversation.application.appending import First, event_id, last_sequence
from conversation.application.speaking import AnsweredElsewhere, Speaker
from conversation.domain.ending import SILENCES, ending, second_failure
from conversation.domain.phrases import phrases_of
from conversation.domain.prompt import messages
from conversation.domain.questions import is_for_everybody, key_of
from conversation.domain.sentences import sentences_of
from conversation.domain.talk import Talk
from conversation.ports import Answers, Model

logger = structlog.get_logger()


class Turns:
    """Answers what is heard. Idempotent: the log says whether a turn was answered, and how far.

    A turn with a reply is only looked at for an ending that a crash may have left out. A turn with sentences but no
    reply belongs to another replica: until the deadline has passed it is left alone, then it is closed with what was
    said. Two that begin at once are told apart by the server: the first sentence is appended by compare-and-set.
    """

    def __init__(self, log: EventLog, models: Sequence[Model], answers: Answers, *, deadline_seconds: float) -> None:
        """`models`: the first is asked, the others stand in for it, in their order."""
        self._log = log
        self._models = models
        self._answers = answers
        self._deadline_seconds = deadline_seconds

    async def answer(self, heard: SpeechHeard, cause: Envelope) -> None:
        """Answers one turn, unless its call is over. Raises AnsweredElsewhere: try again later."""
        facts = await self._log.read(call_filters(heard.call_id))
        talk = Talk.of([*(fact.event for fact in facts), heard], heard.attempt)
        if talk is None or talk.ended or not talk.is_on:
            logger.info("turn_not_answered", attempt=heard.attempt, turn=heard.turn)
            return
        turn = _Turn(self._log, self._models, self._answers, heard, cause, facts, talk.until(heard.turn))
        await turn.answer(self._deadline_seconds)


class _Turn:
    def __init__(
        self,
        log: EventLog,
        models: Sequence[Model],
        answers: Answers,
        heard: SpeechHeard,
        cause: Envelope,
        facts: list[StoredEvent],
        talk: Talk,
    ) -> None:
        self._models = models
        self._answers = answers
        self._heard = heard
        self._facts = facts
        self._talk = talk
        self._first = First(log, cause)
        self._phrases = phrases_of(talk.call.language)
        self._started = monotonic()
        last = last_sequence(facts, f"{AudioRequested.event_name}.{heard.call_id}")
        self._speaker = Speaker(log, heard, cause, talk.call.language, last=last)

    async def answer(self, deadline_seconds: float) -> None:
        exchange = self._talk.exchange(self._heard.turn)
        if exchange.reply is None:
            if exchange.sentences:
                self._leave_alone_for(deadline_seconds)
                reply = self._reply(list(exchange.sentences), self._recovered(exchange.sentences))
            else:
                reply = await self._converse(deadline_seconds)
            await self._close(reply)
        await self._end()

    async def _converse(self, deadline_seconds: float) -> ReplyGenerated:
        """Says something, whatever happens, and returns the reply that closes the turn."""
        answer = Answer(ReplySource.STOCK_PHRASE, self._models[0].name)
        if self._talk.silences >= SILENCES:
            await self._speaker.say(self._phrases.goodbye, repeats=True)
            return self._reply(self._speaker.said, answer)
        key = key_of(self._talk, self._models[0].name)
        if await self._answer_again(key):
            answer.step = ReplySource.CACHED_ANSWER
        else:
            answer = await self._ask(key, deadline_seconds)
        self._measure(answer)
        return self._reply(self._speaker.said, answer)

    async def _ask(self, key: str | None, deadline_seconds: float) -> Answer:
        asking = Asking(self._models, self._speaker, deadline_seconds=deadline_seconds)
        answer = await asking.ask(messages(self._talk))
        if answer.failure:
            await self._fall_back(answer)
        elif answer.ends_call and not self._speaker.said:
            await self._speaker.say(self._phrases.goodbye, repeats=True)
        elif key and not answer.tool_calls and is_for_everybody(self._talk, " ".join(self._speaker.said)):
            await self._answers.put(key, self._speaker.said)
        return answer

    async def _answer_again(self, key: str | None) -> bool:
        """Says what was answered to somebody else who asked the same, if that is known."""
        for sentence in (known := await self._answers.get(key) if key else ()):
            await self._speaker.say(sentence, repeats=True)
        return bool(known)

    async def _fall_back(self, answer: Answer) -> None:
        """The last two steps: the script's line the first time, the language's own when there is none, and goodbye."""
        logger.warning("model_failed", attempt=self._heard.attempt, turn=self._heard.turn, reason=answer.failure)
        again = second_failure(self._talk)
        if not again and self._speaker.said:
            return
        line = None if again else self._talk.fallback_line
        answer.step = ReplySource.SCRIPT_LINE if line else ReplySource.LAST_RESORT
        for sentence in sentences_of(line or self._phrases.fallback):
            await self._speaker.say(sentence, repeats=True)
        if again:
            await self._speaker.say(self._phrases.goodbye, repeats=True)

    def _recovered(self, said: Sequence[str]) -> Answer:
        """What a crash left open: the lines of the last steps are known by their words."""
        step, script = ReplySource.MODEL, sentences_of(self._talk.fallback_line or "")
        if script and list(said) == script[: len(said)]:
            step = ReplySource.SCRIPT_LINE
        if self._phrases.fallback in said:
            step = ReplySource.LAST_RESORT
        return Answer(step, self._models[0].name)

    def _reply(self, said: list[str], answer: Answer) -> ReplyGenerated:
        return ReplyGenerated(
            call_id=self._heard.call_id,
            attempt=self._heard.attempt,
            turn=self._heard.turn,
            text=" ".join(said),
            sentences=len(said),
            model=answer.model,
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
            first_token_seconds=answer.first_token_seconds,
            latency_seconds=monotonic() - self._started,
            is_fallback=answer.failure is not None or answer.step in (ReplySource.SCRIPT_LINE, ReplySource.LAST_RESORT),
            source=answer.step,
            tool_calls=tuple(answer.tool_calls),
        )

    async def _close(self, reply: ReplyGenerated) -> None:
        def alike(other: Event) -> bool:
            return isinstance(other, ReplyGenerated) and (other.attempt, other.turn) == (reply.attempt, reply.turn)

        identity = event_id(reply.call_id, reply.attempt, reply.turn, "reply")
        last = last_sequence(self._facts, reply.subject)
        if not await self._first.append(reply, last=last, alike=alike, event_id=identity):
            raise AnsweredElsewhere
        self._talk = self._talk.answered(reply)

    async def _end(self) -> None:
        """Ends the conversation if the turn, now closed, says so; computed from the log, so it can be made good."""
        ended = ending(self._talk)
        if ended is None:
            return

        def alike(other: Event) -> bool:
            return isinstance(other, ConversationEnded) and other.attempt == ended.attempt

        identity = event_id(ended.call_id, ended.attempt, ended.turn, "ended")
        last = last_sequence(self._facts, ended.subject)
        if await self._first.append(ended, last=last, alike=alike, event_id=identity):
            measures.ENDINGS.labels(disposition=ended.disposition.value).inc()

    def _leave_alone_for(self, seconds: float) -> None:
        """Raises AnsweredElsewhere while the replica that began this turn may still be at it."""
        begun = [
            fact.envelope.time
            for fact in self._facts
            if isinstance(fact.event, AudioRequested)
            and (fact.event.attempt, fact.event.turn) == (self._heard.attempt, self._heard.turn)
        ]
        if datetime.now(UTC) - max(begun) < timedelta(seconds=seconds):
            raise AnsweredElsewhere

    def _measure(self, answer: Answer) -> None:
        measures.TURN_SECONDS.observe(monotonic() - self._started)
        if answer.first_token_seconds is not None:
            measures.FIRST_TOKEN_SECONDS.observe(answer.first_token_seconds)
        if self._speaker.first_sentence_seconds is not None:
            measures.FIRST_SENTENCE_SECONDS.observe(self._speaker.first_sentence_seconds)
        measures.TOKENS.labels(kind="prompt").inc(answer.prompt_tokens or 0)
        measures.TOKENS.labels(kind="completion").inc(answer.completion_tokens or 0)
        measures.count_step(answer.step)
