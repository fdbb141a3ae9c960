"""Faults of WebSockets: the handshake, and a connection that breaks in its course."""

import asyncio
from typing import Any

import aiohttp
import pytest
from tests.builders.spoken_audio import silence
from tests.integration.simulators.sockets import HEADERS, TRANSCRIPTION, Socket, Vendor, elevenlabs

from simulators.faults import FaultRule

SENTENCE = "Buenos días, le llamamos de la clínica. "


def fault(kind: Any, **fields: Any) -> FaultRule:
    return FaultRule(target="elevenlabs", kind=kind, **fields)


async def commit(socket: Socket) -> str:
    await socket.send_audio(silence(2.0), commit=True)
    return str((await socket.receive())["message_type"])


async def post_status(vendor: Vendor) -> int:
    url = f"{vendor.origin}/v1/text-to-speech/Rachel/stream"
    async with vendor.session.post(url, json={"text": SENTENCE}, headers=HEADERS) as answer:
        await answer.read()
        return answer.status


async def test_a_status_refuses_the_handshake_with_the_vendors_error() -> None:
    async with elevenlabs() as vendor:
        vendor.faults.rules = [fault("status", status=503, path="realtime", remaining=1)]
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            async with vendor.transcription():
                pass
        assert error.value.status == 503
        async with vendor.transcription() as socket:
            assert await commit(socket) == "committed_transcript"
        assert vendor.usage.transcription_sessions == 1


async def test_a_reset_breaks_the_handshake() -> None:
    async with elevenlabs() as vendor:
        vendor.faults.rules = [fault("reset", path="multi-stream-input")]
        with pytest.raises(aiohttp.ClientError):
            async with vendor.speech():
                pass
        assert await post_status(vendor) == 200
        assert vendor.usage.speech_sockets == 0


async def test_a_latency_delays_the_handshake_only() -> None:
    async with elevenlabs() as vendor:
        vendor.faults.rules = [fault("latency", seconds=0.01), fault("status", status=429, path="speech")]
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            async with vendor.speech():
                pass
        assert error.value.status == 429


async def test_a_socket_is_cut_after_its_messages() -> None:
    async with elevenlabs() as vendor:
        vendor.faults.rules = [fault("cut_socket", after_messages=2, remaining=1)]
        async with vendor.transcription() as socket:
            assert await commit(socket) == "committed_transcript"
            await socket.send_audio(silence(1.0), commit=True)
            assert await socket.closed() == 1006
        await vendor.wait_until_idle()
        async with vendor.transcription() as socket:
            assert await commit(socket) == "committed_transcript"


async def test_a_socket_is_cut_in_the_middle_of_a_reply() -> None:
    async with elevenlabs() as vendor:
        vendor.faults.rules = [fault("cut_socket", after_messages=3)]
        async with vendor.speech() as socket:
            await socket.send(text=SENTENCE * 10, flush=True)
            received = 0
            while (message := await socket.websocket.receive()).type is aiohttp.WSMsgType.TEXT:
                assert message.json()["audio"]
                received += 1
            assert received <= 3, "a reset loses what has not been read, and sends nothing more"
            assert socket.websocket.close_code == 1006
        await vendor.wait_until_idle()


async def test_a_stalled_socket_stays_open_and_silent() -> None:
    async with elevenlabs() as vendor:
        vendor.faults.rules = [fault("stall_socket", after_messages=1)]
        async with vendor.transcription() as socket:
            await socket.send_audio(silence(2.0), commit=True)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await socket.websocket.receive()
            await socket.send_audio(silence(1.0), commit=True)
            assert not socket.websocket.closed
            assert vendor.usage.transcription_sessions_open == 1
        await vendor.wait_until_idle()


async def test_a_socket_is_closed_after_an_error_of_the_vendor() -> None:
    error = {"message_type": "resource_exhausted", "error": "The service is at capacity."}
    async with elevenlabs() as vendor:
        vendor.faults.rules = [fault("close_socket", after_messages=1, body=error, close_code=1013)]
        async with vendor.transcription() as socket:
            assert await commit(socket) == "resource_exhausted"
            assert await socket.closed() == 1013
        await vendor.wait_until_idle()


async def test_a_socket_is_closed_in_place_of_its_first_message() -> None:
    async with elevenlabs() as vendor:
        vendor.faults.rules = [fault("close_socket")]
        async with vendor.connect(TRANSCRIPTION, model_id="scribe_v2_realtime") as socket:
            assert await socket.closed() == 1011
        await vendor.wait_until_idle()


async def test_faults_of_sockets_and_of_requests_do_not_mix() -> None:
    async with elevenlabs() as vendor:
        vendor.faults.rules = [fault("cut_socket", remaining=1), fault("lost_response"), fault("cut_body")]
        with pytest.raises(aiohttp.ClientError):
            await post_status(vendor)
        vendor.faults.rules = [fault("cut_body"), fault("lost_response")]
        async with vendor.transcription() as socket:
            assert await commit(socket) == "committed_transcript"


async def test_control_routes_do_not_fail() -> None:
    async with elevenlabs() as vendor:
        vendor.faults.rules = [fault("status", status=500)]
        async with vendor.session.get(f"{vendor.origin}/_simulator/usage") as answer:
            assert answer.status == 200


async def test_a_socket_that_outlives_the_shutdown_is_ended(caplog: pytest.LogCaptureFixture) -> None:
    async with aiohttp.ClientSession() as session:
        async with elevenlabs() as vendor:
            vendor.faults.rules = [fault("stall_socket", path="realtime")]
            query = {"model_id": "scribe_v2_realtime"}
            stalled = await session.ws_connect(f"{vendor.origin}{TRANSCRIPTION}", headers=HEADERS, params=query)
        message = await stalled.receive()
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        await stalled.close()
    assert "Exception in ASGI application" not in caplog.text
