"""Executes the tool calls of one turn (docs/tools.md).

**Once.** A tool call is claimed by `conversation.tool_requested`, which has the model's arguments, before it is
executed; `conversation.tool_called` has its result. A tool call whose result is in the log is never executed again. One
that has begun and has no result, because its replica crashed, is executed again with the same arguments and the same
identity, so that the other side can recognize it.

**Interruptions and deadlines.** A tool call that has begun is finished, and its result is stored, also if the callee
interrupts the reply or the deadline of the turn passes meanwhile: it may have changed something. The model of the
next turn then sees its result.
"""

import asyncio
import traceback
from collections.abc import Iterable, Mapping, Sequence
from time import monotonic

import structlog

from contracts import ToolCall, ToolCalled, ToolRequested, ToolStatus
from conversation.application.turn_events import TurnEvents
from conversation.domain.conversation import Conversation
from conversation.domain.digits import SEND_DIGITS_TOOL
from conversation.domain.messages import AgentMessage, Message, ToolResult, ToolUse
from conversation.domain.tool_execution import ToolExecution, ToolOutcome
from conversation.domain.tools import TOOLS, Tool, read_tool_use, result_of
from conversation.metrics import count_tool
from conversation.ports import ToolExecutor, ToolInvocation

MAX_ROUNDS = 3
"""How often the model gets results in one turn and may call tools again."""
MAX_EXECUTIONS = 8
"""How many tool calls of one turn are executed."""
_TOO_MANY = "not executed: too many tool calls in one answer"
_FAILED = "the tool failed"

logger = structlog.get_logger()


