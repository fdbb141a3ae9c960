"""Tools that are executed within a turn: rounds, one execution each, interruptions and deadlines, on a real server."""

import asyncio
from datetime import UTC, datetime
from unittest.mock import AsyncMock

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs
from tests.builders.turns import an_interruption
from tests.fakes.model import ModelServer
from tests.fakes.tools import LOOKUP, PreparedTools
from tests.integration.conversation.conftest import ActiveCall

from chassis.event_log import EventLog, StoredEvent
from contracts import (
    AgentTools,
    CallStatus,
    Campaign,
    CampaignCreated,
    CampaignTerms,
    ConversationEnded,
    ReplyGenerated,
    SpeechHeard,
    TelephonyStatusReported,
    ToolCall,
    ToolCalled,
    ToolRequested,
    ToolStatus,
)
from contracts.filters import call_facts_filter, call_state_filter
from conversation.application.turn_events import TurnClaimed
from conversation.application.turn_tools import MAX_EXECUTIONS
from conversation.application.turns import Turns
from conversation.domain.phrases import phrases_of
from conversation.domain.tool_execution import MAX_RESULT_CHARACTERS, ToolOutcome
from providers import Failure

CALL = (LOOKUP, '{"day": "lunes"}')
NOTE = ("note", '{"field": "hour", "value": "diez"}')
END_CALL = ("end_call", '{"disposition": "confirmed"}')


@pytest.fixture
async def tools(active_call: ActiveCall, calls: EventLog, deadline_seconds: float) -> PreparedTools:
    """The executor of the tools of a campaign, to which the call belongs."""
    prepared = PreparedTools()
    active_call.turns = Turns(calls, active_call.models, executors=[prepared], deadline_seconds=deadline_seconds)
    campaign = Campaign(campaign_id=f"tools-{active_call.call.call_id}")
    now = datetime.now(UTC)
    await calls.append(
        CampaignCreated(campaign=campaign.created(now, CampaignTerms(tools=AgentTools())), occurred_at=now)
    )
    await active_call.change(campaign_id=campaign.campaign_id, has_tools=True)
    return prepared


def model_failures() -> float:
    labels = {"reason": Failure.DEADLINE.value}
    return REGISTRY.get_sample_value("centralita_model_failures_total", labels) or 0.0


def results_in(request: dict[str, object]) -> list[str]:
    messages = request["messages"]
    assert isinstance(messages, list)
    return [message["content"] for message in messages if message["role"] == "tool"]


def names_in(request: dict[str, object]) -> set[str]:
    offered = request["tools"]
    assert isinstance(offered, list)
    return {tool["function"]["name"] for tool in offered}


async def test_words_before_a_tool_call_are_published_before_it_and_its_result_is_answered(
    active_call: ActiveCall, tools: PreparedTools, model_server: ModelServer
) -> None:
    tools.may_end.clear()
    model_server.prepare("Un momento, por favor.", CALL)
    model_server.prepare("Hay hueco a las diez. ¿Le viene bien?")
    utterance = await active_call.append_utterance(1, "¿Qué horas hay?")
    turn = asyncio.create_task(active_call.deliver(utterance))
    await tools.has_begun.wait()
    assert await active_call.sentences(1) == ["Un momento, por favor."], "while the tool is executed"
    tools.may_end.set()
    await turn
    assert await active_call.sentences(1) == ["Un momento, por favor.", "Hay hueco a las diez.", "¿Le viene bien?"]
    assert names_in(model_server.requests[0]) == {"end_call", "note", LOOKUP}
    said, result = model_server.requests[1]["messages"][-2:]
    assert (said["content"], said["tool_calls"][0]["function"]["arguments"]) == ("Un momento, por favor.", CALL[1])
    assert (result["role"], result["content"]) == ("tool", "a las diez")
    [requested], [called] = await active_call.events(ToolRequested), await active_call.events(ToolCalled)
    assert (requested.turn, requested.number, requested.name, requested.arguments) == (1, 0, *CALL)
    assert (called.number, called.status, called.result) == (0, ToolStatus.SUCCEEDED, "a las diez")
    [reply] = await active_call.events(ReplyGenerated)
    assert reply.tool_calls == (ToolCall(name=LOOKUP, arguments={"day": "lunes"}),)
    assert not reply.is_fallback


