"""Second deliveries, crashes and two replicas at once: each turn is answered once and closed."""

import asyncio

import pytest
from tests.builders.turns import a_reply
from tests.fakes.model import ModelServer
from tests.integration.conversation.conftest import ActiveCall

from contracts import ConversationEnded, ReplyGenerated, ToolCall
from contracts.filters import call_filters
from conversation.application.turn_events import TurnClaimed
from conversation.domain.phrases import phrases_of

END_CALL = ToolCall(name="end_call", arguments={"disposition": "confirmed"})


async def test_a_second_delivery_of_an_answered_utterance_changes_nothing(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    model_server.prepare("Muy bien, gracias.", ("end_call", '{"disposition": "confirmed"}'))
    stored = await active_call.callee_says(1, "Sí")
    before = await active_call.log.read(call_filters(active_call.call.call_id))
    await active_call.deliver(stored)
    assert await active_call.log.read(call_filters(active_call.call.call_id)) == before
    assert len(model_server.requests) == 1


@pytest.mark.parametrize("deadline_seconds", [0.1])
async def test_a_turn_that_a_crash_left_open_is_closed_with_its_published_sentences(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    stored = await active_call.append_utterance(1, "Sí")
    await active_call.append_sentence(1, 0, "Muy bien, gracias.")
    await active_call.append_sentence(1, 1, "¿Podrá venir?")
    await asyncio.sleep(0.2)
    await active_call.deliver(stored)
    replies = await active_call.events(ReplyGenerated)
    assert [(one.text, one.sentences, one.is_fallback) for one in replies] == [
        ("Muy bien, gracias. ¿Podrá venir?", 2, False)
    ]
    assert len(await active_call.sentences(1)) == 2
    assert model_server.requests == []


@pytest.mark.parametrize("deadline_seconds", [0.1])
async def test_a_fallback_that_a_crash_left_open_is_closed_as_a_fallback(active_call: ActiveCall) -> None:
    stored = await active_call.append_utterance(1, "Sí")
    await active_call.append_sentence(1, 0, phrases_of("es").fallback)
    await asyncio.sleep(0.2)
    await active_call.deliver(stored)
    assert (await active_call.events(ReplyGenerated))[0].is_fallback


async def test_a_turn_that_another_replica_has_just_claimed_is_handled_again_later(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    stored = await active_call.append_utterance(1, "Sí")
    await active_call.append_sentence(1, 0, "Muy bien, gracias.")
    with pytest.raises(TurnClaimed):
        await active_call.deliver(stored)
    assert await active_call.events(ReplyGenerated) == []
    assert model_server.requests == []


async def test_an_ending_that_a_crash_prevented_is_appended_once(active_call: ActiveCall) -> None:
    stored = await active_call.append_utterance(1, "Sí")
    await active_call.append_sentence(1, 0, "Adiós.")
    await active_call.log.append(a_reply(active_call.call.call_id, 1, "Adiós.", END_CALL))
    await active_call.deliver(stored)
    await active_call.deliver(stored)
    assert len(await active_call.events(ConversationEnded)) == 1


async def test_of_two_replicas_at_once_one_answers_and_the_other_publishes_nothing(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    model_server.prepare("Primera respuesta, uno. Primera respues||ta, dos.")  # begins first and ends last
    model_server.prepare("|Segunda respuesta, uno. Segunda respuesta, dos.")
    stored = await active_call.append_utterance(1, "Sí")
    results = await asyncio.gather(active_call.deliver(stored), active_call.deliver(stored), return_exceptions=True)
    assert [type(result) for result in results if result] == [TurnClaimed]
    assert len(model_server.requests) == 2
    sentences = await active_call.sentences(1)
    assert len(sentences) == 2
    assert len({sentence.split()[0] for sentence in sentences}) == 1
    assert [one.text for one in await active_call.events(ReplyGenerated)] == [" ".join(sentences)]


async def test_a_turn_that_the_callee_interrupted_and_the_next_one_are_both_answered(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    model_server.prepare("Muy bien, gracias. ¿Podrá venir mañana?")
    first, second = await active_call.append_utterance(1, "Sí"), await active_call.append_utterance(2, "Oiga")
    await asyncio.gather(active_call.deliver(first), active_call.deliver(second))
    assert len(await active_call.sentences(1)) == len(await active_call.sentences(2)) == 2
    assert sorted(one.turn for one in await active_call.events(ReplyGenerated)) == [1, 2]
