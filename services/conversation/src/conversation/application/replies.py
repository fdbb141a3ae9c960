"""Generates the agent's reply to one utterance.

The sources of a reply, in their order:

1. A goodbye to a person who wants no more calls, or after too many silences.
2. The greeting, for a call-screening assistant that asks who calls and why. If it asks again, the reply is empty.
3. The answer cache.
4. The models (`conversation.application.model_chain`).
5. The fallback line of the script.
6. The last resort: the fallback phrase of the language.

After the second failure in a row a goodbye follows, because a repeated fallback is worse than the end of the call.
"""

from collections.abc import Sequence

import structlog

from contracts import ReplySource
from conversation import metrics
from conversation.application.model_chain import Answer, ModelChain
from conversation.application.turn_events import TurnEvents
from conversation.application.turn_tools import TurnTools
from conversation.domain.answer_cache import cache_key, is_reusable
from conversation.domain.conversation import Conversation
from conversation.domain.ending import MAX_SILENCES, has_failed_before
from conversation.domain.phrases import phrases_of
from conversation.domain.prompt import messages_for
from conversation.domain.sentences import sentences_of
from conversation.ports import AnswerCache, Model

logger = structlog.get_logger()


class ReplyGenerator:
    """Generates replies; `models` are tried in their order, all within `deadline_seconds`."""

    def __init__(self, models: Sequence[Model], answer_cache: AnswerCache | None, *, deadline_seconds: float) -> None:
        self._models = models
        self._answer_cache = answer_cache
        self._deadline_seconds = deadline_seconds

    async def generate(self, conversation: Conversation, events: TurnEvents, tools: TurnTools) -> Answer:
        """Publishes the sentences of the reply to the last utterance, also if every model fails.

        Raises TurnClaimed if another replica answers the turn.
        """
        first_model = self._models[0].name
        if conversation.has_opted_out:
            await events.publish_sentence(phrases_of(conversation.call.language).opted_out, is_reusable=True)
            return Answer(ReplySource.STOCK_PHRASE, first_model)
        if conversation.last_silences >= MAX_SILENCES:
            await self._publish_goodbye(conversation, events)
            return Answer(ReplySource.STOCK_PHRASE, first_model)
        if prompts := conversation.screening_prompts:
            if prompts == 1:
                await events.publish_sentence(conversation.greeting, is_reusable=True)
            return Answer(ReplySource.SCREENING_ANSWER, first_model)
        key = cache_key(conversation, first_model) if self._answer_cache else None
        answer = await self._cached(key, events) or await self._generated(conversation, key, events, tools)
        _observe(answer, events)
        return answer

    def recover(self, conversation: Conversation, sentences: Sequence[str]) -> Answer:
        """Returns the answer of a turn whose replica crashed; its source follows from the published sentences."""
        source, script_line = ReplySource.MODEL, " ".join(sentences_of(conversation.fallback_line or ""))
        if conversation.screening_prompts:
            source = ReplySource.SCREENING_ANSWER
        if sentences and f"{script_line} ".startswith(f"{' '.join(sentences)} "):  # older builds cut it elsewhere
            source = ReplySource.SCRIPT_LINE
        phrases = phrases_of(conversation.call.language)
        if phrases.fallback in sentences:
            source = ReplySource.LAST_RESORT
        if phrases.opted_out in sentences:
            source = ReplySource.STOCK_PHRASE
        return Answer(source, self._models[0].name)

    async def _cached(self, key: str | None, events: TurnEvents) -> Answer | None:
        """Publishes the cached answer to the same question and returns it; none if the cache has none."""
        sentences = await self._answer_cache.get(key) if self._answer_cache and key else ()
        for sentence in sentences:
            await events.publish_sentence(sentence, is_reusable=True)
        return Answer(ReplySource.CACHED_ANSWER, self._models[0].name) if sentences else None

    async def _generated(
        self, conversation: Conversation, key: str | None, events: TurnEvents, tools: TurnTools
    ) -> Answer:
        chain = ModelChain(self._models, events, tools, deadline_seconds=self._deadline_seconds)
        answer = await chain.answer(messages_for(conversation))
        if answer.failure:
            await self._fall_back(conversation, answer, events)
        elif answer.ends_call and not events.has_begun_answer:
            await self._publish_goodbye(conversation, events)
        elif key and not answer.tool_calls:
            await self._cache(conversation, key, events.sentences)
        return answer

    async def _cache(self, conversation: Conversation, key: str, sentences: list[str]) -> None:
        if self._answer_cache and is_reusable(conversation, " ".join(sentences)):
            await self._answer_cache.put(key, sentences)

    async def _fall_back(self, conversation: Conversation, answer: Answer, events: TurnEvents) -> None:
        """Publishes a fallback. After a first failure, sentences that were published already are the reply instead."""
        turn = conversation.turns[-1].number
        logger.warning("model_failed", attempt=conversation.attempt, turn=turn, reason=answer.failure)
        is_second_failure = has_failed_before(conversation)
        if events.has_begun_answer and not is_second_failure:
            return
        line = None if is_second_failure else conversation.fallback_line
        answer.source = ReplySource.SCRIPT_LINE if line else ReplySource.LAST_RESORT
        for sentence in sentences_of(line or phrases_of(conversation.call.language).fallback):
            await events.publish_sentence(sentence, is_reusable=True)
        if is_second_failure:
            await self._publish_goodbye(conversation, events)

    async def _publish_goodbye(self, conversation: Conversation, events: TurnEvents) -> None:
        await events.publish_sentence(phrases_of(conversation.call.language).goodbye, is_reusable=True)


def _observe(answer: Answer, events: TurnEvents) -> None:
    metrics.TURN_SECONDS.observe(events.elapsed_seconds)
    if answer.first_token_seconds is not None:
        metrics.FIRST_TOKEN_SECONDS.observe(answer.first_token_seconds)
    if events.first_sentence_seconds is not None:
        metrics.FIRST_SENTENCE_SECONDS.observe(events.first_sentence_seconds)
    metrics.TOKENS.labels(kind="prompt").inc(answer.prompt_tokens or 0)
    metrics.TOKENS.labels(kind="completion").inc(answer.completion_tokens or 0)
    metrics.count_source(answer.source)
