"""Saying something in the callee's place over REST, and hearing the reply as it is made."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest
from faststream.nats import NatsBroker
from nats.aio.client import Client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp
from structlog.testing import capture_logs

from chassis.event_log import EventLog
from chassis.serve import Bus
from contracts import Call, ConversationEnded, Disposition, SpeechHeard
from edge.composition import build
from edge.settings import Settings
from telephony.media import verify

if TYPE_CHECKING:
    from tests.integration.edge.conftest import Orchestrator

Listening = Callable[[ASGIApp], AbstractAsyncContextManager[str]]


@dataclass
class Voice:
    """Plays voice: half of the audio, and the rest when the test lets it."""

    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[str] = field(default_factory=list)
    status: int = 200
    breaks: bool = False

    async def media(self, request: Request) -> Response:
        token = request.query_params["token"]
        assert verify("0123456789abcdef0123456789abcdef", request.url.path, token)
        self.asked.append(request.url.path)
        if self.status != 200:
            return Response(status_code=self.status)
        headers = {"Content-Length": "12"} if self.breaks else None
        return StreamingResponse(self.audio(), media_type="audio/mpeg", headers=headers)

    async def audio(self) -> AsyncIterator[bytes]:
        try:
            yield b"first-"
            await self.go_on.wait()
            if not self.breaks:
                yield b"second"
        finally:
            self.left.set()


@pytest.fixture
async def voice(on_a_port: Listening) -> AsyncIterator[tuple[Voice, str]]:
    played = Voice()
    async with on_a_port(Starlette(routes=[Route("/media/{rest:path}", played.media)])) as url:
        yield played, url
        played.go_on.set()


@pytest.fixture
async def edge(
    voice: tuple[Voice, str], bus_client: Client, settings: Settings, on_a_port: Listening
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an edge on a real port, whose voice is the one that the test plays."""
    with_voice = Settings.model_validate({**settings.model_dump(), "voice_url": voice[1]})
    bus = Bus(bus_client, NatsBroker(), EventLog(bus_client, "CALLS", source="edge"))
    async with (
        build(with_voice, bus) as app,
        on_a_port(app) as url,
        httpx.AsyncClient(base_url=url, headers={"X-API-Key": "a-good-key"}, trust_env=False) as http,
    ):
        yield http


async def test_the_reply_is_heard_as_it_is_made(
    edge: httpx.AsyncClient, voice: tuple[Voice, str], talking: Call, calls: EventLog
) -> None:
    said = {"message": " ¿Quién es? "}
    async with edge.stream("POST", f"/api/v1/calls/{talking.call_id}/response", json=said) as answer:
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "audio/mpeg")
        chunks = answer.aiter_raw()
        assert await anext(chunks) == b"first-"
        assert not voice[0].left.is_set()
        voice[0].go_on.set()
        assert b"".join([chunk async for chunk in chunks]) == b"second"

    assert voice[0].asked == [f"/media/{talking.call_id}/1/1"]
    stored = await calls.last(f"speech.heard.{talking.call_id}")
    assert stored
    assert stored.event == SpeechHeard(
        call_id=talking.call_id, attempt=1, turn=1, text="¿Quién es?", confidence=None, language="es"
    )


async def test_each_message_takes_the_next_turn_even_at_once(
    edge: httpx.AsyncClient, voice: tuple[Voice, str], talking: Call, calls: EventLog
) -> None:
    voice[0].go_on.set()
    await calls.append(SpeechHeard(call_id=talking.call_id, attempt=1, turn=4, text="hola", language="es"))
    path = f"/api/v1/calls/{talking.call_id}/response"

    answers = await asyncio.gather(*(edge.post(path, json={"message": "sí"}) for _ in range(3)))

    assert [answer.content for answer in answers] == [b"first-second"] * 3
    assert sorted(voice[0].asked) == [f"/media/{talking.call_id}/1/{turn}" for turn in (5, 6, 7)]


