"""Answers the callee's utterances, one turn at a time.

**A turn.** `speech.heard` reports an utterance. The replica that receives it reads the call and the facts of its
attempt, and rebuilds the conversation, so any replica can answer any turn. It requests an answer from the model and
appends one `audio.requested` per sentence, as soon as the sentence is complete. So speech synthesis begins while the
model still writes. `reply.generated` closes the turn and contains the last sentence, if there are several.
`conversation.ended` follows if the reply ends the conversation.

**Reads.** A turn makes two, of any node: the call, and one page of its facts from the grant of the attempt on. The
utterance says where that is, so both are requested at the same time; if the call says something else, the page is read
again. A node that lags changes nothing. The page contains the utterance, so it has all facts before it; a later fact
that is missing makes the guard of an append fail, and the log is read again. Only an utterance that seems to belong to
no live attempt is checked at the leader before it is ignored.

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

from chassis.event_log import EventLog, StoredEvent, UnreadableEvent
from contracts import (
    AgentTools,
    AudioRequested,
    CallDecision,
    CampaignDecision,
    ConversationEnded,
    DigitsSent,
    ReplyGenerated,
    SpeechHeard,
    SpeechInterrupted,
    TelephonyStatusReported,
    ToolCalled,
    ToolRequested,
)
from contracts.filters import call_facts_filter, call_state_filter, campaign_state_filter
from contracts.opt_out_phrases import is_opt_out
from conversation.application.model_chain import Answer
from conversation.application.replies import ReplyGenerator
from conversation.application.turn_events import TurnClaimed, TurnEvents
from conversation.application.turn_tools import TurnTools
from conversation.domain.conversation import Conversation, Turn
from conversation.domain.ending import decide_ending, is_end, late_opt_out
from conversation.metrics import INTERRUPTED_REPLIES, count_digits, count_ending
from conversation.ports import MAX_TOOL_SECONDS, AnswerCache, Model, ToolExecutor

_KINDS = (
    SpeechHeard,
    AudioRequested,
    ReplyGenerated,
    SpeechInterrupted,
    ToolRequested,
    ToolCalled,
    DigitsSent,
    ConversationEnded,
)
"""The facts of which a conversation consists. Others are not decoded."""
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
        self._executors = executors
        self._replies = ReplyGenerator(models, answer_cache, deadline_seconds=deadline_seconds)
        self._deadline = timedelta(seconds=deadline_seconds)
        self._generations: dict[tuple[UUID, int, int], asyncio.Task[Answer]] = {}
        """The running generations by call, attempt and turn."""

    async def answer(self, heard: StoredEvent[SpeechHeard]) -> None:
        """Answers one utterance; ignores it if its attempt is over. Raises TurnClaimed: handle it again later."""
        utterance = heard.event
        state, facts, tools = await self._read(heard)
        events_so_far = [*([state.event] if state else []), *(fact.event for fact in facts)]
        conversation = Conversation.of(events_so_far, utterance.attempt)
        if conversation is None or not conversation.is_in_progress:
            if is_opt_out(utterance.text):  # the line may have been closed before the utterance arrived
                await TurnEvents(self._log, facts, utterance, heard.envelope, utterance.language).end_conversation(
                    late_opt_out(utterance)
                )
            logger.info("utterance_ignored", attempt=utterance.attempt, turn=utterance.turn)
            return
        conversation = conversation.up_to(utterance.turn).with_tools(tools, self._log.now())
        events = TurnEvents(self._log, facts, utterance, heard.envelope, conversation.call.language)
        await self._answer(conversation, utterance.turn, facts, events)

    async def _answer(
        self, conversation: Conversation, number: int, stored: list[StoredEvent], events: TurnEvents
    ) -> None:
        """Appends what the log does not yet contain of a turn."""
        turn = conversation.turn(number)
        self._check_abandoned(conversation, turn, stored)
        if any(one.result is None for one in turn.executions) and await self._has_ended(conversation):
            logger.info("tool_calls_left", attempt=conversation.attempt, turn=number)
            return
        tools = TurnTools(self._executors, conversation, number, events)
        try:
            conversation = await tools.resume()
            if turn.reply is None:
                reply = await self._reply(conversation, turn, events, tools)
                await events.close(reply)
                if reply.digits:
                    count_digits()
                conversation = conversation.with_reply(reply)
            ended = decide_ending(conversation)
            if ended and await events.end_conversation(ended):
                count_ending(ended.disposition)
        finally:
            await tools.finish()

    def interrupt(self, interrupted: SpeechInterrupted) -> None:
        """Cancels the generation of replies that are not heard: that of the interrupted turn, and those before."""
        for (call_id, attempt, turn), generation in self._generations.items():
            is_of_attempt = (call_id, attempt) == (interrupted.call_id, interrupted.attempt)
            if is_of_attempt and turn <= interrupted.turn:
                generation.cancel()

    async def _read(
        self, heard: StoredEvent[SpeechHeard]
    ) -> tuple[StoredEvent[CallDecision] | None, list[StoredEvent], AgentTools | None]:
        """Returns the state of the call, the facts of its attempt, and what its campaign lets the model do.

        No state and no facts if the attempt may not use its line.
        """
        assumed, readings = heard.event.granted_sequence, list[asyncio.Task[list[StoredEvent]]]()
        if assumed is not None and assumed < heard.sequence:
            readings.append(asyncio.create_task(self._read_facts(heard, assumed)))
        try:
            state = await self._load_live(heard.event)
            if state is None:
                return None, [], None
            call = state.event.call
            if not readings or call.granted_sequence != assumed:
                readings.append(asyncio.create_task(self._read_facts(heard, call.granted_sequence)))
            tools = await self._read_tools(call.campaign_id) if call.has_tools else None
            return state, await readings[-1], tools
        finally:
            for reading in readings:
                reading.cancel()
            await asyncio.gather(*readings, return_exceptions=True)

    async def _load_live(self, utterance: SpeechHeard) -> StoredEvent[CallDecision] | None:
        """Returns the state of the call if the attempt of the utterance may use its line; else none."""
        for read in (self._log.last_of_any_node, self._log.last):
            newest = await read(call_state_filter(utterance.call_id))
            if newest and isinstance(newest.event, CallDecision) and newest.event.call.may_use_line(utterance.attempt):
                return StoredEvent(newest.event, newest.envelope, newest.sequence)
        return None

    async def _has_ended(self, conversation: Conversation) -> bool:
        """Returns whether the leader knows that the attempt or its conversation is over.

        The network's report precedes the decision on the call.
        """
        call_id, attempt = conversation.call.call_id, conversation.attempt
        newest = await self._log.last(call_state_filter(call_id))
        if not (newest and isinstance(newest.event, CallDecision) and newest.event.call.may_use_line(attempt)):
            return True
        ends = [kind.subject_for(call_id) for kind in (TelephonyStatusReported, ConversationEnded)]
        return any(is_end(stored.event, attempt) for stored in await self._log.read(ends))

    async def _read_tools(self, campaign_id: str) -> AgentTools | None:
        """Returns the tools in the campaign's terms as they are now; none if its event cannot be read."""
        try:
            newest = await self._log.last_of_any_node(campaign_state_filter(campaign_id))
        except UnreadableEvent as error:  # the conversation goes on without them
            logger.warning("tools_unreadable", campaign=campaign_id, reasons=error.reasons)
            return None
        terms = newest.event.campaign.terms if newest and isinstance(newest.event, CampaignDecision) else None
        return terms.tools if terms else None

    async def _read_facts(self, heard: StoredEvent[SpeechHeard], granted_sequence: int | None) -> list[StoredEvent]:
        """Returns the facts of the attempt that was granted there, at least up to the utterance.

        The position is not known in a log of an older build, and is that of another log after an import.
        """
        facts = call_facts_filter(heard.event.call_id)
        if granted_sequence is None or granted_sequence >= heard.sequence:
            return await self._log.read((facts,))
        return await self._log.read_after(facts, granted_sequence, known_sequence=heard.sequence, kinds=_KINDS)

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
