"""A question that others have asked is answered without the model, if that is wished for."""

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from nats.aio.client import Client
from nats.js.kv import KeyValue
from prometheus_client import REGISTRY

from contracts import AudioRequested, ReplyGenerated, ReplySource
from contracts.streams import ANSWERS_BUCKET
from conversation.adapters.answers import KeptAnswers
from conversation.application.turns import Turns

if TYPE_CHECKING:
    from tests.integration.conversation.conftest import Scene, Vendor

QUESTION = "¿Quién es usted?"


def counted(name: str) -> float:
    return REGISTRY.get_sample_value(f"centralita_answer_cache_{name}_total") or 0.0


@pytest.fixture
async def bucket(bus_client: Client) -> KeyValue:
    return await bus_client.jetstream().key_value(ANSWERS_BUCKET)


@pytest.fixture(autouse=True)
def keeping(scene: "Scene", bucket: KeyValue) -> None:
    """The scene, with answers kept for a minute."""
    scene.turns = Turns(scene.log, scene.models, KeptAnswers(bucket, seconds=60), deadline_seconds=5)


async def another_call(scene: "Scene", name: str = "Luis") -> None:
    """From now on the scene is another person's call."""
    await scene.becomes(call_id=uuid4(), request_id="r-2", variables={"name": name})


async def replies(scene: "Scene") -> list[ReplyGenerated]:
    return await scene.facts(ReplyGenerated)


async def test_the_same_question_is_answered_again_without_the_model(scene: "Scene", vendor: "Vendor") -> None:
    vendor.says("Soy el asistente. ¿Podrá venir mañana?")
    hits, misses = counted("hits"), counted("misses")
    await scene.hears(1, QUESTION)
    await another_call(scene)
    await scene.hears(1, "quien es usted")
    [reply] = await replies(scene)
    assert (reply.source, reply.text, reply.sentences) == (
        ReplySource.CACHED_ANSWER,
        "Soy el asistente. ¿Podrá venir mañana?",
        2,
    )
    assert (reply.prompt_tokens, reply.is_fallback) == (None, False)
    assert len(vendor.requests) == 1
    assert (counted("hits"), counted("misses")) == (hits + 1, misses + 1)
    assert {event.is_reusable for event in await scene.facts(AudioRequested)} == {True}, "worth keeping as clips too"


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (QUESTION, ("Encantado, Ana.",)),
        ("¿Es para Ana?", ("Así es.",)),
        ("A las 10", ("Muy bien.",)),
        (QUESTION, ("Queda anotado.", ("note", '{"field": "hour", "value": "diez"}'))),
        (QUESTION, ("Hasta luego, adiós.", ("end_call", '{"disposition": "confirmed"}'))),
    ],
    ids=["a name in the answer", "a name in the question", "a number", "a note", "the end"],
)
async def test_what_is_one_persons_is_not_kept(
    scene: "Scene", vendor: "Vendor", bucket: KeyValue, question: str, answer: tuple[object, ...]
) -> None:
    vendor.says(*answer)  # type: ignore[arg-type]
    await scene.hears(1, question)
    assert (await bucket.status()).values == 0


async def test_an_answer_that_broke_off_is_not_kept(scene: "Scene", vendor: "Vendor", bucket: KeyValue) -> None:
    vendor.says("Soy el asistente. ¿Podrá venir", end="cut")
    await scene.hears(1, QUESTION)
    assert (await bucket.status()).values == 0


async def test_an_answer_expires(scene: "Scene", vendor: "Vendor", bucket: KeyValue) -> None:
    scene.turns = Turns(scene.log, scene.models, KeptAnswers(bucket, seconds=1), deadline_seconds=5)
    vendor.says("Soy el asistente.")
    await scene.hears(1, QUESTION)
    assert (await bucket.status()).values == 1
    async with asyncio.timeout(20):
        while (await bucket.status()).values:
            await asyncio.sleep(0.1)
    await another_call(scene)
    await scene.hears(1, QUESTION)
    assert len(vendor.requests) == 2


async def test_the_cache_is_bounded(bucket: KeyValue) -> None:
    status = (await bucket.status()).stream_info.config
    assert (status.max_bytes, status.max_msg_size, status.max_age) == (16 * 1024 * 1024, 4096, 86_400)


async def test_a_cache_that_is_gone_costs_nothing(scene: "Scene", vendor: "Vendor", bus_client: Client) -> None:
    await bus_client.jetstream().delete_key_value(ANSWERS_BUCKET)
    vendor.says("Soy el asistente.")
    await scene.hears(1, QUESTION)
    assert [reply.text for reply in await replies(scene)] == ["Soy el asistente."]
