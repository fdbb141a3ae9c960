"""The service as it is composed: two replicas on a real nats-server, the OpenAI simulator through the official SDK."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
from pydantic import HttpUrl, SecretStr

from chassis.serve import connect_bus
from contracts import ConversationEnded, Disposition, ReplyGenerated, Service
from conversation.composition import build
from conversation.domain.phrases import phrases_of
from conversation.settings import Settings
from simulators.faults import FaultRule
from simulators.server import Simulators, running

if TYPE_CHECKING:
    from tests.integration.conversation.conftest import Scene


@pytest.fixture
async def simulators() -> AsyncIterator[Simulators]:
    async with running(seed=3, speed=50) as simulators:
        yield simulators


@pytest.fixture(autouse=True)
async def replicas(nats_url: str, scene: "Scene", simulators: Simulators) -> AsyncIterator[int]:
    """Two of them; `scene` comes first, so that the streams are there."""
    settings = Settings(openai_api_key=SecretStr("sk-fictional"), openai_base_url=HttpUrl(simulators.openai_url))
    async with AsyncExitStack() as stack:
        for _ in range(2):
            bus = await connect_bus(Service.CONVERSATION, nats_url)
            stack.push_async_callback(bus.broker.stop)
            await stack.enter_async_context(build(settings, bus))
            await bus.broker.start()
        yield 2


async def replied(scene: "Scene", turn: int) -> ReplyGenerated:
    """The reply that closes a turn, once it is there."""
    async with asyncio.timeout(20):
        while True:
            for reply in await scene.facts(ReplyGenerated):
                if reply.turn == turn:
                    return reply
            await asyncio.sleep(0.02)


async def test_a_conversation_is_held_from_the_greeting_to_the_goodbye(scene: "Scene") -> None:
    lines = ["Sí, soy yo.", "Sí, claro que iré.", "Por la mañana, a las diez.", "Nada más, adiós."]
    for turn, line in enumerate(lines, start=1):
        await scene.heard(turn, line)
        reply = await replied(scene, turn)
        assert not reply.is_fallback
        assert await scene.sentences(turn) != []
        assert " ".join(await scene.sentences(turn)) == reply.text
        if await ended(scene, reply):
            break
    (end,) = await scene.facts(ConversationEnded)
    assert end.disposition in (Disposition.CONFIRMED, Disposition.RESCHEDULED)
    assert end.fields != {}


async def ended(scene: "Scene", reply: ReplyGenerated) -> bool:
    """Whether this reply is the last; the ending is appended right after it."""
    if not any(call.name == "end_call" for call in reply.tool_calls):
        return False
    async with asyncio.timeout(20):
        while not await scene.facts(ConversationEnded):
            await asyncio.sleep(0.02)
    return True


async def test_a_model_that_is_down_gets_the_fallback_line(scene: "Scene", simulators: Simulators) -> None:
    simulators.faults.rules = [FaultRule(target="openai", kind="status", status=500)]
    await scene.heard(1, "¿Diga?")
    assert (await replied(scene, 1)).text == phrases_of("es").fallback


async def test_a_model_that_resets_one_connection_is_asked_again(scene: "Scene", simulators: Simulators) -> None:
    simulators.faults.rules = [FaultRule(target="openai", kind="reset", remaining=1)]
    await scene.heard(1, "¿Diga?")
    assert not (await replied(scene, 1)).is_fallback


async def test_an_answer_cut_midway_is_closed(scene: "Scene", simulators: Simulators) -> None:
    simulators.faults.rules = [FaultRule(target="openai", kind="cut_body")]
    await scene.heard(1, "¿Diga?")
    reply = await replied(scene, 1)
    assert reply.is_fallback
    assert reply.sentences == len(await scene.sentences(1))
