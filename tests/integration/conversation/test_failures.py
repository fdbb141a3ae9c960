"""Every failure of the model: the callee always hears something within the deadline."""

import socket

import pytest
from prometheus_client import REGISTRY
from tests.fakes.model import ModelServer
from tests.fakes.providers import provider
from tests.integration.conversation.conftest import ActiveCall

from contracts import ConversationEnded, Disposition, ReplyGenerated, ReplySource
from conversation.adapters.openai import openai_model
from conversation.application.turns import Turns
from conversation.domain.phrases import phrases_of
from providers import Failure

GOODBYE = phrases_of("es").goodbye
FALLBACK = phrases_of("es").fallback
FAILURES_BEFORE_A_SENTENCE = [
    (60.0, {"status": 500}, Failure.SERVER_ERROR),
    (60.0, {"status": 401}, Failure.REFUSED),
    (60.0, {"status": 429}, Failure.RATE_LIMITED),
    (60.0, {"end": "silent"}, Failure.CUT_OFF),
    (60.0, {"end": "cut"}, Failure.CUT_OFF),
    (1.5, {"end": "stuck"}, Failure.DEADLINE),
    (60.0, {"finish": "length"}, Failure.TOO_LONG),
    (60.0, {"finish": "content_filter"}, Failure.FILTERED),
    (60.0, {}, Failure.EMPTY),
]
FAILURES_AFTER_A_SENTENCE = [
    (60.0, {"end": "silent"}),
    (60.0, {"end": "cut"}),
    (8.0, {"end": "stuck"}),
    (60.0, {"finish": "length"}),
]
"""Each with the deadline of the turn. Only an answer that is stuck waits until it has passed."""


def failures(failure: Failure) -> float:
    return REGISTRY.get_sample_value("centralita_model_failures_total", {"reason": failure.value}) or 0.0


async def last_reply(active_call: ActiveCall) -> ReplyGenerated:
    return (await active_call.events(ReplyGenerated))[-1]


@pytest.mark.parametrize(("deadline_seconds", "options", "failure"), FAILURES_BEFORE_A_SENTENCE, ids=str)
async def test_a_failure_before_the_first_sentence_is_answered_with_the_fallback(
    active_call: ActiveCall, model_server: ModelServer, options: dict[str, object], failure: Failure
) -> None:
    model_server.prepare("", **options)
    before = failures(failure)
    await active_call.callee_says(1, "¿Diga?")
    assert failures(failure) > before
    assert await active_call.sentences(1) == [FALLBACK]
    reply = await last_reply(active_call)
    assert (reply.is_fallback, reply.sentences, reply.text) == (True, 1, FALLBACK)
    assert reply.source is ReplySource.LAST_RESORT
    assert await active_call.events(ConversationEnded) == []


@pytest.mark.parametrize(("deadline_seconds", "options"), FAILURES_AFTER_A_SENTENCE, ids=str)
async def test_a_failure_after_a_sentence_closes_the_turn_with_the_published_sentences(
    active_call: ActiveCall, model_server: ModelServer, options: dict[str, object]
) -> None:
    model_server.prepare("Muy bien, gracias. ¿Podrá venir el", **options)
    await active_call.callee_says(1, "¿Diga?")
    assert await active_call.sentences(1) == ["Muy bien, gracias."]
    reply = await last_reply(active_call)
    assert (reply.is_fallback, reply.sentences, reply.text) == (True, 1, "Muy bien, gracias.")


async def test_an_unreachable_vendor_is_retried_once_and_then_the_fallback_follows(active_call: ActiveCall) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed_port = f"http://127.0.0.1:{listener.getsockname()[1]}"
    before = failures(Failure.UNREACHABLE)
    async with openai_model("sk-fictional", "gpt-4.1-mini", provider("nowhere"), base_url=closed_port) as model:
        active_call.turns = Turns(active_call.log, [model], deadline_seconds=60)
        await active_call.callee_says(1, "¿Diga?")
    assert failures(Failure.UNREACHABLE) == before + 2, "one request and one retry"
    assert await active_call.sentences(1) == [FALLBACK]


async def test_the_callee_does_not_notice_a_transient_failure(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    model_server.prepare(status=503)
    model_server.prepare("Muy bien, gracias.")
    await active_call.callee_says(1, "¿Diga?")
    assert await active_call.sentences(1) == ["Muy bien, gracias."]
    assert not (await last_reply(active_call)).is_fallback


async def test_a_tool_call_of_an_incomplete_answer_is_ignored(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    end_call = ("end_call", '{"disposition": "confirmed"}')
    model_server.prepare("Muy bien, gracias. Hasta luego pues", end_call, end="silent")
    await active_call.callee_says(1, "¿Diga?")
    assert (await last_reply(active_call)).tool_calls == ()
    assert await active_call.events(ConversationEnded) == []


async def test_the_only_sentence_of_an_answer_is_published_before_its_tool_calls_are_complete(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    model_server.prepare("Queda anotado.", ("note", '{"field": "hour", "value": "a las diez"}'), end="cut")
    await active_call.callee_says(1, "A las diez")
    assert await active_call.sentences(1) == ["Queda anotado."]
    assert len(model_server.requests) == 1, "sentences of two answers do not make one"


@pytest.mark.parametrize(
    ("text", "sentences"),
    [("", [FALLBACK, GOODBYE]), ("Muy bien, gracias. ¿Podrá venir", ["Muy bien, gracias.", FALLBACK, GOODBYE])],
)
async def test_the_second_failure_in_a_row_ends_the_call(
    active_call: ActiveCall, model_server: ModelServer, text: str, sentences: list[str]
) -> None:
    for _ in range(2):  # a request and its retry
        model_server.prepare(end="silent")
    model_server.prepare(text, end="silent")
    await active_call.callee_says(1, "¿Diga?")
    await active_call.callee_says(2, "¿Hola?")
    assert await active_call.sentences(2) == sentences
    ended = await active_call.events(ConversationEnded)
    assert [(end.disposition, end.turn) for end in ended] == [(Disposition.TECHNICAL_FAILURE, 2)]


async def test_two_failures_that_are_not_in_a_row_do_not_end_the_call(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    failing = {"end": "silent"}
    for options in (failing, failing, {"text": "Muy bien, gracias."}, failing):
        model_server.prepare(**options)
    for turn in (1, 2, 3):
        await active_call.callee_says(turn, "¿Diga?")
    assert [reply.is_fallback for reply in await active_call.events(ReplyGenerated)] == [True, False, True]
    assert await active_call.events(ConversationEnded) == []