async def test_the_model_sees_the_result_in_later_turns(
    active_call: ActiveCall, tools: PreparedTools, model_server: ModelServer
) -> None:
    model_server.prepare("Un momento, por favor.", CALL, NOTE)
    model_server.prepare("Hay hueco a las diez.")
    model_server.prepare("De acuerdo.")
    await active_call.callee_says(1, "¿Qué horas hay?")
    await active_call.callee_says(2, "Bien")
    history = [(one["role"], one["content"]) for one in model_server.requests[-1]["messages"][2:]]
    assert history == [
        ("assistant", "Hola, Ana."),
        ("user", "¿Qué horas hay?"),
        ("assistant", None),
        ("tool", "a las diez"),
        ("assistant", "Un momento, por favor. Hay hueco a las diez."),
        ("tool", "noted"),
        ("user", "Bien"),
    ]


async def test_a_call_of_a_campaign_without_tools_is_offered_none(
    active_call: ActiveCall, tools: PreparedTools, model_server: ModelServer
) -> None:
    await active_call.change(has_tools=False)
    model_server.prepare("Muy bien.")
    await active_call.callee_says(1, "¿Diga?")
    assert names_in(model_server.requests[0]) == {"end_call", "note"}


async def test_after_three_rounds_the_model_has_to_answer(
    active_call: ActiveCall, tools: PreparedTools, model_server: ModelServer
) -> None:
    for day in range(4):
        model_server.prepare("", (LOOKUP, f'{{"day": "{day}"}}'))
    model_server.prepare("No he encontrado nada.")
    await active_call.callee_says(1, "¿Qué horas hay?")
    assert len(tools.invocations) == 3
    assert LOOKUP not in names_in(model_server.requests[3])
    assert results_in(model_server.requests[4])[-1] == "there is no such tool"
    assert await active_call.sentences(1) == ["No he encontrado nada."]


async def test_several_tool_calls_of_one_answer_are_bounded_and_the_same_one_is_executed_once(
    active_call: ActiveCall, tools: PreparedTools, model_server: ModelServer
) -> None:
    days = [(LOOKUP, f'{{"day": "{day}"}}') for day in range(MAX_EXECUTIONS + 3)]
    model_server.prepare("", *days)
    model_server.prepare("", days[0])
    model_server.prepare("A las diez.")
    await active_call.callee_says(1, "¿Qué horas hay?")
    numbers = [one.execution.number for one in tools.invocations]
    assert sorted(numbers) == list(range(MAX_EXECUTIONS))
    assert results_in(model_server.requests[1])[-1].startswith("not executed")
    assert results_in(model_server.requests[2])[-1] == "a las diez"


async def test_the_call_ends_after_the_tool_call_of_the_same_answer(
    active_call: ActiveCall, tools: PreparedTools, model_server: ModelServer
) -> None:
    model_server.prepare("Queda reservado. Adiós.", CALL, END_CALL)
    await active_call.callee_says(1, "Adiós")
    assert len(tools.invocations) == len(model_server.requests) == 1
    assert await active_call.sentences(1) == ["Queda reservado.", "Adiós."]
    assert len(await active_call.events(ConversationEnded)) == 1


async def test_a_tool_that_raises_and_one_with_a_long_result_are_told_to_the_model(
    active_call: ActiveCall, tools: PreparedTools, model_server: ModelServer
) -> None:
    tools.error = RuntimeError("secret")
    model_server.prepare("", CALL)
    model_server.prepare("", (LOOKUP, "{}"))
    model_server.prepare("No lo sé.")
    with capture_logs() as logs:
        await active_call.callee_says(1, "¿Qué horas hay?")
    failures = [one for one in logs if one["event"] == "tool_failed"]
    assert [one["error"] for one in failures] == ["RuntimeError"] * 2
    assert "secret" not in str(logs)
    tools.error, tools.result = None, ToolOutcome("x" * 100_000)
    await active_call.callee_says(2, "¿Y ahora?")
    first, _ = await active_call.events(ToolCalled)
    assert (first.status, first.result) == (ToolStatus.FAILED, "the tool failed")
    model_server.answers[:] = []
    model_server.prepare("", CALL)
    model_server.prepare("Muchas.")
    await active_call.callee_says(3, "¿Y ahora?")
    assert len((await active_call.events(ToolCalled))[-1].result) == MAX_RESULT_CHARACTERS


