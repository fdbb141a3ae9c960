"""A turn on a real nats-server with the official SDK: what is heard is answered and closed."""

from typing import TYPE_CHECKING

import pytest

from contracts import (
    AudioRequested,
    CallStatus,
    ConversationEnded,
    Disposition,
    Event,
    HangupReason,
    ReplyGenerated,
    ToolCall,
)
from conversation.domain.phrases import phrases_of

if TYPE_CHECKING:
    from tests.integration.conversation.conftest import Scene, Vendor

GOODBYE = phrases_of("es").goodbye
NOTE = ("note", '{"field": "hour", "value": "a las diez"}')
HANG_UP = ("end_call", '{"disposition": "confirmed"}')


async def only(scene: "Scene", kind: type[Event]) -> Event:
    found = await scene.facts(kind)
    assert len(found) == 1
    return found[0]


async def test_an_answer_is_spoken_sentence_by_sentence_and_then_closed(scene: "Scene", vendor: "Vendor") -> None:
    vendor.says("Muy bien, gracias. ¿Podrá venir mañana?")
    heard = await scene.hears(1, "Sí, soy yo")
    said = [event for event in await scene.facts(AudioRequested) if event.turn == 1]
    assert [(event.sentence, event.text) for event in said] == [(0, "Muy bien, gracias."), (1, "¿Podrá venir mañana?")]
    assert {(event.attempt, event.language, event.is_reusable) for event in said} == {(1, "es", False)}
    reply = await only(scene, ReplyGenerated)
    assert isinstance(reply, ReplyGenerated)
    assert (reply.text, reply.sentences) == ("Muy bien, gracias. ¿Podrá venir mañana?", 2)
    assert (reply.model, reply.prompt_tokens, reply.completion_tokens) == ("gpt-4.1-mini", 100, 10)
    assert not reply.is_fallback
    assert reply.first_token_seconds is not None
    closed = await scene.log.last(reply.subject)
    assert closed is not None
    assert closed.envelope.causation_id == heard.envelope.id


async def test_the_model_is_told_what_was_said_before(scene: "Scene", vendor: "Vendor") -> None:
    vendor.says("Muy bien. ¿Podrá venir mañana?", NOTE)
    await scene.hears(1, "Sí, a las diez")
    await scene.hears(2, "¿Adónde?")
    system, *rest = vendor.requests[-1]["messages"]
    assert "Recuérdele su cita." in system["content"]
    assert [(message["role"], message["content"]) for message in rest] == [
        ("assistant", "Hola, Ana."),
        ("user", "Sí, a las diez"),
        ("assistant", "Muy bien. ¿Podrá venir mañana?"),
        ("tool", "noted"),
        ("user", "¿Adónde?"),
    ]


async def test_the_model_ends_the_call_with_its_goodbye(scene: "Scene", vendor: "Vendor") -> None:
    vendor.says("Perfecto, hasta mañana. Adiós.", NOTE, HANG_UP)
    await scene.hears(1, "Sí, allí estaré")
    ended = await only(scene, ConversationEnded)
    assert isinstance(ended, ConversationEnded)
    assert (ended.disposition, ended.turn) == (Disposition.CONFIRMED, 1)
    assert ended.fields == {"hour": "a las diez"}
    assert ended.goodbye_seconds > 1
    assert len(vendor.requests) == 1


async def test_a_call_ended_without_a_word_gets_the_stock_goodbye(scene: "Scene", vendor: "Vendor") -> None:
    vendor.says("", HANG_UP)
    await scene.hears(1, "Adiós")
    assert await scene.sentences(1) == [GOODBYE]
    assert (await scene.facts(AudioRequested))[-1].is_reusable
    assert (await scene.facts(ConversationEnded))[0].disposition is Disposition.CONFIRMED


async def test_tools_without_words_are_answered_and_the_model_asked_again(scene: "Scene", vendor: "Vendor") -> None:
    vendor.says("", NOTE)
    vendor.says("Queda anotado.")
    await scene.hears(1, "A las diez")
    assert await scene.sentences(1) == ["Queda anotado."]
    assert [message["role"] for message in vendor.requests[1]["messages"][-2:]] == ["assistant", "tool"]
    reply = (await scene.facts(ReplyGenerated))[0]
    assert reply.tool_calls == (ToolCall(name="note", arguments={"field": "hour", "value": "a las diez"}),)
    assert (reply.prompt_tokens, reply.completion_tokens) == (200, 20)


async def test_a_model_that_only_calls_tools_is_asked_three_times(scene: "Scene", vendor: "Vendor") -> None:
    vendor.says("", NOTE)
    await scene.hears(1, "A las diez")
    assert len(vendor.requests) == 3
    assert await scene.sentences(1) == [phrases_of("es").fallback]


@pytest.mark.parametrize("arguments", ["{", "[]", '{"disposition": "delighted"}', '{"disposition": null}'])
async def test_an_outcome_that_cannot_be_read_still_ends_the_call(
    scene: "Scene", vendor: "Vendor", arguments: str
) -> None:
    vendor.says("Hasta mañana, adiós.", ("end_call", arguments))
    await scene.hears(1, "Adiós")
    assert (await scene.facts(ConversationEnded))[0].disposition is Disposition.ANSWERED


async def test_a_tool_that_does_not_exist_is_answered_too(scene: "Scene", vendor: "Vendor") -> None:
    vendor.says("", ("transfer", "no json"))
    vendor.says("No puedo pasarle con nadie.")
    await scene.hears(1, "Páseme con alguien")
    assert vendor.requests[1]["messages"][-1]["content"] == "there is no such tool"
    assert await scene.sentences(1) == ["No puedo pasarle con nadie."]


async def test_the_second_silence_in_a_row_ends_the_call_without_the_model(scene: "Scene", vendor: "Vendor") -> None:
    vendor.says("¿Sigue usted ahí?")
    await scene.hears(1, "")
    assert vendor.requests[0]["messages"][-1]["content"] == "(The person said nothing.)"
    await scene.hears(2, "")
    assert len(vendor.requests) == 1
    assert await scene.sentences(2) == [GOODBYE]
    assert (await scene.facts(ConversationEnded))[0].disposition is Disposition.UNRESPONSIVE


@pytest.mark.parametrize(
    "changes",
    [{"status": CallStatus.COMPLETED}, {"hangup_reason": HangupReason.CANCELED}, {"attempt": 2}],
    ids=lambda change: str(change),
)
async def test_a_call_that_is_over_is_not_answered(
    scene: "Scene", vendor: "Vendor", changes: dict[str, object]
) -> None:
    await scene.becomes(**changes)
    await scene.hears(1, "¿Diga?")
    assert vendor.requests == []
    assert await scene.facts(ReplyGenerated) == []


async def test_nothing_is_said_after_the_end(scene: "Scene", vendor: "Vendor") -> None:
    vendor.says("Hasta mañana, adiós.", HANG_UP)
    await scene.hears(1, "Adiós")
    await scene.hears(2, "¿Hola?")
    assert await scene.sentences(2) == []
    assert len(vendor.requests) == 1


async def test_an_english_call_is_spoken_in_english(scene: "Scene", vendor: "Vendor") -> None:
    vendor.says("", HANG_UP)
    await scene.becomes(language="en-US")
    await scene.hears(1, "Goodbye")
    assert "Language: English (en-US)" in vendor.requests[0]["messages"][0]["content"]
    assert await scene.sentences(1) == [phrases_of("en-US").goodbye]
