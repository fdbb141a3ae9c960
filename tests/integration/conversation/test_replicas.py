"""Redelivery, crashes and two replicas at once: no turn is answered twice, none is left open."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from contracts import AudioRequested, ConversationEnded, ReplyGenerated, ToolCall
from contracts.streams import call_filters
from conversation.application.speaking import AnsweredElsewhere
from conversation.domain.phrases import phrases_of

if TYPE_CHECKING:
    from tests.integration.conversation.conftest import Scene, Vendor

HANG_UP = ToolCall(name="end_call", arguments={"disposition": "confirmed"})


def sentence(scene: "Scene", number: int, text: str, turn: int = 1) -> AudioRequested:
    return AudioRequested(call_id=scene.call.call_id, attempt=1, turn=turn, sentence=number, text=text, language="es")


def reply(scene: "Scene", text: str, *tools: ToolCall) -> ReplyGenerated:
    return ReplyGenerated(
        call_id=scene.call.call_id,
        attempt=1,
        turn=1,
        text=text,
        sentences=1,
        model="m",
        latency_seconds=1,
        tool_calls=tools,
    )


async def test_a_turn_that_is_delivered_again_is_not_answered_again(scene: "Scene", vendor: "Vendor") -> None:
    vendor.says("Muy bien, gracias.", ("end_call", '{"disposition": "confirmed"}'))
    recorded = await scene.hears(1, "Sí")
    before = await scene.log.read(call_filters(scene.call.call_id))
    await scene.answer(recorded)
    assert await scene.log.read(call_filters(scene.call.call_id)) == before
    assert len(vendor.requests) == 1


@pytest.mark.parametrize("deadline_seconds", [0.1])
async def test_a_turn_that_a_crash_left_open_is_closed_with_what_was_said(scene: "Scene", vendor: "Vendor") -> None:
    recorded = await scene.heard(1, "Sí")
    await scene.log.append(sentence(scene, 0, "Muy bien, gracias."))
    await scene.log.append(sentence(scene, 1, "¿Podrá venir?"))
    await asyncio.sleep(0.2)
    await scene.answer(recorded)
    closed = await scene.facts(ReplyGenerated)
    assert [(one.text, one.sentences, one.is_fallback) for one in closed] == [
        ("Muy bien, gracias. ¿Podrá venir?", 2, False)
    ]
    assert len(await scene.sentences(1)) == 2
    assert vendor.requests == []


@pytest.mark.parametrize("deadline_seconds", [0.1])
async def test_a_fallback_that_a_crash_left_open_is_still_a_fallback(scene: "Scene") -> None:
    recorded = await scene.heard(1, "Sí")
    await scene.log.append(sentence(scene, 0, phrases_of("es").fallback))
    await asyncio.sleep(0.2)
    await scene.answer(recorded)
    assert (await scene.facts(ReplyGenerated))[0].is_fallback


async def test_a_turn_that_another_replica_has_just_begun_is_left_to_it(scene: "Scene", vendor: "Vendor") -> None:
    recorded = await scene.heard(1, "Sí")
    await scene.log.append(sentence(scene, 0, "Muy bien, gracias."))
    with pytest.raises(AnsweredElsewhere):
        await scene.answer(recorded)
    assert await scene.facts(ReplyGenerated) == []
    assert vendor.requests == []


async def test_an_ending_that_a_crash_left_out_is_made_good(scene: "Scene") -> None:
    recorded = await scene.heard(1, "Sí")
    await scene.log.append(sentence(scene, 0, "Adiós."))
    await scene.log.append(reply(scene, "Adiós.", HANG_UP))
    await scene.answer(recorded)
    await scene.answer(recorded)
    assert len(await scene.facts(ConversationEnded)) == 1


async def test_of_two_replicas_at_once_one_answers_and_no_sentence_of_the_other_is_heard(
    scene: "Scene", vendor: "Vendor"
) -> None:
    vendor.says("Primera respuesta, uno. Primera respues||ta, dos.")  # the first to speak is the last to go on
    vendor.says("|Segunda respuesta, uno. Segunda respuesta, dos.")
    recorded = await scene.heard(1, "Sí")
    outcomes = await asyncio.gather(scene.answer(recorded), scene.answer(recorded), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes if outcome] == [AnsweredElsewhere]
    assert len(vendor.requests) == 2
    said = await scene.sentences(1)
    assert len(said) == 2
    assert len({sentence.split()[0] for sentence in said}) == 1
    assert [one.text for one in await scene.facts(ReplyGenerated)] == [" ".join(said)]


async def test_a_turn_spoken_over_does_not_keep_the_next_from_being_answered(scene: "Scene", vendor: "Vendor") -> None:
    vendor.says("Muy bien, gracias. ¿Podrá venir mañana?")
    first, second = await scene.heard(1, "Sí"), await scene.heard(2, "Oiga")
    await asyncio.gather(scene.answer(first), scene.answer(second))
    assert len(await scene.sentences(1)) == len(await scene.sentences(2)) == 2
    assert sorted(one.turn for one in await scene.facts(ReplyGenerated)) == [1, 2]
