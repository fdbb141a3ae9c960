"""Every kind of fault over a real socket, with the vendors' SDKs as clients."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
from elevenlabs import AsyncElevenLabs
from elevenlabs.core.api_error import ApiError
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from simulators import elevenlabs as elevenlabs_simulator
from simulators import openai as openai_simulator
from simulators.faults import FaultPlan, FaultRule
from simulators.serving import serving

MESSAGES: Any = [{"role": "user", "content": "Yes, I can come."}]


@contextlib.asynccontextmanager
async def model_with(plan: FaultPlan) -> AsyncIterator[openai.AsyncOpenAI]:
    app = plan.middleware("openai", openai_simulator.create_app(speed=100))
    async with (
        serving(app, "127.0.0.1") as origin,
        openai.AsyncOpenAI(base_url=f"{origin}/v1", api_key="sk-fictional", max_retries=0) as client,
    ):
        yield client


@contextlib.asynccontextmanager
async def speech_with(plan: FaultPlan) -> AsyncIterator[AsyncElevenLabs]:
    app = plan.middleware("elevenlabs", elevenlabs_simulator.create_app(speed=100))
    async with serving(app, "127.0.0.1") as origin, httpx.AsyncClient(timeout=60) as http:
        yield AsyncElevenLabs(base_url=origin, api_key="fictional", httpx_client=http)


@contextlib.asynccontextmanager
async def recorder_with(plan: FaultPlan) -> AsyncIterator[tuple[list[str], httpx.AsyncClient]]:
    """Serves an app that records the methods of processed requests; yields the record and a client."""
    processed: list[str] = []

    async def handle(request: Request) -> Response:
        await request.body()
        processed.append(request.method)
        return PlainTextResponse("done")

    routes = [Route(path, handle, methods=["GET", "POST"]) for path in ("/Calls.json", "/_simulator/ledger")]
    app = plan.middleware("twilio", Starlette(routes=routes))
    async with serving(app, "127.0.0.1") as origin, httpx.AsyncClient(base_url=origin, timeout=60) as client:
        yield processed, client


async def complete(client: openai.AsyncOpenAI) -> str | None:
    completion = await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    return completion.choices[0].message.content


async def test_without_rules_a_request_succeeds() -> None:
    async with model_with(FaultPlan(1)) as client:
        assert await complete(client)


async def test_a_reset_is_a_connection_error_for_the_openai_sdk() -> None:
    async with model_with(FaultPlan(1, [FaultRule(target="openai", kind="reset")])) as client:
        with pytest.raises(openai.APIConnectionError):
            await complete(client)


async def test_one_model_can_fail_while_another_answers() -> None:
    plan = FaultPlan(1, [FaultRule(target="openai", kind="status", request_body='"gpt-4o-mini"', status=503)])
    async with model_with(plan) as client:
        with pytest.raises(openai.InternalServerError):
            await complete(client)
        other = await client.chat.completions.create(model="gpt-4.1-mini", messages=MESSAGES)
        assert other.choices[0].message.content, "a body that a rule has read must still reach the vendor"


async def test_a_reset_is_a_transport_error_for_the_elevenlabs_sdk() -> None:
    async with speech_with(FaultPlan(1, [FaultRule(target="elevenlabs", kind="reset")])) as client:
        with pytest.raises(httpx.TransportError):
            _ = [piece async for piece in client.text_to_speech.stream("voice", text="Hello there.")]


async def test_the_openai_sdk_reads_the_body_of_a_status_fault() -> None:
    rule = FaultRule(target="openai", kind="status", status=429, retry_after=2)
    async with model_with(FaultPlan(1, [rule])) as client:
        with pytest.raises(openai.RateLimitError) as error:
            await complete(client)
    assert error.value.code == "rate_limit_exceeded"
    assert error.value.response.headers["retry-after"] == "2"


async def test_the_elevenlabs_sdk_reads_the_body_of_a_status_fault() -> None:
    async with speech_with(FaultPlan(1, [FaultRule(target="elevenlabs", kind="status", status=429)])) as client:
        with pytest.raises(ApiError) as error:
            _ = [piece async for piece in client.text_to_speech.stream("voice", text="Hello there.")]
    assert error.value.status_code == 429
    assert error.value.body["detail"]["status"] == "too_many_concurrent_requests"


async def test_a_status_fault_answers_with_the_status_and_body_of_its_rule() -> None:
    rule = FaultRule(target="twilio", kind="status", status=400, body={"code": 21211})
    async with recorder_with(FaultPlan(1, [rule])) as (processed, client):
        response = await client.post("/Calls.json")
    assert (response.status_code, response.json(), processed) == (400, {"code": 21211}, [])


async def test_a_cut_body_ends_in_an_error_after_some_audio() -> None:
    async with speech_with(FaultPlan(1, [FaultRule(target="elevenlabs", kind="cut_body")])) as client:
        audio = b""
        with pytest.raises(httpx.RemoteProtocolError):  # noqa: PT012 - the audio before the error is checked, too
            async for piece in client.text_to_speech.stream("voice", text="One long sentence that goes on. " * 8):
                audio += piece
    assert audio


async def test_a_cut_body_of_a_whole_answer_is_a_connection_error() -> None:
    async with model_with(FaultPlan(1, [FaultRule(target="openai", kind="cut_body")])) as client:
        with pytest.raises(openai.APIConnectionError):
            await complete(client)


async def test_a_cut_stream_of_the_model_ends_in_an_error_after_some_text() -> None:
    async with model_with(FaultPlan(1, [FaultRule(target="openai", kind="cut_body")])) as client:
        text = ""
        stream: Any = await client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
        with pytest.raises(openai.APIConnectionError):  # noqa: PT012
            async for chunk in stream:
                text += chunk.choices[0].delta.content or ""
                assert chunk.choices[0].finish_reason is None
    assert text


async def test_a_lost_response_was_processed() -> None:
    async with recorder_with(FaultPlan(1, [FaultRule(target="twilio", kind="lost_response")])) as (processed, client):
        with pytest.raises(httpx.TransportError):
            await client.post("/Calls.json", data={"To": "+12125550123"})
    assert processed == ["POST"]


async def test_a_reset_was_not_processed() -> None:
    async with recorder_with(FaultPlan(1, [FaultRule(target="twilio", kind="reset")])) as (processed, client):
        with pytest.raises(httpx.TransportError):
            await client.post("/Calls.json", data={"To": "+12125550123"})
    assert processed == []


async def test_a_latency_fault_exceeds_the_clients_timeout_and_fires_once() -> None:
    rule = FaultRule(target="openai", kind="latency", seconds=30, remaining=1)
    async with model_with(FaultPlan(1, [rule])) as client:
        with pytest.raises(openai.APITimeoutError):
            await complete(client.with_options(timeout=0.2))
        assert await complete(client)


async def test_after_a_latency_the_next_rule_is_tried() -> None:
    rules = [
        FaultRule(target="twilio", kind="latency", seconds=0.001),
        FaultRule(target="twilio", kind="status", status=503),
    ]
    async with recorder_with(FaultPlan(1, rules)) as (_, client):
        response = await client.post("/Calls.json")
    assert (response.status_code, response.json()["code"]) == (503, 20503)


async def test_a_rule_fires_remaining_times_and_for_its_method_only() -> None:
    rule = FaultRule(target="twilio", kind="status", method="post", path=r"Calls\.json$", remaining=2)
    async with recorder_with(FaultPlan(1, [rule])) as (_, client):
        statuses = [(await client.get("/Calls.json")).status_code]
        statuses += [(await client.post("/Calls.json")).status_code for _ in range(3)]
    assert statuses == [200, 500, 500, 200]


async def test_faults_do_not_affect_the_control_routes() -> None:
    async with recorder_with(FaultPlan(1, [FaultRule(target="twilio", kind="reset")])) as (_, client):
        assert (await client.get("/_simulator/ledger")).status_code == 200


async def test_rules_replaced_at_run_time_take_effect_at_once() -> None:
    plan = FaultPlan(1)
    async with recorder_with(plan) as (_, client):
        before = (await client.post("/Calls.json")).status_code
        plan.rules = [FaultRule(target="twilio", kind="status", status=500)]
        during = (await client.post("/Calls.json")).status_code
        plan.rules = []
        after = (await client.post("/Calls.json")).status_code
    assert (before, during, after) == (200, 500, 200)


def draw_faults(seed: int) -> list[bool]:
    plan = FaultPlan(seed, [FaultRule(target="twilio", kind="reset", probability=0.5)])
    return [bool(plan.fire("twilio", "POST", "/Calls.json")) for _ in range(64)]


def test_equal_seeds_draw_equal_faults_and_other_seeds_other_faults() -> None:
    assert draw_faults(7) == draw_faults(7) != draw_faults(8)
    assert True in draw_faults(7)
    assert False in draw_faults(7)


def test_a_rule_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="probabilty"):
        FaultRule.model_validate({"target": "openai", "kind": "reset", "probabilty": 0.1})
