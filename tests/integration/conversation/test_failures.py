"""The model fails in every way it can, and the callee always hears something."""

import socket
from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY
from tests.fakes.providers import provider

from contracts import ConversationEnded, Disposition, ReplyGenerated, ReplySource
from conversation.adapters.answers import NoAnswers
from conversation.adapters.openai import openai_model
from conversation.application.turns import Turns
from conversation.domain.phrases import phrases_of
from providers import Failure

if TYPE_CHECKING:
    from tests.integration.conversation.conftest import Scene, Vendor

GOODBYE = phrases_of("es").goodbye
FALLBACK = phrases_of("es").fallback
NOTHING_SAID = [
    ({"status": 500}, Failure.SERVER_ERROR),
    ({"status": 401}, Failure.REFUSED),
    ({"status": 429}, Failure.RATE_LIMITED),
    ({"end": "silent"}, Failure.CUT_OFF),
    ({"end": "cut"}, Failure.CUT_OFF),
    ({"end": "stuck"}, Failure.DEADLINE),
    ({"finish": "length"}, Failure.TOO_LONG),
    ({"finish": "content_filter"}, Failure.FILTERED),
    ({}, Failure.EMPTY),
]
SOMETHING_SAID = [{"end": "silent"}, {"end": "cut"}, {"end": "stuck"}, {"finish": "length"}]


def counted(failure: Failure) -> float:
    return REGISTRY.get_sample_value("centralita_model_failures_total", {"reason": failure.value}) or 0.0


async def last_reply(scene: "Scene") -> ReplyGenerated:
    return (await scene.facts(ReplyGenerated))[-1]


@pytest.mark.parametrize("deadline_seconds", [1.5])
@pytest.mark.parametrize(("how", "failure"), NOTHING_SAID, ids=str)
async def test_a_failure_before_a_word_is_said_gets_the_fallback_line(
    scene: "Scene", vendor: "Vendor", how: dict[str, object], failure: Failure
) -> None:
    vendor.says("", **how)
    before = counted(failure)
    await scene.hears(1, "¿Diga?")
    assert counted(failure) > before
    assert await scene.sentences(1) == [FALLBACK]
    reply = await last_reply(scene)
    assert (reply.is_fallback, reply.sentences, reply.text) == (True, 1, FALLBACK)
    assert reply.source is ReplySource.LAST_RESORT
    assert await scene.facts(ConversationEnded) == []


@pytest.mark.parametrize("deadline_seconds", [1.0])
@pytest.mark.parametrize("how", SOMETHING_SAID, ids=str)
async def test_a_failure_after_a_sentence_closes_the_turn_with_what_was_said(
    scene: "Scene", vendor: "Vendor", how: dict[str, object]
) -> None:
    vendor.says("Muy bien, gracias. ¿Podrá venir el", **how)
    await scene.hears(1, "¿Diga?")
    assert await scene.sentences(1) == ["Muy bien, gracias."]
    reply = await last_reply(scene)
    assert (reply.is_fallback, reply.sentences, reply.text) == (True, 1, "Muy bien, gracias.")


async def test_a_vendor_that_is_not_there_is_a_failure(scene: "Scene") -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = f"http://127.0.0.1:{listener.getsockname()[1]}"
    before = counted(Failure.UNREACHABLE)
    async with openai_model("sk-fictional", "gpt-4.1-mini", provider("nowhere"), base_url=nobody) as model:
        scene.turns = Turns(scene.log, [model], NoAnswers(), deadline_seconds=5)
        await scene.hears(1, "¿Diga?")
    assert counted(Failure.UNREACHABLE) == before + 2, "it was asked twice"
    assert await scene.sentences(1) == [FALLBACK]


async def test_a_refusal_that_passes_is_not_heard(scene: "Scene", vendor: "Vendor") -> None:
    vendor.says(status=503)
    vendor.says("Muy bien, gracias.")
    await scene.hears(1, "¿Diga?")
    assert await scene.sentences(1) == ["Muy bien, gracias."]
    assert not (await last_reply(scene)).is_fallback


async def test_a_tool_call_of_a_broken_answer_is_not_carried_out(scene: "Scene", vendor: "Vendor") -> None:
    vendor.says("Muy bien, gracias. Hasta luego pues", ("end_call", '{"disposition": "confirmed"}'), end="silent")
    await scene.hears(1, "¿Diga?")
    assert (await last_reply(scene)).tool_calls == ()
    assert await scene.facts(ConversationEnded) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [("", [FALLBACK, GOODBYE]), ("Muy bien, gracias. ¿Podrá venir", ["Muy bien, gracias.", FALLBACK, GOODBYE])],
)
async def test_the_second_failure_in_a_row_ends_the_call(
    scene: "Scene", vendor: "Vendor", text: str, said: list[str]
) -> None:
    for _ in range(2):  # a try, and one more
        vendor.says(end="silent")
    vendor.says(text, end="silent")
    await scene.hears(1, "¿Diga?")
    await scene.hears(2, "¿Hola?")
    assert await scene.sentences(2) == said
    ended = await scene.facts(ConversationEnded)
    assert [(end.disposition, end.turn) for end in ended] == [(Disposition.TECHNICAL_FAILURE, 2)]


async def test_two_failures_apart_do_not_end_the_call(scene: "Scene", vendor: "Vendor") -> None:
    fails = {"end": "silent"}
    for how in (fails, fails, {"text": "Muy bien, gracias."}, fails):
        vendor.says(**how)
    for turn in (1, 2, 3):
        await scene.hears(turn, "¿Diga?")
    assert [reply.is_fallback for reply in await scene.facts(ReplyGenerated)] == [True, False, True]
    assert await scene.facts(ConversationEnded) == []
