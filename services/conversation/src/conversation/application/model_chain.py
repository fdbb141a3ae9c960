"""Requests the answer of one turn from the models: the first, the first once more, then the others in order.

An answer that calls tools which are executed at once (`conversation.application.turn_tools`) is not the end: the model
gets their results and goes on. The words before such a call are published at once, so the callee hears them meanwhile.
A model that fails after results is replaced as at the start of a turn, and the next one goes on from the results.

The chain of fallbacks and the reasons for it are in docs/adr/0011; what follows when every model fails is in
`conversation.application.replies`.
"""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from contracts import ReplySource, ToolCall
from conversation.application.turn_events import TurnEvents
from conversation.application.turn_tools import MAX_ROUNDS as MAX_TOOL_ROUNDS
from conversation.application.turn_tools import TurnTools
from conversation.domain.digits import digits_of
from conversation.domain.messages import AgentMessage, Completion, Message, TextEnd, ToolResult, ToolUseBegun
from conversation.domain.sentences import SentenceCutter
from conversation.domain.tools import END_CALL, read_tool_use, result_of
from conversation.metrics import MODEL_FAILURES
from conversation.ports import Model
from providers import Failure, RequestFailed

MAX_ROUNDS = 3
"""How many requests a model gets in one turn while it answers with notes only."""
RETRY_PAUSE_SECONDS = 0.25
FIRST_MODEL_SHARE = 0.5
"""The part of the deadline in which the first model must begin to answer, if there is a second one."""


class ToolsOverran(RequestFailed):
    """The tools of a turn were not ready by its deadline. No model has failed."""


@dataclass
class Answer:
    """The answer to one turn, or how far it got before the model failed.

    Tokens and times include the failed requests before it.
    """

    source: ReplySource
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

    @property
    def is_fallback(self) -> bool:
        """Whether the models failed, so that the callee heard no answer or only part of one."""
        return self.failure is not None or self.source in (ReplySource.SCRIPT_LINE, ReplySource.LAST_RESORT)

    @property
    def digits(self) -> str:
        """The keys that the answer presses after its words; empty: none, or the call ends."""
        return "" if self.failure or self.ends_call else digits_of(self.tool_calls)

    def add(self, completion: Completion, tools: TurnTools) -> None:
        """Adds the tool calls and tokens of a completed request. Executed tool calls are in `TurnTools`."""
        self.tool_calls += [read_tool_use(use) for use in completion.tool_uses if not tools.executes(use.name)]
        self.prompt_tokens = _sum(self.prompt_tokens, completion.prompt_tokens)
        self.completion_tokens = _sum(self.completion_tokens, completion.completion_tokens)

    def restarted(self, source: ReplySource, model: Model) -> "Answer":
        """Returns an empty answer from another source that keeps tokens and times."""
        return Answer(source, model.name, [], self.prompt_tokens, self.completion_tokens, self.first_token_seconds)


