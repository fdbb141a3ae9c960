"""Answers the callee's utterances, one turn at a time.

**A turn.** `speech.heard` reports an utterance. The replica that receives it reads the call and the facts of its
attempt, and rebuilds the conversation, so any replica can answer any turn. It requests an answer from the model and
appends one `audio.requested` per sentence, as soon as the sentence is complete. So speech synthesis begins while the
model still writes. `reply.generated` closes the turn and contains the last sentence, if there are several.
`conversation.ended` follows if the reply ends the conversation.

**Reads.** A turn makes two, of any node: the call, and one page of its facts from the grant of the attempt on. A node
that lags changes nothing. The page contains the utterance, so it has all facts before it; a later fact that is missing
makes the guard of an append fail, and the log is read again. Only an utterance that seems to belong to no live attempt
is checked at the leader before it is ignored.

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
    Call,
    CallDecision,
    ConversationEnded,
    ReplyGenerated,
    SpeechHeard,
    SpeechInterrupted,
)
from contracts.filters import call_facts_filter, call_state_filter
from contracts.opt_out_phrases import is_opt_out
from conversation.application.model_chain import Answer
from conversation.application.replies import ReplyGenerator
from conversation.application.turn_events import TurnClaimed, TurnEvents
from conversation.domain.conversation import Conversation, Turn
from conversation.domain.ending import decide_ending, late_opt_out
from conversation.metrics import INTERRUPTED_REPLIES, count_ending
from conversation.ports import AnswerCache, Model

_KINDS = (SpeechHeard, AudioRequested, ReplyGenerated, SpeechInterrupted, ConversationEnded)
"""The facts of which a conversation consists. Others are not decoded."""

logger = structlog.get_logger()


class Turns:
    """Answers utterances. A second delivery is harmless, see above."""

    def __init__(
        self,
        log: EventLog,
        models: Sequence[Model],
        answer_cache: AnswerCache | None = None,
        *,
        deadline_seconds: float,
    ) -> None:
        """The first of `models` answers; the others are its fallbacks, in their order."""
        self._log = log
        self._replies = ReplyGenerator(models, answer_cache, deadline_seconds=deadline_seconds)
        self._deadline = timedelta(seconds=deadline_seconds)
        self._generations: dict[tuple[UUID, int, int], asyncio.Task[Answer]] = {}
        """The running generations by call, attempt and turn."""

    async def answer(self, heard: StoredEvent[SpeechHeard]) -> None:
        """Answers one utterance; ignores it if its attempt is over. Raises TurnClaimed: handle it again later."""
        utterance = heard.event
        state = await self._load_live(utterance)
        facts = await self._read_facts(state.event.call, heard.sequence) if state else []
        events_so_far = [*([state.event] if state else []), *(fact.event for fact in facts)]
        conversation = Conversation.of(events_so_far, utterance.attempt)
        if conversation is None or not conversation.is_in_progress:
            if is_opt_out(utterance.text):  # the line may have been closed before the utterance arrived
                await TurnEvents(self._log, facts, utterance, heard.envelope, utterance.language).end_conversation(
                    late_opt_out(utterance)
                )
            logger.info("utterance_ignored", attempt=utterance.attempt, turn=utterance.turn)
            return
        conversation = conversation.up_to(utterance.turn)
        events = TurnEvents(self._log, facts, utterance, heard.envelope, conversation.call.language)
        turn = conversation.turn(utterance.turn)
        if turn.reply is None:
            reply = await self._reply(conversation, turn, facts, events)
            await events.close(reply)
            conversation = conversation.with_reply(reply)
        ended = decide_ending(conversation)
        if ended and await events.end_conversation(ended):
            count_ending(ended.disposition)

    def interrupt(self, interrupted: SpeechInterrupted) -> None:
        """Cancels the generation of replies that are not heard: that of the interrupted turn, and those before."""
        for (call_id, attempt, turn), generation in self._generations.items():
            is_of_attempt = (call_id, attempt) == (interrupted.call_id, interrupted.attempt)
            if is_of_attempt and turn <= interrupted.turn:
                generation.cancel()

    async def _load_live(self, utterance: SpeechHeard) -> StoredEvent[CallDecision] | None:
        """Returns the state of the call if the attempt of the utterance may use its line; else none."""
        for read in (self._log.last_of_any_node, self._log.last):
            newest = await read(call_state_filter(utterance.call_id))
            if newest and isinstance(newest.event, CallDecision) and newest.event.call.may_use_line(utterance.attempt):
                return StoredEvent(newest.event, newest.envelope, newest.sequence)
        return None

    async def _read_facts(self, call: Call, heard_sequence: int) -> list[StoredEvent]:
        """Returns the facts of the present attempt, at least up to the utterance.

        The call has no position of its grant in a log of an older build, and that of another log after an import.
        """
        facts = call_facts_filter(call.call_id)
        if call.granted_sequence is None or call.granted_sequence >= heard_sequence:
            return await self._log.read((facts,))
        return await self._log.read_after(facts, call.granted_sequence, known_sequence=heard_sequence, kinds=_KINDS)

    async def _reply(
        self, conversation: Conversation, turn: Turn, stored: list[StoredEvent], events: TurnEvents
    ) -> ReplyGenerated:
        if turn.sentences:
            self._check_abandoned(conversation, turn, stored)
            answer, sentences = self._replies.recover(conversation, turn.sentences), list(turn.sentences)
        else:
            answer, sentences = await self._generate(conversation, turn, events), events.sentences
        reply = _reply_of(conversation, turn, answer, sentences, events.elapsed_seconds)
        return reply.model_copy(update={"last_sentence": events.last_sentence})

    async def _generate(self, conversation: Conversation, turn: Turn, events: TurnEvents) -> Answer:
        """Returns the answer to the last utterance, or as much of it as was published before it was interrupted."""
        generation = asyncio.create_task(self._replies.generate(conversation, events))
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
        """Raises TurnClaimed while the replica that published this turn's sentences may still answer."""
        last_sentence_at = max(
            one.envelope.time
            for one in stored
            if isinstance(one.event, AudioRequested)
            and (one.event.attempt, one.event.turn) == (conversation.attempt, turn.number)
        )
        if self._log.now() - last_sentence_at < self._deadline:
            raise TurnClaimed


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
        tool_calls=tuple(answer.tool_calls),
    )
