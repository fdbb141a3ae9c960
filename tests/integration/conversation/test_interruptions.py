"""Interruptions of a live conversation: the model stops for them, and its history ends where the sound ended."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from nats.aio.client import Client
from tests.builders.turns import an_interruption
from tests.fakes.model import ModelServer
from tests.integration.conversation.conftest import ActiveCall

from contracts import AudioRequested, ReplyGenerated, SpeechInterrupted
from conversation.adapters.interruptions import following_interruptions

DEADLINE_SECONDS = 60.0
"""A reply that is not cancelled ends by this deadline, after the test has given up."""


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("deadline_seconds", [DEADLINE_SECONDS])
async def test_the_generation_of_an_interrupted_reply_is_cancelled_and_its_turn_is_closed(
    active_call: ActiveCall, model_server: ModelServer, bus_client: Client
) -> None:
    call_id = active_call.call.call_id
    model_server.prepare("Muy bien, gracias. ¿Podrá venir mañana? Le esper", end="stuck")
    model_server.prepare("Sí, dígame. Le escucho.")
    async with following_interruptions(bus_client, active_call.turns.interrupt):
        answering = asyncio.create_task(active_call.callee_says(1, "Sí"))
        await until(lambda: active_call.events(AudioRequested))
        while len(await active_call.sentences(1)) < 2:
            await asyncio.sleep(0.02)
        await active_call.log.append(an_interruption(call_id, 1, "Muy bien"))
        await answering
        await active_call.callee_says(2, "Oiga, una cosa")

    closed, answered = await active_call.events(ReplyGenerated)
    assert (closed.turn, closed.text, closed.sentences) == (1, "Muy bien, gracias. ¿Podrá venir mañana?", 2)
    assert not closed.is_fallback, "the reply ended by its deadline, not by the interruption"
    assert (answered.turn, answered.text) == (2, "Sí, dígame. Le escucho.")
    history = [(one["role"], one["content"]) for one in model_server.requests[-1]["messages"]]
    assert history[-3:] == [("user", "Sí"), ("assistant", "Muy bien…"), ("user", "Oiga, una cosa")]


@pytest.mark.parametrize("deadline_seconds", [DEADLINE_SECONDS])
@pytest.mark.parametrize(("turn", "attempt"), [(0, 1), (1, 2)])
async def test_an_interruption_of_an_earlier_turn_or_another_attempt_cancels_nothing(
    active_call: ActiveCall, model_server: ModelServer, turn: int, attempt: int
) -> None:
    model_server.prepare("Muy bien, gracias. |¿Podrá venir mañana?")
    answering = asyncio.create_task(active_call.callee_says(1, "Sí"))
    await until(lambda: active_call.events(AudioRequested))
    active_call.turns.interrupt(an_interruption(active_call.call.call_id, turn, "Hola", attempt=attempt))
    await answering
    [reply] = await active_call.events(ReplyGenerated)
    assert reply.sentences == 2


async def test_what_is_no_interruption_is_ignored_on_its_subject(active_call: ActiveCall, bus_client: Client) -> None:
    received: list[SpeechInterrupted] = []
    call_id = active_call.call.call_id
    async with following_interruptions(bus_client, received.append):
        await bus_client.publish(f"live.CALLS.speech.interrupted.{call_id}", b"{")
        await active_call.log.append(an_interruption(call_id, 3, "Hola"))
        async with asyncio.timeout(60):
            while not received:
                await asyncio.sleep(0.02)
    assert [(one.turn, one.call_id) for one in received] == [(3, call_id)]
