"""Asking the models for the answer of one turn, one after another, and saying it while it comes."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from contracts import ReplySource, ToolCall
from conversation import metrics as measures
from conversation.application.speaking import Speaker
from conversation.domain.messages import Completion, FromAgent, Message, ToolResult
from conversation.domain.sentences import SentenceCutter
from conversation.domain.tools import END_CALL, TOOLS, read_tool_use, result_of
from conversation.ports import Model
from providers import Failure, RequestFailed

ROUNDS = 3
"""So often a model is asked in one turn, while it does nothing but call tools."""
PAUSE_SECONDS = 0.25
"""Before the first model is asked again."""
FIRST_SHARE = 0.5
"""The part of the deadline in which the first model must begin to answer, if there is a second."""


@dataclass
class Answer:
    """What came of asking; as far as it got, if the model failed. Tokens and times are those of all tries."""

    step: ReplySource
    model: str
    tool_calls: list[ToolCall] = field(default_factory=list)
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    first_token_seconds: float | None = None
    failure: Failure | None = None

    @property
    def ends_call(self) -> bool:
        """Whether the model has called `end_call`, well-formed or not."""
        return any(call.name == END_CALL for call in self.tool_calls)

    def add(self, completion: Completion) -> None:
        """Counts one more answer of the model in."""
        self.tool_calls += map(read_tool_use, completion.tool_uses)
        self.prompt_tokens = _sum(self.prompt_tokens, completion.prompt_tokens)
        self.completion_tokens = _sum(self.completion_tokens, completion.completion_tokens)

    def next(self, step: ReplySource, model: Model) -> "Answer":
        """An answer that is begun anew; what the tries before it cost is kept."""
        return Answer(step, model.name, [], self.prompt_tokens, self.completion_tokens, self.first_token_seconds)


class Asking:
    """One turn's dealings with the models, all of them before one deadline (seconds from now)."""

    def __init__(self, models: Sequence[Model], speaker: Speaker, *, deadline_seconds: float) -> None:
        self._models = models
        self._speaker = speaker
        self._clock = asyncio.get_running_loop().time
        self._started = self._clock()
        self._deadline = self._started + deadline_seconds
        self._first_by = self._started + deadline_seconds * (FIRST_SHARE if len(models) > 1 else 1)

    async def ask(self, messages: list[Message]) -> Answer:
        """Asks until there are words, or the call is to end. Never raises RequestFailed: the answer says so.

        Once something has been said nobody else is asked: two models' words do not make one answer.
        """
        first, *others = self._models
        answer = await self._try(Answer(ReplySource.MODEL, first.name), first, messages, self._first_by)
        if answer.failure and answer.failure.is_transient and self._goes_on(self._first_by - PAUSE_SECONDS):
            await asyncio.sleep(PAUSE_SECONDS)
            answer = await self._try(answer.next(ReplySource.RETRY, first), first, messages, self._first_by)
        for other in others:
            if answer.failure and self._goes_on(self._deadline):
                next_answer = answer.next(ReplySource.SECOND_MODEL, other)
                answer = await self._try(next_answer, other, messages, self._deadline)
        return answer

    def _goes_on(self, until: float) -> bool:
        return not self._speaker.said and self._clock() < until

    async def _try(self, answer: Answer, model: Model, messages: list[Message], first_by: float) -> Answer:
        try:
            await self._rounds(answer, model, messages, first_by)
        except RequestFailed as error:
            answer.failure = error.failure
            measures.MODEL_FAILURES.labels(reason=error.failure.value).inc()
        return answer

    async def _rounds(self, answer: Answer, model: Model, messages: list[Message], first_by: float) -> None:
        for _ in range(ROUNDS):
            uses = (await self._round(answer, model, messages, first_by)).tool_uses
            if self._speaker.said or answer.ends_call:
                return
            if not uses:
                break
            results = [ToolResult(use.id, result_of(read_tool_use(use))) for use in uses]
            messages = [*messages, FromAgent("", uses), *results]
        raise RequestFailed(Failure.EMPTY)

    async def _round(self, answer: Answer, model: Model, messages: list[Message], first_by: float) -> Completion:
        cutter, completion = SentenceCutter(), None
        stream = model.answer(messages, TOOLS, first_by=first_by, deadline=self._deadline)
        async with aclosing(stream) as pieces:
            async for piece in pieces:
                if isinstance(piece, Completion):
                    completion = piece
                else:
                    answer.first_token_seconds = answer.first_token_seconds or self._clock() - self._started
                    await self._say(cutter.feed(piece))
        if completion is None:
            raise RequestFailed(Failure.CUT_OFF)
        await self._say(cutter.rest())
        answer.add(completion)
        return completion

    async def _say(self, sentences: list[str]) -> None:
        for sentence in sentences:
            await self._speaker.say(sentence)


def _sum(before: int | None, more: int | None) -> int | None:
    return before if more is None else (before or 0) + more
