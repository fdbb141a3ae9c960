"""Asking the model for the answer of one turn, and saying it while it comes."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field

from contracts import ToolCall
from conversation.application.speaking import Speaker
from conversation.domain.messages import Completion, FromAgent, Message, ToolResult
from conversation.domain.sentences import SentenceCutter
from conversation.domain.tools import END_CALL, TOOLS, read_tool_use, result_of
from conversation.ports import Failure, Model, ModelFailed

ROUNDS = 3
"""So often the model is asked in one turn, while it does nothing but call tools."""


@dataclass
class Answer:
    """What came of asking; as far as it got, if the model failed."""

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


class Asking:
    """One turn's dealings with the model, all of them before one deadline (seconds from now)."""

    def __init__(self, model: Model, speaker: Speaker, *, deadline_seconds: float) -> None:
        self._model = model
        self._speaker = speaker
        self._started = asyncio.get_running_loop().time()
        self._deadline = self._started + deadline_seconds
        self._answer = Answer()

    async def ask(self, messages: list[Message]) -> Answer:
        """Asks until there are words, or the call is to end. Never raises ModelFailed: the answer says so."""
        try:
            await self._rounds(messages)
        except ModelFailed as error:
            self._answer.failure = error.failure
        return self._answer

    async def _rounds(self, messages: list[Message]) -> None:
        for _ in range(ROUNDS):
            uses = (await self._round(messages)).tool_uses
            if self._speaker.said or self._answer.ends_call:
                return
            if not uses:
                break
            results = [ToolResult(use.id, result_of(read_tool_use(use))) for use in uses]
            messages = [*messages, FromAgent("", uses), *results]
        raise ModelFailed(Failure.EMPTY)

    async def _round(self, messages: list[Message]) -> Completion:
        cutter, completion = SentenceCutter(), None
        async with aclosing(self._model.answer(messages, TOOLS, deadline=self._deadline)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Completion):
                    completion = piece
                else:
                    self._mark_first_token()
                    await self._say(cutter.feed(piece))
        if completion is None:
            raise ModelFailed(Failure.CUT_OFF)
        await self._say(cutter.rest())
        self._answer.add(completion)
        return completion

    async def _say(self, sentences: list[str]) -> None:
        for sentence in sentences:
            await self._speaker.say(sentence)

    def _mark_first_token(self) -> None:
        if self._answer.first_token_seconds is None:
            self._answer.first_token_seconds = asyncio.get_running_loop().time() - self._started


def _sum(before: int | None, more: int | None) -> int | None:
    return before if more is None else (before or 0) + more