class ModelChain:
    """The requests of one turn. They share one deadline, `deadline_seconds` from now."""

    def __init__(
        self, models: Sequence[Model], events: TurnEvents, tools: TurnTools, *, deadline_seconds: float
    ) -> None:
        self._models = models
        self._events = events
        self._tools = tools
        self._clock = asyncio.get_running_loop().time
        self._started_at = self._clock()
        self._deadline_at = self._started_at + deadline_seconds
        self._first_share = FIRST_MODEL_SHARE if len(models) > 1 else 1
        self._first_by = self._started_at + deadline_seconds * self._first_share

    async def answer(self, messages: list[Message]) -> Answer:
        """Requests answers until one has words or ends the call, and publishes its sentences as they come.

        Never raises RequestFailed: `Answer.failure` has the failure of the last request. After the first published
        sentence of an answer no other model is asked, because sentences of two models do not make one answer.
        """
        first, *others = self._models
        answer = await self._try(Answer(ReplySource.MODEL, first.name), first, messages, self._first_by)
        is_transient = answer.failure is not None and answer.failure.is_transient
        if is_transient and self._may_continue(self._first_by - RETRY_PAUSE_SECONDS):
            await asyncio.sleep(RETRY_PAUSE_SECONDS)
            answer = await self._try(answer.restarted(ReplySource.RETRY, first), first, messages, self._first_by)
        for other in others:
            if answer.failure and self._may_continue(self._deadline_at):
                restarted = answer.restarted(ReplySource.SECOND_MODEL, other)
                answer = await self._try(restarted, other, messages, self._deadline_at)
        return answer

    def _may_continue(self, deadline_at: float) -> bool:
        return not self._events.has_begun_answer and self._clock() < deadline_at

    async def _try(self, answer: Answer, model: Model, messages: list[Message], first_by: float) -> Answer:
        try:
            await self._complete(answer, model, messages, first_by)
        except RequestFailed as error:
            answer.failure = error.failure
            if not isinstance(error, ToolsOverran):
                MODEL_FAILURES.labels(reason=error.failure.value).inc()
        return answer

    async def _complete(self, answer: Answer, model: Model, messages: list[Message], first_by: float) -> None:
        """Repeats the request with the results of the tool calls, until the answer has words, keys or the end."""
        messages, begun_rounds = [*messages, *self._tools.messages], self._tools.rounds
        for number in range(MAX_ROUNDS + MAX_TOOL_ROUNDS):
            completion, text = await self._request(answer, model, messages, first_by)
            uses = completion.tool_uses
            if any(self._tools.executes(use.name) for use in uses):
                sent = len(self._tools.messages)
                if not answer.ends_call:
                    self._events.await_answer()
                await self._run_tools(text, completion)
                if answer.ends_call:
                    return
                messages = [*messages, *self._tools.messages[sent:]]
                first_by = max(first_by, self._share_of_rest())
                continue
            if self._events.has_begun_answer or answer.ends_call or answer.digits:
                return
            if not uses or number + 1 >= MAX_ROUNDS + self._tools.rounds - begun_rounds:
                break
            results = [ToolResult(use.id, result_of(read_tool_use(use))) for use in uses]
            messages = [*messages, AgentMessage("", uses), *results]
        raise RequestFailed(Failure.EMPTY)

    async def _run_tools(self, text: str, completion: Completion) -> None:
        """Executes the tool calls of an answer. Raises RequestFailed at the deadline of the turn."""
        try:
            await self._tools.run(text, completion.tool_uses, self._deadline_at)
        except TimeoutError as error:
            raise ToolsOverran(Failure.DEADLINE) from error

    def _share_of_rest(self) -> float:
        """Returns the instant by which the first model must go on after results, if there is a second one."""
        now = self._clock()
        return now + (self._deadline_at - now) * self._first_share

    async def _request(
        self, answer: Answer, model: Model, messages: list[Message], first_by: float
    ) -> tuple[Completion, str]:
        """Returns the end of an answer and its text. Publishes its sentences, those before a tool call at once."""
        cutter, completion, text = SentenceCutter(), None, ""
        stream = model.answer(messages, self._tools.offered, first_by=first_by, deadline_at=self._deadline_at)
        async with aclosing(stream) as pieces:
            async for piece in pieces:
                if isinstance(piece, Completion):
                    completion = piece
                elif isinstance(piece, ToolUseBegun | TextEnd):
                    is_executed = isinstance(piece, ToolUseBegun) and self._tools.executes(piece.name)
                    if is_executed or not self._events.has_begun_answer:
                        await self._publish(cutter.flush())
                else:
                    answer.first_token_seconds = answer.first_token_seconds or self._clock() - self._started_at
                    text += piece
                    await self._publish(cutter.feed(piece))
        if completion is None:
            raise RequestFailed(Failure.CUT_OFF)
        if any(self._tools.executes(use.name) for use in completion.tool_uses):
            await self._publish(cutter.flush())
        for sentence in cutter.flush():
            await self._events.publish_last_sentence(sentence)
        answer.add(completion, self._tools)
        return completion, text

    async def _publish(self, sentences: list[str]) -> None:
        for sentence in sentences:
            await self._events.publish_sentence(sentence)


def _sum(total: int | None, addend: int | None) -> int | None:
    return total if addend is None else (total or 0) + addend
