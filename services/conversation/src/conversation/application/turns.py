"""Answers the callee's utterances, one turn at a time.

**A turn.** `speech.heard` reports an utterance. The replica that receives it reads the call and the facts of its
attempt, and rebuilds the conversation, so any replica can answer any turn. It requests an answer from the model and
appends one `audio.requested` per sentence, as soon as the sentence is complete. So speech synthesis begins while the
model still writes. `reply.generated` closes the turn and contains the last sentence, if there are several.
`conversation.ended` follows if the reply ends the conversation.

**Deadline.** A turn has one deadline, `TURN_DEADLINE_SECONDS`. The first model, its retry and the second model share
it. If none of them answers, a fallback is published at once, so the callee always hears something (law 9).

**Two replicas.** The same utterance may reach two replicas. The first sentence of a turn is therefore a claim. It
is appended with a guard on the last `audio.requested` of the call, so the server accepts it from one replica only. The
other one publishes nothing, and the message is delivered to it again later. Sentences of two answers are never mixed.

**Second delivery.** What a message still needs follows from the log:

- *The turn has a reply.* It is closed. Only the ending is computed again, in case a crash prevented it.
- *The turn has sentences but no reply.* Another replica is answering it, or has crashed. Until the deadline has passed
  since the last sentence, the message is handled again later. Then the turn is closed with the sentences that it has;
  the model is not asked again, because the callee has heard the beginning of its answer.
- *The turn has neither.* It is answered.

**Interruptions.** In a live conversation the callee may speak while a reply is still generated. The rest of it is not
heard then: its generation is cancelled, and the turn is closed with the sentences so far. That is a hint only, which
may be lost: voice plays the reply to the newest utterance, and the history has what was heard.

**Tools.** A call whose campaign had tools when it was created reads the campaign, too. How its
tool calls are executed, once each, is in `conversation.application.turn_tools`. What a replica had begun when it
crashed is finished when the message is delivered again, unless the call has ended: that is asked of the leader.

All events have ids that follow from call, attempt and turn, or a guard, so a repeated append is stored once.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import structlog

from chassis.event_log import EventLog, StoredEvent
from contracts import (
    AudioRequested,
    ReplyGenerated,
    SpeechHeard,
    SpeechInterrupted,
    SpeechPlayed,
    ToolRequested,
)
from contracts.opt_out_phrases import is_opt_out
from conversation.application.model_chain import Answer
from conversation.application.replies import ReplyGenerator
from conversation.application.turn_events import TurnClaimed, TurnEvents
from conversation.application.turn_reading import TurnReader
from conversation.application.turn_tools import TurnTools
from conversation.domain.conversation import Conversation, Turn
from conversation.domain.ending import decide_ending, late_opt_out
from conversation.metrics import INTERRUPTED_REPLIES, count_digits, count_ending
from conversation.ports import MAX_TOOL_SECONDS, AnswerCache, Model, ToolExecutor

_TOOL_TIME = timedelta(seconds=MAX_TOOL_SECONDS)

logger = structlog.get_logger()


class Turns:
    """Answers utterances. A second delivery is harmless, see above."""

    def __init__(
        self,
        log: EventLog,
        models: Sequence[Model],
        answer_cache: AnswerCache | None = None,
        executors: Sequence[ToolExecutor] = (),
        *,
        deadline_seconds: float,
    ) -> None:
        """The first of `models` answers; the others are its fallbacks, in their order."""
        self._log = log
        self._reader = TurnReader(log)
        self._executors = executors
        self._replies = ReplyGenerator(models, answer_cache, deadline_seconds=deadline_seconds)
        self._deadline = timedelta(seconds=deadline_seconds)
        self._generations: dict[tuple[UUID, int, int], asyncio.Task[Answer]] = {}
        """The running generations by call, attempt and turn."""

    async def answer(self, heard: StoredEvent[SpeechHeard]) -> None:
        """Answers one utterance; ignores it if its attempt is over. Raises TurnClaimed: handle it again later."""
        utterance = heard.event
        basis = await self._reader.read(heard)
        facts = list(basis.facts)
        events_so_far = [*([basis.state.event] if basis.state else []), *(fact.event for fact in facts)]
        conversation = Conversation.of(events_so_far, utterance.attempt)
        if conversation is None or not conversation.is_in_progress:
            if is_opt_out(utterance.text):  # the line may have been closed before the utterance arrived
                await TurnEvents(self._log, facts, utterance, heard.envelope, utterance.language).end_conversation(
                    late_opt_out(utterance)
                )
            logger.info("utterance_ignored", attempt=utterance.attempt, turn=utterance.turn)
            return
        conversation = conversation.up_to(utterance.turn).with_tools(basis.tools, self._log.now())
        events = TurnEvents(self._log, facts, utterance, heard.envelope, conversation.call.language)
        await self._answer(conversation, utterance.turn, facts, events)

    async def _answer(
        self, conversation: Conversation, number: int, stored: list[StoredEvent], events: TurnEvents
    ) -> None:
        """Appends what the log does not yet contain of a turn."""
        turn = conversation.turn(number)
        self._check_abandoned(conversation, turn, stored)
        if any(one.result is None for one in turn.executions) and await self._reader.has_ended(
            conversation.call.call_id, conversation.attempt
        ):
            logger.info("tool_calls_left", attempt=conversation.attempt, turn=number)
            return
        tools = TurnTools(self._executors, conversation, number, events)
        try:
            conversation = await tools.resume()
            if turn.reply is None:
                reply = await self._reply(conversation, turn, events, tools)
                self._reader.answered(conversation.call.call_id, conversation.attempt, number)
                await events.close(reply)
                if reply.digits:
                    count_digits()
                conversation = conversation.with_reply(reply)
            ended = decide_ending(conversation)
            if ended and await events.end_conversation(ended):
                count_ending(ended.disposition)
        finally:
            await tools.finish()

    async def read_ahead(self, played: SpeechPlayed, sequence: int) -> None:
        """Reads the turn after a reply that was played. `sequence` is that of the event. Never raises."""
        await self._reader.read_ahead(played, sequence)

    def interrupt(self, interrupted: SpeechInterrupted) -> None:
        """Cancels the generation of replies that are not heard: that of the interrupted turn, and those before."""
        for (call_id, attempt, turn), generation in self._generations.items():
            is_of_attempt = (call_id, attempt) == (interrupted.call_id, interrupted.attempt)
            if is_of_attempt and turn <= interrupted.turn:
                generation.cancel()

    async def _reply(
        self, conversation: Conversation, turn: Turn, events: TurnEvents, tools: TurnTools
    ) -> ReplyGenerated:
        if turn.sentences:
            answer, sentences = self._replies.recover(conversation, turn.sentences), list(turn.sentences)
        else:
            answer, sentences = await self._generate(conversation, turn, events, tools), events.sentences
        answer.tool_calls = [*tools.calls, *answer.tool_calls]
        reply = _reply_of(conversation, turn, answer, sentences, events.elapsed_seconds)
        return reply.model_copy(update={"last_sentence": events.last_sentence})

    async def _generate(self, conversation: Conversation, turn: Turn, events: TurnEvents, tools: TurnTools) -> Answer:
        """Returns the answer to the last utterance, or as much of it as was published before it was interrupted."""
        generation = asyncio.create_task(self._replies.generate(conversation, events, tools))
        key = conversation.call.call_id, conversation.attempt, turn.number
        self._generations[key] = generation
        try:
            await asyncio.wait({generation})
        finally:
            self._generations.pop(key, None)
            generation.cancel()
            await asyncio.gather(generation, return_exceptions=True)
        if generation.cancelled():
            INTERRUPTED_REPLIES.inc()
            return self._replies.recover(conversation, events.sentences)
        return generation.result()

    def _check_abandoned(self, conversation: Conversation, turn: Turn, stored: list[StoredEvent]) -> None:
        """Raises TurnClaimed while the replica that began to answer this turn may still work on it."""
        of_turn = [one for one in stored if _is_of(one, conversation.attempt, turn.number)]
        tools = [one.envelope.time for one in of_turn if isinstance(one.event, ToolRequested)]
        sentences = [one.envelope.time for one in of_turn if isinstance(one.event, AudioRequested)]
        waits: list[timedelta] = []
        if any(one.result is None for one in turn.executions):
            waits.append(max(tools) + _TOOL_TIME - self._log.now())
        if turn.reply is None and (sentences or tools):
            waits.append(max([*sentences, *tools]) + self._deadline - self._log.now())
        if any(wait > timedelta() for wait in waits):
            raise TurnClaimed


def _is_of(stored: StoredEvent, attempt: int, turn: int) -> bool:
    """Whether an event is a sentence or a tool call of a turn."""
    event = stored.event
    return isinstance(event, AudioRequested | ToolRequested) and (event.attempt, event.turn) == (attempt, turn)


def _reply_of(
    conversation: Conversation, turn: Turn, answer: Answer, sentences: list[str], latency_seconds: float
) -> ReplyGenerated:
    return ReplyGenerated(
        call_id=conversation.call.call_id,
        attempt=conversation.attempt,
        turn=turn.number,
        text=" ".join(sentences),
        sentences=len(sentences),
        model=answer.model,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        first_token_seconds=None if answer.first_token_seconds is None else round(answer.first_token_seconds, 3),
        latency_seconds=round(latency_seconds, 3),
        is_fallback=answer.is_fallback,
        source=answer.source,
        digits=answer.digits,
        tool_calls=tuple(answer.tool_calls),
    )