async def test_an_interrupted_reply_finishes_its_tool_call_and_the_next_turn_sees_the_result(
    active_call: ActiveCall, tools: PreparedTools, model_server: ModelServer
) -> None:
    tools.may_end.clear()
    model_server.prepare("Un momento, por favor.", CALL)
    model_server.prepare("De acuerdo.")
    utterance = await active_call.append_utterance(1, "Resérvelo")
    turn = asyncio.create_task(active_call.deliver(utterance))
    await tools.has_begun.wait()
    active_call.turns.interrupt(an_interruption(active_call.call.call_id, 1, "Un momento"))
    while not await active_call.events(ReplyGenerated):
        await asyncio.sleep(0)
    assert not turn.done(), "the turn is closed, and its tool is still executed"
    await active_call.callee_says(2, "Espere")
    assert results_in(model_server.requests[-1]) == ["there is no result yet"]
    tools.may_end.set()
    await turn
    assert len(tools.invocations) == 1
    await active_call.callee_says(3, "¿Está hecho?")
    assert results_in(model_server.requests[-1]) == ["a las diez"]
    first = (await active_call.events(ReplyGenerated))[0]
    assert first.tool_calls == (ToolCall(name=LOOKUP, arguments={"day": "lunes"}),)


@pytest.mark.parametrize("deadline_seconds", [0.5])
async def test_a_tool_that_outlasts_the_turn_leaves_its_result_and_the_callee_hears_the_fallback(
    active_call: ActiveCall, tools: PreparedTools, model_server: ModelServer
) -> None:
    failures = model_failures()
    tools.may_end.clear()
    model_server.prepare("", CALL)
    utterance = await active_call.append_utterance(1, "¿Qué horas hay?")
    turn = asyncio.create_task(active_call.deliver(utterance))
    while not (replies := await active_call.events(ReplyGenerated)):
        await asyncio.sleep(0)
    assert (replies[0].text, replies[0].is_fallback) == (phrases_of("es").fallback, True)
    assert model_failures() == failures, "no model has failed"
    tools.may_end.set()
    await turn
    assert [one.result for one in await active_call.events(ToolCalled)] == ["a las diez"]


async def append_tool(active_call: ActiveCall, *, is_ended: bool) -> StoredEvent:
    """Appends what a crashed replica left of a turn: an utterance, a tool call, and perhaps its result."""
    place = {"call_id": active_call.call.call_id, "attempt": 1, "turn": 1, "number": 0, "name": LOOKUP}
    utterance = await active_call.append_utterance(1, "¿Qué horas hay?")
    await active_call.log.append(ToolRequested.model_validate({**place, "arguments": CALL[1]}))
    if is_ended:
        ended = {"status": "succeeded", "result": "a las doce", "seconds": 1}
        await active_call.log.append(ToolCalled.model_validate({**place, **ended}))
    return utterance


async def test_a_tool_call_of_another_replica_is_awaited(active_call: ActiveCall, tools: PreparedTools) -> None:
    utterance = await append_tool(active_call, is_ended=False)
    with pytest.raises(TurnClaimed):
        await active_call.deliver(utterance)
    assert tools.invocations == []


async def test_two_replicas_that_answer_the_same_turn_execute_a_tool_call_once(
    active_call: ActiveCall, tools: PreparedTools, model_server: ModelServer, calls: EventLog
) -> None:
    tools.may_end.clear()
    for _ in range(2):
        model_server.prepare("", CALL)
    model_server.prepare("Hay hueco a las diez.")
    replicas = [Turns(calls, active_call.models, executors=[tools], deadline_seconds=60) for _ in range(2)]
    utterance = await active_call.append_utterance(1, "¿Qué horas hay?")
    assert isinstance(utterance.event, SpeechHeard)
    heard = StoredEvent(utterance.event, utterance.envelope, utterance.sequence)
    answers = [asyncio.create_task(one.answer(heard)) for one in replicas]
    ended, winners = await asyncio.wait(answers, timeout=50, return_when=asyncio.FIRST_COMPLETED)
    tools.may_end.set()
    assert [type(one.exception()) for one in ended] == [TurnClaimed], "while the other one executes the tool"
    await asyncio.gather(*winners)
    assert len(tools.invocations) == len(await active_call.events(ToolCalled)) == 1
    assert await active_call.sentences(1) == ["Hay hueco a las diez."]


