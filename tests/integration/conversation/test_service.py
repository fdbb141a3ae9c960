"""The composed service: two replicas on a real nats-server, with the OpenAI simulator behind the official SDK."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from pydantic import HttpUrl, SecretStr
from tests.integration.conversation.conftest import ActiveCall

from chassis.serve import connect_bus
from contracts import ConversationEnded, Disposition, ReplyGenerated, Service
from conversation.composition import build
from conversation.domain.phrases import phrases_of
from conversation.settings import Settings
from simulators.faults import FaultRule
from simulators.server import Simulators, running


@pytest.fixture
async def simulators() -> AsyncIterator[Simulators]:
    async with running(seed=3, speed=50) as simulators:
        yield simulators


@pytest.fixture(autouse=True)
async def replicas(nats_url: str, active_call: ActiveCall, simulators: Simulators) -> AsyncIterator[int]:
    """Runs two replicas. `active_call` comes first, because it provisions the streams."""
    settings = Settings(
        openai_api_key=SecretStr("sk-fictional"),
        openai_base_url=HttpUrl(simulators.openai_url),
        turn_deadline_seconds=20,
    )
    async with AsyncExitStack() as stack:
        for _ in range(2):
            bus = await connect_bus(Service.CONVERSATION, nats_url)
            stack.push_async_callback(bus.broker.stop)
            await stack.enter_async_context(build(settings, bus))
            await bus.broker.start()
        yield 2


async def wait_for_reply(active_call: ActiveCall, turn: int) -> ReplyGenerated:
    """Waits for the reply that closes a turn and returns it."""
    async with asyncio.timeout(60):
        while True:
            for reply in await active_call.events(ReplyGenerated):
                if reply.turn == turn:
                    return reply
            await asyncio.sleep(0.02)


async def test_a_conversation_goes_from_the_greeting_to_the_goodbye(active_call: ActiveCall) -> None:
    lines = ["Sí, soy yo.", "Sí, claro que iré.", "Por la mañana, a las diez.", "Nada más, adiós."]
    for turn, line in enumerate(lines, start=1):
        await active_call.append_utterance(turn, line)
        reply = await wait_for_reply(active_call, turn)
        assert not reply.is_fallback
        assert await active_call.sentences(turn) != []
        assert " ".join(await active_call.sentences(turn)) == reply.text
        if await wait_for_ending(active_call, reply):
            break
    (end,) = await active_call.events(ConversationEnded)
    assert end.disposition in (Disposition.CONFIRMED, Disposition.RESCHEDULED)
    assert end.fields != {}


async def wait_for_ending(active_call: ActiveCall, reply: ReplyGenerated) -> bool:
    """Returns whether this reply ends the call, and then waits for the ending, which is appended after it."""
    if not any(call.name == "end_call" for call in reply.tool_calls):
        return False
    async with asyncio.timeout(60):
        while not await active_call.events(ConversationEnded):
            await asyncio.sleep(0.02)
    return True


async def test_the_fallback_is_published_while_the_model_is_down(
    active_call: ActiveCall, simulators: Simulators
) -> None:
    simulators.faults.rules = [FaultRule(target="openai", kind="status", status=500)]
    await active_call.append_utterance(1, "¿Diga?")
    assert (await wait_for_reply(active_call, 1)).text == phrases_of("es").fallback


async def test_a_reset_connection_is_retried(active_call: ActiveCall, simulators: Simulators) -> None:
    simulators.faults.rules = [FaultRule(target="openai", kind="reset", remaining=1)]
    await active_call.append_utterance(1, "¿Diga?")
    assert not (await wait_for_reply(active_call, 1)).is_fallback


async def test_a_turn_with_an_incomplete_answer_is_closed(active_call: ActiveCall, simulators: Simulators) -> None:
    simulators.faults.rules = [FaultRule(target="openai", kind="cut_body")]
    await active_call.append_utterance(1, "¿Diga?")
    reply = await wait_for_reply(active_call, 1)
    assert reply.is_fallback
    assert reply.sentences == len(await active_call.sentences(1))