class TurnTools:
    """The tools that the model may call in one turn, and those that it has called."""

    def __init__(
        self, executors: Sequence[ToolExecutor], conversation: Conversation, turn: int, events: TurnEvents
    ) -> None:
        """`conversation` has the tool calls of this turn that are in the log already."""
        self._events = events
        self._conversation = conversation
        self._turn = turn
        self._executors, self._offered = _offered(executors, conversation)
        self._executions = list(conversation.turn(turn).executions)
        self._rounds = 0
        self._running: set[asyncio.Task[None]] = set()
        self.messages: list[Message] = []
        """The tool calls of this turn and their results, as far as the conversation does not contain them."""

    @property
    def offered(self) -> tuple[Tool, ...]:
        """What the model may call in its next request. After `MAX_ROUNDS` it has to answer with what it knows."""
        offered = (*TOOLS, *self._offered) if self._rounds < MAX_ROUNDS else TOOLS
        may_send_digits = self._conversation.tools is not None and self._conversation.tools.may_send_digits
        return (*offered, SEND_DIGITS_TOOL) if may_send_digits else offered

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """All executed tool calls of the turn, for the reply."""
        return tuple(read_tool_use(ToolUse("", one.name, one.arguments)) for one in self._executions)

    @property
    def rounds(self) -> int:
        """How often the model has been given results in this turn."""
        return self._rounds

    def executes(self, name: str) -> bool:
        """Whether a tool is executed now. The others only have an effect when the reply is complete."""
        return name in self._executors and self._rounds < MAX_ROUNDS

    async def run(self, text: str, uses: tuple[ToolUse, ...], deadline_at: float) -> None:
        """Executes the tool calls of an answer and adds the messages that the next request has.

        Raises TimeoutError at the deadline, an instant of the running loop's clock; the tools go on (`finish`).
        """
        results: dict[int, str] = {}
        task = asyncio.create_task(self._run_round(uses, results))
        self._running.add(task)
        async with asyncio.timeout_at(deadline_at):
            await asyncio.shield(task)
        self._rounds += 1
        self.messages += [AgentMessage(text, uses)]
        self.messages += [ToolResult(use.id, results[position]) for position, use in enumerate(uses)]

    async def resume(self) -> Conversation:
        """Executes what a crashed replica had begun in this turn, and returns the conversation with the results."""
        unfinished = [one for one in self._executions if one.result is None]
        await asyncio.gather(*map(self._execute, unfinished))
        return self._conversation

    async def finish(self) -> None:
        """Waits until the tool calls that have begun are finished and stored. Raises what their appends raise."""
        for task in self._running:
            await task

    async def _run_round(self, uses: tuple[ToolUse, ...], results: dict[int, str]) -> None:
        begun: dict[int, ToolExecution] = {}
        for position, use in enumerate(uses):
            if use.name not in self._executors:
                results[position] = result_of(read_tool_use(use))
            elif (known := self._known(use)) is not None:
                results[position] = known
            elif len(self._executions) >= MAX_EXECUTIONS:
                results[position] = _TOO_MANY
            else:
                begun[position] = await self._begin(use)
        texts = await asyncio.gather(*map(self._execute, begun.values()))
        results.update(zip(begun, texts, strict=True))

    def _known(self, use: ToolUse) -> str | None:
        """Returns the result of the same tool call in this turn: a model that repeats itself changes nothing twice."""
        same = (one for one in self._executions if (one.name, one.arguments) == (use.name, use.arguments))
        return next((one.result for one in same if one.result is not None), None)

    async def _begin(self, use: ToolUse) -> ToolExecution:
        execution = ToolExecution(len(self._executions), use.name, use.arguments)
        call = self._conversation.call
        await self._events.request_tool(
            ToolRequested(
                call_id=call.call_id,
                attempt=self._conversation.attempt,
                turn=self._turn,
                number=execution.number,
                name=execution.name,
                arguments=execution.arguments,
            )
        )
        self._executions.append(execution)
        return execution

    async def _execute(self, execution: ToolExecution) -> str:
        """Executes a tool call that is claimed, stores its result and returns it."""
        started_at = monotonic()
        outcome = await self._outcome(execution)
        called = ToolCalled(
            call_id=self._conversation.call.call_id,
            attempt=self._conversation.attempt,
            turn=self._turn,
            number=execution.number,
            name=execution.name,
            status=outcome.status,
            result=outcome.result,
            seconds=round(monotonic() - started_at, 3),
        )
        await self._events.end_tool(called)
        count_tool(called.name, called.status, called.seconds)
        self._executions[execution.number] = execution.ended(called)
        self._conversation = self._conversation.with_tool_event(called)
        return called.result

    async def _outcome(self, execution: ToolExecution) -> ToolOutcome:
        if (executor := self._executors.get(execution.name)) is None:  # the campaign has changed meanwhile
            return ToolOutcome("there is no such tool any more", ToolStatus.REFUSED)
        invocation = ToolInvocation(self._conversation, self._turn, execution, self._events.cause)
        try:
            return (await executor.execute(invocation)).cut()
        except Exception as error:  # noqa: BLE001  # the call goes on without this tool
            # Without the message, which may have the arguments: they are the callee's words.
            *_, frame = traceback.extract_tb(error.__traceback__)
            logger.error(
                "tool_failed", tool=execution.name, error=type(error).__name__, at=f"{frame.name}:{frame.lineno}"
            )
            return ToolOutcome(_FAILED, ToolStatus.FAILED)


def _offered(
    executors: Iterable[ToolExecutor], conversation: Conversation
) -> tuple[Mapping[str, ToolExecutor], tuple[Tool, ...]]:
    """Returns the executor of each tool by the tool's name, and these tools."""
    by_name: dict[str, ToolExecutor] = {}
    tools: list[Tool] = []
    if conversation.tools is not None:
        for executor in executors:
            for tool in executor.offered(conversation.tools):
                by_name[tool.name] = executor
                tools.append(tool)
        if not_offered := [tool.name for tool in conversation.tools.http if tool.name not in by_name]:
            campaign = conversation.call.campaign_id
            logger.warning("tools_not_offered", campaign=campaign, tools=not_offered, remedy="set TOOL_SIGNING_KEY")
    return by_name, tuple(tools)
