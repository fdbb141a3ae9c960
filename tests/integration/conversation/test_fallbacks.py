"""The fallback chain from the model to the goodbye, as the wire, the log and the metrics show it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from prometheus_client import REGISTRY
from tests.fakes.clock import ManualClock
from tests.fakes.model import ModelServer
from tests.fakes.providers import provider
from tests.integration.conversation.conftest import ActiveCall

from contracts import AudioRequested, ConversationEnded, Disposition, ReplyGenerated, ReplySource
from conversation.adapters.openai import openai_model
from conversation.application.turns import Turns
from conversation.domain.phrases import phrases_of
from providers import BreakerState, Provider

FIRST, SECOND = "gpt-4.1-mini", "gpt-4o-mini"
SCRIPT_LINE = "Ahora no puedo atenderle. Le llamaremos mañana."


def fallbacks(source: ReplySource) -> float:
    return REGISTRY.get_sample_value("centralita_fallbacks_total", {"step": source.value}) or 0.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def providers(clock: ManualClock) -> dict[str, Provider]:
    """One provider per model, of one account; two failures open a circuit breaker."""
    capacity = asyncio.Semaphore(4)
    names = ("test_openai", "test_openai_fallback")
    return {name: provider(name, capacity=capacity, max_failures=2, clock=clock) for name in names}


@pytest.fixture(autouse=True)
async def two_models(
    active_call: ActiveCall, model_server: ModelServer, providers: dict[str, Provider], deadline_seconds: float
) -> AsyncIterator[None]:
    """Configures a second model for the call."""
    first_provider, second_provider = providers.values()
    async with (
        openai_model("sk-fictional", FIRST, first_provider, base_url=model_server.url) as first,
        openai_model("sk-fictional", SECOND, second_provider, base_url=model_server.url) as second,
    ):
        active_call.turns = Turns(active_call.log, [first, second], deadline_seconds=deadline_seconds)
        yield


async def last_reply(active_call: ActiveCall) -> ReplyGenerated:
    return (await active_call.events(ReplyGenerated))[-1]


async def test_a_transient_failure_is_retried(active_call: ActiveCall, model_server: ModelServer) -> None:
    model_server.prepare(status=503)
    model_server.prepare("Muy bien, gracias.")
    before = fallbacks(ReplySource.RETRY)
    await active_call.callee_says(1, "¿Diga?")
    reply = await last_reply(active_call)
    assert (reply.source, reply.model, reply.is_fallback) == (ReplySource.RETRY, FIRST, False)
    assert reply.text == "Muy bien, gracias."
    assert fallbacks(ReplySource.RETRY) == before + 1


async def test_the_second_model_answers_when_the_retry_fails_too(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    for _ in range(2):
        model_server.prepare(status=500)
    model_server.prepare("Muy bien, gracias.")
    before = fallbacks(ReplySource.SECOND_MODEL)
    await active_call.callee_says(1, "¿Diga?")
    reply = await last_reply(active_call)
    assert (reply.source, reply.model, reply.is_fallback) == (ReplySource.SECOND_MODEL, SECOND, False)
    assert model_server.requested_models == [FIRST, FIRST, SECOND]
    assert fallbacks(ReplySource.SECOND_MODEL) == before + 1


async def test_a_refusal_is_not_retried_but_the_second_model_answers(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    model_server.prepare(status=404)
    model_server.prepare("Muy bien, gracias.")
    await active_call.callee_says(1, "¿Diga?")
    assert model_server.requested_models == [FIRST, SECOND]


@pytest.mark.parametrize("deadline_seconds", [10.0])
async def test_a_model_that_does_not_begin_in_time_leaves_enough_time_for_the_second(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    model_server.prepare(end="stuck")
    model_server.prepare("Muy bien, gracias.")
    await active_call.callee_says(1, "¿Diga?")
    assert (await last_reply(active_call)).source is ReplySource.SECOND_MODEL
    assert model_server.requested_models == [FIRST, SECOND]


async def test_after_the_first_sentence_the_second_model_gets_no_request(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    model_server.prepare("Muy bien, gracias. ¿Podrá venir el", end="cut")
    await active_call.callee_says(1, "¿Diga?")
    reply = await last_reply(active_call)
    assert (reply.source, reply.is_fallback, reply.text) == (ReplySource.MODEL, True, "Muy bien, gracias.")
    assert model_server.requested_models == [FIRST]


async def test_tool_calls_of_a_model_that_failed_are_dropped_and_its_tokens_are_counted(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    note = ("note", '{"field": "hour", "value": "a las diez"}')
    model_server.prepare("", note)
    for _ in range(2):
        model_server.prepare(status=500)
    model_server.prepare("Queda anotado.", note)
    await active_call.callee_says(1, "A las diez")
    reply = await last_reply(active_call)
    assert (reply.source, len(reply.tool_calls)) == (ReplySource.SECOND_MODEL, 1)
    assert (reply.prompt_tokens, reply.completion_tokens) == (200, 20), "both requests are paid for"


async def test_the_fallback_line_of_the_script_is_published_when_no_model_answers(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    await active_call.change(script_template=f"Hola, {{{{name}}}}.\n\nRecuérdele su cita.\n\nFallback: {SCRIPT_LINE}")
    model_server.prepare(status=500)
    before = fallbacks(ReplySource.SCRIPT_LINE)
    await active_call.callee_says(1, "¿Diga?")
    reply = await last_reply(active_call)
    assert (reply.source, reply.is_fallback, reply.text, reply.sentences) == (
        ReplySource.SCRIPT_LINE,
        True,
        SCRIPT_LINE,
        2,
    )
    assert [event.is_reusable for event in await active_call.events(AudioRequested) if event.turn == 1] == [True, True]
    assert fallbacks(ReplySource.SCRIPT_LINE) == before + 1
    assert await active_call.events(ConversationEnded) == []
    assert SCRIPT_LINE not in model_server.requests[0]["messages"][0]["content"]


async def test_the_second_failure_in_a_row_ends_the_call_with_a_goodbye_and_its_reason(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    await active_call.change(script_template=f"Hola.\n\nRecuérdele su cita.\n\nFallback: {SCRIPT_LINE}")
    model_server.prepare(status=500)
    await active_call.callee_says(1, "¿Diga?")
    await active_call.callee_says(2, "¿Cómo?")
    phrases = phrases_of("es")
    assert await active_call.sentences(2) == [phrases.fallback, phrases.goodbye]
    assert (await last_reply(active_call)).source is ReplySource.LAST_RESORT
    [ended] = await active_call.events(ConversationEnded)
    assert ended.disposition is Disposition.TECHNICAL_FAILURE


async def test_a_script_line_that_a_crash_left_open_is_closed_as_a_fallback(active_call: ActiveCall) -> None:
    await active_call.change(script_template=f"Hola.\n\nRecuérdele su cita.\n\nFallback: {SCRIPT_LINE}")
    active_call.turns = Turns(active_call.log, active_call.models, deadline_seconds=0.01)
    stored = await active_call.append_utterance(1, "¿Diga?")
    await active_call.append_sentence(1, 0, SCRIPT_LINE.split(". ")[0] + ".")
    await asyncio.sleep(0.05)
    await active_call.deliver(stored)
    reply = await last_reply(active_call)
    assert (reply.source, reply.is_fallback) == (ReplySource.SCRIPT_LINE, True)


async def test_a_failing_model_gets_no_request_during_the_cooldown_and_then_one_probe(
    active_call: ActiveCall, model_server: ModelServer, providers: dict[str, Provider], clock: ManualClock
) -> None:
    first, second = (provider.breaker for provider in providers.values())
    for _ in range(2):
        model_server.prepare(status=500)
    model_server.prepare("Muy bien, gracias.")
    await active_call.callee_says(1, "¿Diga?")
    assert (first.state, second.state) == (BreakerState.OPEN, BreakerState.CLOSED)
    await active_call.callee_says(2, "¿Oiga?")
    assert model_server.requested_models == [FIRST, FIRST, SECOND, SECOND], "the first model's breaker is open"
    clock.now += 60
    await active_call.callee_says(3, "Bueno.")
    assert model_server.requested_models[-1] == FIRST
    assert first.state is BreakerState.CLOSED
    assert (await last_reply(active_call)).source is ReplySource.MODEL


async def test_a_wrong_request_does_not_open_a_breaker(
    active_call: ActiveCall, model_server: ModelServer, providers: dict[str, Provider]
) -> None:
    model_server.prepare(status=400)
    for turn in (1, 2, 3):
        await active_call.callee_says(turn, "¿Diga?")
    assert {provider.breaker.state for provider in providers.values()} == {BreakerState.CLOSED}
