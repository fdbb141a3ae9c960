"""With the answer cache, a repeated question is answered without the model."""

import asyncio
from uuid import uuid4

import pytest
from nats.aio.client import Client
from nats.js.kv import KeyValue
from prometheus_client import REGISTRY
from tests.fakes.model import ModelServer
from tests.integration.conversation.conftest import ActiveCall

from contracts import AudioRequested, ReplyGenerated, ReplySource
from contracts.buckets import ANSWERS
from conversation.adapters.nats import NatsAnswerCache
from conversation.application.turns import Turns

QUESTION = "¿Quién es usted?"


def counted(name: str) -> float:
    return REGISTRY.get_sample_value(f"centralita_answer_cache_{name}_total") or 0.0


def use_cache(active_call: ActiveCall, bucket: KeyValue, expiry_seconds: int) -> None:
    cache = NatsAnswerCache(bucket, expiry_seconds=expiry_seconds)
    active_call.turns = Turns(active_call.log, active_call.models, cache, deadline_seconds=60)


@pytest.fixture
async def bucket(bus_client: Client) -> KeyValue:
    return await bus_client.jetstream().key_value(ANSWERS.name)


@pytest.fixture(autouse=True)
def cache(active_call: ActiveCall, bucket: KeyValue) -> None:
    """Enables an answer cache in the call; its answers expire after a minute."""
    use_cache(active_call, bucket, expiry_seconds=60)


async def become_another_call(active_call: ActiveCall) -> None:
    """Makes `active_call` the call of another callee."""
    await active_call.change(call_id=uuid4(), request_id="r-2", variables={"name": "Luis"})


async def replies(active_call: ActiveCall) -> list[ReplyGenerated]:
    return await active_call.events(ReplyGenerated)


async def test_another_callees_same_question_is_answered_without_the_model(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    model_server.prepare("Soy el asistente. ¿Podrá venir mañana?")
    hits, misses = counted("hits"), counted("misses")
    await active_call.callee_says(1, QUESTION)
    await become_another_call(active_call)
    await active_call.callee_says(1, "quien es usted")
    [reply] = await replies(active_call)
    assert (reply.source, reply.text, reply.sentences) == (
        ReplySource.CACHED_ANSWER,
        "Soy el asistente. ¿Podrá venir mañana?",
        2,
    )
    assert (reply.prompt_tokens, reply.is_fallback) == (None, False)
    assert len(model_server.requests) == 1
    assert (counted("hits"), counted("misses")) == (hits + 1, misses + 1)
    assert {event.is_reusable for event in await active_call.events(AudioRequested)} == {True}, "clips are reusable too"


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
async def test_a_personal_answer_is_not_stored(
    active_call: ActiveCall, model_server: ModelServer, bucket: KeyValue, question: str, answer: tuple[object, ...]
) -> None:
    model_server.prepare(*answer)  # type: ignore[arg-type]
    await active_call.callee_says(1, question)
    assert (await bucket.status()).values == 0


async def test_an_incomplete_answer_is_not_stored(
    active_call: ActiveCall, model_server: ModelServer, bucket: KeyValue
) -> None:
    model_server.prepare("Soy el asistente. ¿Podrá venir", end="cut")
    await active_call.callee_says(1, QUESTION)
    assert (await bucket.status()).values == 0


async def test_an_answer_expires(active_call: ActiveCall, model_server: ModelServer, bucket: KeyValue) -> None:
    use_cache(active_call, bucket, expiry_seconds=1)
    model_server.prepare("Soy el asistente.")
    await active_call.callee_says(1, QUESTION)
    assert (await bucket.status()).stream_info.state.last_seq >= 1, "it was stored, and may have expired"
    async with asyncio.timeout(60):
        while (await bucket.status()).values:
            await asyncio.sleep(0.1)
    await become_another_call(active_call)
    await active_call.callee_says(1, QUESTION)
    assert len(model_server.requests) == 2


async def test_the_cache_is_bounded(bucket: KeyValue) -> None:
    status = (await bucket.status()).stream_info.config
    assert (status.max_bytes, status.max_msg_size, status.max_age) == (16 * 1024 * 1024, 4096, 86_400)


async def test_a_missing_bucket_does_not_prevent_an_answer(
    active_call: ActiveCall, model_server: ModelServer, bus_client: Client
) -> None:
    await bus_client.jetstream().delete_key_value(ANSWERS.name)
    model_server.prepare("Soy el asistente.")
    await active_call.callee_says(1, QUESTION)
    assert [reply.text for reply in await replies(active_call)] == ["Soy el asistente."]
