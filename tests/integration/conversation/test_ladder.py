"""The steps from the model to the goodbye, each as the wire, the log and the metrics show it."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY
from tests.fakes.clock import ManualClock
from tests.fakes.providers import provider

from contracts import AudioRequested, ConversationEnded, Disposition, ReplyGenerated, ReplySource
from conversation.adapters.answers import NoAnswers
from conversation.adapters.openai import openai_model
from conversation.application.turns import Turns
from conversation.domain.phrases import phrases_of
from providers import BreakerState, Provider

if TYPE_CHECKING:
    from tests.integration.conversation.conftest import Scene, Vendor

FIRST, SECOND = "gpt-4.1-mini", "gpt-4o-mini"
OWN_LINE = "Ahora no puedo atenderle. Le llamaremos mañana."


def counted(step: ReplySource) -> float:
    return REGISTRY.get_sample_value("centralita_fallbacks_total", {"step": step.value}) or 0.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def providers(clock: ManualClock) -> dict[str, Provider]:
    """Both models on one account; so quick to open that a test sees it."""
    capacity = asyncio.Semaphore(4)
    names = ("test_openai", "test_openai_fallback")
    return {name: provider(name, capacity=capacity, max_failures=2, clock=clock) for name in names}


@pytest.fixture(autouse=True)
async def two_models(
    scene: "Scene", vendor: "Vendor", providers: dict[str, Provider], deadline_seconds: float
) -> AsyncIterator[None]:
    """The scene, with a second model behind the first."""
    first_provider, second_provider = providers.values()
    async with (
        openai_model("sk-fictional", FIRST, first_provider, base_url=vendor.url) as first,
        openai_model("sk-fictional", SECOND, second_provider, base_url=vendor.url) as second,
    ):
        scene.turns = Turns(scene.log, [first, second], NoAnswers(), deadline_seconds=deadline_seconds)
        yield


async def reply(scene: "Scene") -> ReplyGenerated:
    return (await scene.facts(ReplyGenerated))[-1]


def asked(vendor: "Vendor") -> list[str]:
    return [request["model"] for request in vendor.requests]


async def test_a_failure_that_passes_is_asked_again(scene: "Scene", vendor: "Vendor") -> None:
    vendor.says(status=503)
    vendor.says("Muy bien, gracias.")
    before = counted(ReplySource.RETRY)
    await scene.hears(1, "¿Diga?")
    said = await reply(scene)
    assert (said.source, said.model, said.is_fallback, said.text) == (
        ReplySource.RETRY,
        FIRST,
        False,
        "Muy bien, gracias.",
    )
    assert counted(ReplySource.RETRY) == before + 1


async def test_a_model_that_keeps_failing_gives_way_to_the_second(scene: "Scene", vendor: "Vendor") -> None:
    for _ in range(2):
        vendor.says(status=500)
    vendor.says("Muy bien, gracias.")
    before = counted(ReplySource.SECOND_MODEL)
    await scene.hears(1, "¿Diga?")
    said = await reply(scene)
    assert (said.source, said.model, said.is_fallback) == (ReplySource.SECOND_MODEL, SECOND, False)
    assert asked(vendor) == [FIRST, FIRST, SECOND]
    assert counted(ReplySource.SECOND_MODEL) == before + 1


async def test_a_refusal_is_not_asked_again_but_the_second_model_is(scene: "Scene", vendor: "Vendor") -> None:
    vendor.says(status=404)
    vendor.says("Muy bien, gracias.")
    await scene.hears(1, "¿Diga?")
    assert asked(vendor) == [FIRST, SECOND]


@pytest.mark.parametrize("deadline_seconds", [1.0])
async def test_a_model_that_does_not_begin_leaves_the_second_its_time(scene: "Scene", vendor: "Vendor") -> None:
    vendor.says(end="stuck")
    vendor.says("Muy bien, gracias.")
    await scene.hears(1, "¿Diga?")
    assert (await reply(scene)).source is ReplySource.SECOND_MODEL
    assert asked(vendor) == [FIRST, SECOND]


async def test_a_model_that_has_begun_to_speak_is_not_interrupted_by_the_second(
    scene: "Scene", vendor: "Vendor"
) -> None:
    vendor.says("Muy bien, gracias. ¿Podrá venir el", end="cut")
    await scene.hears(1, "¿Diga?")
    said = await reply(scene)
    assert (said.source, said.is_fallback, said.text) == (ReplySource.MODEL, True, "Muy bien, gracias.")
    assert asked(vendor) == [FIRST]


async def test_tools_of_a_model_that_failed_are_not_carried_over(scene: "Scene", vendor: "Vendor") -> None:
    note = ("note", '{"field": "hour", "value": "a las diez"}')
    vendor.says("", note)
    for _ in range(2):
        vendor.says(status=500)
    vendor.says("Queda anotado.", note)
    await scene.hears(1, "A las diez")
    said = await reply(scene)
    assert (said.source, len(said.tool_calls)) == (ReplySource.SECOND_MODEL, 1)
    assert (said.prompt_tokens, said.completion_tokens) == (200, 20), "both are paid for"


async def test_when_no_model_answers_the_scripts_own_line_is_said(scene: "Scene", vendor: "Vendor") -> None:
    await scene.becomes(script_template=f"Hola, {{{{name}}}}.\n\nRecuérdele su cita.\n\nFallback: {OWN_LINE}")
    vendor.says(status=500)
    before = counted(ReplySource.SCRIPT_LINE)
    await scene.hears(1, "¿Diga?")
    said = await reply(scene)
    assert (said.source, said.is_fallback, said.text, said.sentences) == (ReplySource.SCRIPT_LINE, True, OWN_LINE, 2)
    assert [event.is_reusable for event in await scene.facts(AudioRequested) if event.turn == 1] == [True, True]
    assert counted(ReplySource.SCRIPT_LINE) == before + 1
    assert await scene.facts(ConversationEnded) == []
    assert OWN_LINE not in vendor.requests[0]["messages"][0]["content"]


async def test_the_second_time_in_a_row_the_call_ends_politely_and_says_why(scene: "Scene", vendor: "Vendor") -> None:
    await scene.becomes(script_template=f"Hola.\n\nRecuérdele su cita.\n\nFallback: {OWN_LINE}")
    vendor.says(status=500)
    await scene.hears(1, "¿Diga?")
    await scene.hears(2, "¿Cómo?")
    phrases = phrases_of("es")
    assert await scene.sentences(2) == [phrases.fallback, phrases.goodbye]
    assert (await reply(scene)).source is ReplySource.LAST_RESORT
    [ended] = await scene.facts(ConversationEnded)
    assert ended.disposition is Disposition.TECHNICAL_FAILURE


async def test_a_script_line_that_a_crash_left_open_is_still_a_fallback(scene: "Scene") -> None:
    await scene.becomes(script_template=f"Hola.\n\nRecuérdele su cita.\n\nFallback: {OWN_LINE}")
    scene.turns = Turns(scene.log, scene.models, NoAnswers(), deadline_seconds=0.01)
    recorded = await scene.heard(1, "¿Diga?")
    await scene.log.append(
        AudioRequested(
            call_id=scene.call.call_id, attempt=1, turn=1, sentence=0, text=OWN_LINE.split(". ")[0] + ".", language="es"
        )
    )
    await asyncio.sleep(0.05)
    await scene.answer(recorded)
    said = await reply(scene)
    assert (said.source, said.is_fallback) == (ReplySource.SCRIPT_LINE, True)


async def test_a_model_that_kept_failing_is_not_asked_until_it_has_cooled_down_and_then_by_one_probe(
    scene: "Scene", vendor: "Vendor", providers: dict[str, Provider], clock: ManualClock
) -> None:
    first, second = (provider.breaker for provider in providers.values())
    for _ in range(2):
        vendor.says(status=500)
    vendor.says("Muy bien, gracias.")
    await scene.hears(1, "¿Diga?")
    assert (first.state, second.state) == (BreakerState.OPEN, BreakerState.CLOSED)
    await scene.hears(2, "¿Oiga?")
    assert asked(vendor) == [FIRST, FIRST, SECOND, SECOND], "the first is left alone"
    clock.now += 60
    await scene.hears(3, "Bueno.")
    assert asked(vendor)[-1] == FIRST
    assert first.state is BreakerState.CLOSED
    assert (await reply(scene)).source is ReplySource.MODEL


async def test_a_wrong_request_opens_no_breaker(
    scene: "Scene", vendor: "Vendor", providers: dict[str, Provider]
) -> None:
    vendor.says(status=400)
    for turn in (1, 2, 3):
        await scene.hears(turn, "¿Diga?")
    assert {provider.breaker.state for provider in providers.values()} == {BreakerState.CLOSED}
