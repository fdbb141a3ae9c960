"""A text over REST in place of an utterance, and its reply as streamed audio."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest
from nats.aio.client import Client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp
from structlog.testing import capture_logs
from tests.integration.edge.conftest import API_KEY

from chassis.broker import Broker
from chassis.event_log import EventLog
from chassis.serve import Bus
from contracts import Call, ConversationEnded, Disposition, Service, SpeechHeard
from edge.composition import build
from edge.settings import Settings
from telephony.media import derive_media_key, verify

if TYPE_CHECKING:
    from tests.integration.edge.conftest import Orchestrator

Listening = Callable[[ASGIApp], AbstractAsyncContextManager[str]]


@dataclass
class FakeVoice:
    """Serves the first half of a turn's audio at once, and the second half when the test allows it."""

    may_continue: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    requested_paths: list[str] = field(default_factory=list)
    status: int = 200
    is_interrupted: bool = False

    async def media(self, request: Request) -> Response:
        token = request.query_params["token"]
        after_sequence = int(request.query_params["after"])
        assert verify(derive_media_key("0123456789abcdef0123456789abcdef"), request.url.path, token, after_sequence)
        self.requested_paths.append(request.url.path)
        if self.status != 200:
            return Response(status_code=self.status)
        headers = {"Content-Length": "12"} if self.is_interrupted else None
        return StreamingResponse(self.audio(), media_type="audio/mpeg", headers=headers)

    async def audio(self) -> AsyncIterator[bytes]:
        try:
            yield b"first-"
            await self.may_continue.wait()
            if not self.is_interrupted:
                yield b"second"
        finally:
            self.closed.set()


@pytest.fixture
async def voice(on_a_port: Listening) -> AsyncIterator[tuple[FakeVoice, str]]:
    fake = FakeVoice()
    async with on_a_port(Starlette(routes=[Route("/media/{rest:path}", fake.media)])) as url:
        yield fake, url
        fake.may_continue.set()