@pytest.mark.parametrize("is_ended", [True, False])
async def test_a_crashed_turn_goes_on_from_its_tool_call_and_executes_none_twice(
    active_call: ActiveCall,
    tools: PreparedTools,
    model_server: ModelServer,
    is_ended: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    utterance = await append_tool(active_call, is_ended=is_ended)
    monkeypatch.setattr(active_call.log, "now", lambda: datetime(2999, 1, 1, tzinfo=UTC))
    model_server.prepare("", CALL)
    model_server.prepare("Muy bien.")
    await active_call.deliver(utterance)
    await active_call.deliver(utterance)
    assert len(tools.invocations) == (0 if is_ended else 1)
    if tools.invocations:
        assert tools.invocations[0].execution.arguments == CALL[1]
    assert results_in(model_server.requests[0]) == ["a las doce" if is_ended else "a las diez"]
    assert len(await active_call.events(ToolCalled)) == 1
    [reply] = await active_call.events(ReplyGenerated)
    assert reply.text == "Muy bien."
    assert reply.tool_calls == (ToolCall(name=LOOKUP, arguments={"day": "lunes"}),)


@pytest.mark.parametrize("end", ["decided by the orchestrator", "reported by the network", "of the conversation"])
async def test_a_crashed_tool_call_is_not_executed_again_after_the_end_of_its_call(
    active_call: ActiveCall, tools: PreparedTools, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    utterance = await append_tool(active_call, is_ended=False)
    log, call_id = active_call.log, active_call.call.call_id
    known = await log.last(call_state_filter(call_id))
    facts = await log.read((call_facts_filter(call_id),))
    match end:
        case "decided by the orchestrator":
            await active_call.change(status=CallStatus.COMPLETED)
        case "reported by the network":
            report = {"provider_call_id": "CA1", "status": "completed"}
            await log.append(TelephonyStatusReported.model_validate({"call_id": call_id, "attempt": 1, **report}))
        case _:
            over = {"turn": 1, "disposition": "opt_out", "summary": ""}
            await log.append(ConversationEnded.model_validate({"call_id": call_id, "attempt": 1, **over}))
    monkeypatch.setattr(log, "now", lambda: datetime(2999, 1, 1, tzinfo=UTC))
    last_of_any_node = log.last_of_any_node

    async def last_of_lagging_node(subject: str) -> StoredEvent | None:
        return known if subject == call_state_filter(call_id) else await last_of_any_node(subject)

    monkeypatch.setattr(log, "last_of_any_node", last_of_lagging_node)
    monkeypatch.setattr(log, "read_after", AsyncMock(return_value=facts))
    await active_call.deliver(utterance)
    await active_call.deliver(utterance)
    assert tools.invocations == []
    assert await active_call.events(ToolCalled) == []


async def test_a_second_model_goes_on_from_the_result(
    active_call: ActiveCall, tools: PreparedTools, model_server: ModelServer, calls: EventLog
) -> None:
    [model] = active_call.models
    active_call.turns = Turns(calls, [model, model], executors=[tools], deadline_seconds=60)
    model_server.prepare("Un momento, por favor.", CALL)
    model_server.prepare("", status=400)
    model_server.prepare("Hay hueco a las diez.")
    await active_call.callee_says(1, "¿Qué horas hay?")
    assert len(tools.invocations) == 1
    assert results_in(model_server.requests[-1]) == ["a las diez"]
    assert await active_call.sentences(1) == ["Un momento, por favor.", "Hay hueco a las diez."]


async def test_a_model_that_fails_after_a_tool_call_leaves_the_callee_with_the_fallback(
    active_call: ActiveCall, tools: PreparedTools, model_server: ModelServer
) -> None:
    model_server.prepare("Un momento, por favor.", CALL)
    model_server.prepare("", status=400)
    await active_call.callee_says(1, "¿Qué horas hay?")
    assert await active_call.sentences(1) == ["Un momento, por favor.", phrases_of("es").fallback]
