"""Call-screening assistants: answered once, without the model; then the conversation continues."""

import asyncio

import pytest
from tests.fakes.model import ModelServer
from tests.integration.conversation.conftest import ActiveCall

from contracts import AudioRequested, ConversationEnded, ReplyGenerated, ReplySource
from contracts.script import render_greeting
from simulators.twilio.callee_phrases import SCREENING_PROMPT

PROMPT = SCREENING_PROMPT["es"]


def greeting_of(active_call: ActiveCall) -> str:
    return render_greeting(active_call.call.script_template, active_call.call.variables)


async def test_an_assistant_hears_once_who_calls_and_the_person_is_answered_by_the_model(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    model_server.prepare("Muy bien, gracias.")
    for turn, text in enumerate((PROMPT, PROMPT, "Sí, soy yo."), start=1):
        stored = await active_call.callee_says(turn, text)
        await active_call.deliver(stored)  # every message may be delivered twice
    greeting = greeting_of(active_call)
    replies = await active_call.events(ReplyGenerated)
    assert [(reply.text, reply.sentences) for reply in replies] == [
        (greeting, 1),
        ("", 0),
        ("Muy bien, gracias.", 1),
    ]
    assert [reply.source for reply in replies] == [
        ReplySource.SCREENING_ANSWER,
        ReplySource.SCREENING_ANSWER,
        ReplySource.MODEL,
    ]
    [request] = model_server.requests
    spoken = [message["content"] for message in request["messages"] if message["role"] != "developer"]
    assert spoken[-5:] == [greeting, PROMPT, greeting, PROMPT, "Sí, soy yo."]
    assert await active_call.events(ConversationEnded) == []


async def test_the_answer_to_an_assistant_has_the_clip_of_the_greeting(active_call: ActiveCall) -> None:
    await active_call.callee_says(1, PROMPT)
    requested = (await active_call.events(AudioRequested))[-1]
    assert (requested.turn, requested.text, requested.is_reusable) == (1, greeting_of(active_call), True)


@pytest.mark.parametrize("deadline_seconds", [0.1])
async def test_an_answer_whose_replica_died_is_closed_as_such(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    model_server.prepare("Esto no se dice.")
    utterance = await active_call.append_utterance(1, PROMPT)
    await active_call.append_sentence(1, 0, greeting_of(active_call))
    await asyncio.sleep(0.2)
    await active_call.deliver(utterance)
    [reply] = await active_call.events(ReplyGenerated)
    assert (reply.source, reply.text) == (ReplySource.SCREENING_ANSWER, greeting_of(active_call))
    assert model_server.requests == []