@pytest.fixture
async def edge(
    voice: tuple[FakeVoice, str], bus_client: Client, settings: Settings, on_a_port: Listening
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an edge on a real port that uses the fake voice."""
    with_voice = Settings.model_validate({**settings.model_dump(), "voice_url": voice[1]})
    bus = Bus(bus_client, Broker(), Service.EDGE)
    async with (
        build(with_voice, bus) as app,
        on_a_port(app) as url,
        httpx.AsyncClient(base_url=url, headers={"X-API-Key": API_KEY}, trust_env=False, timeout=60) as http,
    ):
        yield http


async def test_the_reply_is_streamed_during_its_synthesis(
    edge: httpx.AsyncClient, voice: tuple[FakeVoice, str], talking: Call, calls: EventLog
) -> None:
    payload = {"message": " ¿Quién es? "}
    async with edge.stream("POST", f"/api/v1/calls/{talking.call_id}/response", json=payload) as answer:
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "audio/mpeg")
        chunks = answer.aiter_raw()
        assert await anext(chunks) == b"first-"
        assert not voice[0].closed.is_set()
        voice[0].may_continue.set()
        assert b"".join([chunk async for chunk in chunks]) == b"second"

    assert voice[0].requested_paths == [f"/media/{talking.call_id}/1/1"]
    stored = await calls.last(f"speech.heard.{talking.call_id}")
    assert stored
    assert stored.event == SpeechHeard(
        call_id=talking.call_id, attempt=1, turn=1, text="¿Quién es?", confidence=None, language="es"
    )


async def test_simultaneous_texts_claim_successive_turns(
    edge: httpx.AsyncClient, voice: tuple[FakeVoice, str], talking: Call, calls: EventLog
) -> None:
    voice[0].may_continue.set()
    await calls.append(SpeechHeard(call_id=talking.call_id, attempt=1, turn=4, text="hola", language="es"))
    path = f"/api/v1/calls/{talking.call_id}/response"

    answers = await asyncio.gather(*(edge.post(path, json={"message": "sí"}) for _ in range(3)))

    assert [answer.content for answer in answers] == [b"first-second"] * 3
    assert sorted(voice[0].requested_paths) == [f"/media/{talking.call_id}/1/{turn}" for turn in (5, 6, 7)]


async def test_the_turns_of_an_earlier_attempt_do_not_count(
    edge: httpx.AsyncClient, voice: tuple[FakeVoice, str], talking: Call, orchestrator: "Orchestrator", calls: EventLog
) -> None:
    voice[0].may_continue.set()
    await calls.append(SpeechHeard(call_id=talking.call_id, attempt=1, turn=4, text="hola", language="es"))
    await orchestrator.move(talking.call_id, attempt=2)

    await edge.post(f"/api/v1/calls/{talking.call_id}/response", json={"message": "sí"})

    assert voice[0].requested_paths == [f"/media/{talking.call_id}/2/1"]


async def test_a_client_that_disconnects_ends_the_request_to_voice(
    edge: httpx.AsyncClient, voice: tuple[FakeVoice, str], talking: Call
) -> None:
    path = f"/api/v1/calls/{talking.call_id}/response"
    async with edge.stream("POST", path, json={"message": "sí"}) as answer:
        await anext(answer.aiter_raw())

    await asyncio.wait_for(voice[0].closed.wait(), 60)


async def test_interrupted_audio_does_not_end_like_complete_audio(
    edge: httpx.AsyncClient, voice: tuple[FakeVoice, str], talking: Call
) -> None:
    voice[0].is_interrupted = True
    voice[0].may_continue.set()

    with pytest.raises(httpx.RemoteProtocolError):
        await edge.post(f"/api/v1/calls/{talking.call_id}/response", json={"message": "sí"})


async def test_an_error_of_voice_is_answered_with_502_and_logged(
    edge: httpx.AsyncClient, voice: tuple[FakeVoice, str], talking: Call
) -> None:
    voice[0].status = 500

    with capture_logs() as logs:
        answer = await edge.post(f"/api/v1/calls/{talking.call_id}/response", json={"message": "sí"})

    assert answer.status_code == 502
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert [line["reason"] for line in logs if line["event"] == "speech_unavailable"] == ["voice answered 500"]


async def test_an_unreachable_voice_is_answered_with_502(bus_client: Client, settings: Settings, talking: Call) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # the port is bound but does not listen
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        unreachable = Settings.model_validate({**settings.model_dump(), "voice_url": url})
        bus = Bus(bus_client, Broker(), Service.EDGE)
        async with build(unreachable, bus) as app, httpx.AsyncClient(transport=httpx.ASGITransport(app)) as http:
            answer = await http.post(
                f"http://edge.internal/api/v1/calls/{talking.call_id}/response",
                json={"message": "sí"},
                headers={"X-API-Key": API_KEY},
            )

    assert answer.status_code == 502


async def test_a_call_that_is_not_answered_accepts_no_text(
    api: httpx.AsyncClient, waiting: Call, calls: EventLog
) -> None:
    answer = await api.post(f"/api/v1/calls/{waiting.call_id}/response", json={"message": "sí"})

    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:centralita:problem:not-in-progress"
    assert await calls.last(f"speech.heard.{waiting.call_id}") is None


async def test_a_conversation_that_has_ended_accepts_no_text(
    api: httpx.AsyncClient, talking: Call, calls: EventLog
) -> None:
    await calls.append(
        ConversationEnded(call_id=talking.call_id, attempt=1, turn=1, disposition=Disposition.DECLINED, summary="")
    )

    answer = await api.post(f"/api/v1/calls/{talking.call_id}/response", json={"message": "sí"})

    assert answer.status_code == 409


async def test_an_unknown_call_accepts_no_text(api: httpx.AsyncClient) -> None:
    assert (await api.post(f"/api/v1/calls/{uuid4()}/response", json={"message": "sí"})).status_code == 404


@pytest.mark.parametrize("payload", [{}, {"message": "  "}, {"message": "x" * 2001}, {"message": "sí", "turn": 3}])
async def test_an_invalid_text_is_refused(api: httpx.AsyncClient, talking: Call, payload: dict[str, object]) -> None:
    answer = await api.post(f"/api/v1/calls/{talking.call_id}/response", json=payload)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] in ("message", "turn")