async def test_the_turns_of_an_earlier_attempt_do_not_count(
    edge: httpx.AsyncClient, voice: tuple[Voice, str], talking: Call, orchestrator: "Orchestrator", calls: EventLog
) -> None:
    voice[0].go_on.set()
    await calls.append(SpeechHeard(call_id=talking.call_id, attempt=1, turn=4, text="hola", language="es"))
    await orchestrator.move(talking.call_id, attempt=2)

    await edge.post(f"/api/v1/calls/{talking.call_id}/response", json={"message": "sí"})

    assert voice[0].asked == [f"/media/{talking.call_id}/2/1"]


async def test_who_hangs_up_on_us_leaves_nothing_open(
    edge: httpx.AsyncClient, voice: tuple[Voice, str], talking: Call
) -> None:
    path = f"/api/v1/calls/{talking.call_id}/response"
    async with edge.stream("POST", path, json={"message": "sí"}) as answer:
        await anext(answer.aiter_raw())

    await asyncio.wait_for(voice[0].left.wait(), 10)


async def test_audio_that_breaks_off_does_not_look_whole(
    edge: httpx.AsyncClient, voice: tuple[Voice, str], talking: Call
) -> None:
    voice[0].breaks = True
    voice[0].go_on.set()

    with pytest.raises(httpx.RemoteProtocolError):
        await edge.post(f"/api/v1/calls/{talking.call_id}/response", json={"message": "sí"})


async def test_a_voice_that_refuses_is_a_bad_gateway_and_the_log_says_why(
    edge: httpx.AsyncClient, voice: tuple[Voice, str], talking: Call
) -> None:
    voice[0].status = 500

    with capture_logs() as logs:
        answer = await edge.post(f"/api/v1/calls/{talking.call_id}/response", json={"message": "sí"})

    assert answer.status_code == 502
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert [line["reason"] for line in logs if line["event"] == "speech_unavailable"] == ["voice answered 500"]


async def test_a_voice_that_is_not_there_is_a_bad_gateway(
    bus_client: Client, settings: Settings, talking: Call
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # a port that is taken and does not listen
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        unreachable = Settings.model_validate({**settings.model_dump(), "voice_url": url})
        bus = Bus(bus_client, NatsBroker(), EventLog(bus_client, "CALLS", source="edge"))
        async with build(unreachable, bus) as app, httpx.AsyncClient(transport=httpx.ASGITransport(app)) as http:
            answer = await http.post(
                f"http://edge.internal/api/v1/calls/{talking.call_id}/response",
                json={"message": "sí"},
                headers={"X-API-Key": "a-good-key"},
            )

    assert answer.status_code == 502


async def test_a_call_that_nobody_has_answered_cannot_be_talked_to(
    api: httpx.AsyncClient, waiting: Call, calls: EventLog
) -> None:
    answer = await api.post(f"/api/v1/calls/{waiting.call_id}/response", json={"message": "sí"})

    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:centralita:problem:not-in-progress"
    assert await calls.last(f"speech.heard.{waiting.call_id}") is None


async def test_a_conversation_that_has_ended_cannot_be_talked_to(
    api: httpx.AsyncClient, talking: Call, calls: EventLog
) -> None:
    await calls.append(
        ConversationEnded(call_id=talking.call_id, attempt=1, turn=1, disposition=Disposition.DECLINED, summary="")
    )

    answer = await api.post(f"/api/v1/calls/{talking.call_id}/response", json={"message": "sí"})

    assert answer.status_code == 409


async def test_an_unknown_call_cannot_be_talked_to(api: httpx.AsyncClient) -> None:
    assert (await api.post(f"/api/v1/calls/{uuid4()}/response", json={"message": "sí"})).status_code == 404


@pytest.mark.parametrize("sent", [{}, {"message": "  "}, {"message": "x" * 2001}, {"message": "sí", "turn": 3}])
async def test_a_message_that_is_none_is_refused(
    api: httpx.AsyncClient, talking: Call, sent: dict[str, object]
) -> None:
    answer = await api.post(f"/api/v1/calls/{talking.call_id}/response", json=sent)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] in ("message", "turn")
