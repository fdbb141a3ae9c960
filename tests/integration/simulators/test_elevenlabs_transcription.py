"""Realtime transcription of the ElevenLabs simulator, with a plain WebSocket client and with the official SDK."""

import asyncio
import base64
from typing import Any

import aiohttp
import pytest
from elevenlabs import types
from elevenlabs.realtime.connection import RealtimeEvents
from elevenlabs.realtime.scribe import AudioFormat, ScribeRealtime
from tests.builders.spoken_audio import silence, speak
from tests.integration.simulators.sockets import TRANSCRIPTION, Socket, Vendor, elevenlabs

from simulators.elevenlabs.timing import Timing, TranscriptionTiming

WARM = silence(2.0)


def is_committed(message: dict[str, Any]) -> bool:
    return bool(message["message_type"] == "committed_transcript")


async def committed_text(socket: Socket) -> str:
    return str((await socket.receive_until(is_committed))[-1]["text"])


async def test_a_session_answers_in_the_shapes_of_the_sdk() -> None:
    async with (
        elevenlabs() as vendor,
        vendor.connect(
            TRANSCRIPTION, model_id="scribe_v2_realtime", audio_format="ulaw_8000", include_timestamps="true"
        ) as socket,
    ):
        started = types.SessionStartedPayload.model_validate(await socket.receive(), strict=True)
        assert started.config.audio_format == "ulaw_8000"
        assert (started.config.sample_rate, started.config.commit_strategy) == (8000, "manual")
        await socket.send_audio(WARM)
        await socket.send_audio(speak(vendor.words, "Buenos días."), commit=True)
        partial = types.PartialTranscriptPayload.model_validate(await socket.receive(), strict=True)
        committed = types.CommittedTranscriptPayload.model_validate(await socket.receive(), strict=True)
        timed = types.CommittedTranscriptWithTimestampsPayload.model_validate(await socket.receive(), strict=True)
    assert partial.text == committed.text == timed.text == "Buenos días."
    assert timed.words is not None
    assert [(word.text, word.type) for word in timed.words] == [("Buenos", "word"), (" ", "spacing"), ("días.", "word")]


async def test_the_sdk_transcribes() -> None:
    received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    async with elevenlabs() as vendor:
        scribe = ScribeRealtime(api_key="fictional", base_url=vendor.origin.replace("http", "ws"))
        connection = await scribe.connect(
            {"model_id": "scribe_v2_realtime", "audio_format": AudioFormat.ULAW_8000, "sample_rate": 8000}
        )
        connection.on(RealtimeEvents.COMMITTED_TRANSCRIPT, received.put_nowait)
        audio = WARM + speak(vendor.words, "Sí, soy yo.")
        await connection.send({"audio_base_64": base64.b64encode(audio).decode(), "previous_text": "¿Es usted?"})
        await connection.commit()
        async with asyncio.timeout(60):
            assert (await received.get())["text"] == "Sí, soy yo."
        await connection.close()
        await vendor.wait_until_idle()


async def test_two_sessions_hear_different_callees() -> None:
    async with elevenlabs() as vendor, vendor.transcription() as first, vendor.transcription() as second:
        await first.send_audio(WARM + speak(vendor.words, "¿Quién es?"), commit=True)
        await second.send_audio(WARM + speak(vendor.words, "Hola, hola."), commit=True)
        assert await committed_text(second) == "Hola, hola."
        assert await committed_text(first) == "¿Quién es?"


@pytest.mark.parametrize("headers", [{}, {"xi-api-key": "wrong"}])
async def test_a_client_without_the_right_key_receives_an_error_and_the_end(headers: dict[str, str]) -> None:
    async with (
        elevenlabs(api_key="right") as vendor,
        vendor.connect(TRANSCRIPTION, headers, model_id="scribe_v2_realtime") as socket,
    ):
        assert types.ScribeAuthErrorPayload.model_validate(await socket.receive()).message_type == "auth_error"
        assert await socket.closed() == 1008


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model_id", "scribe_v1"),
        ("audio_format", "mp3_44100_128"),
        ("commit_strategy", "automatic"),
        ("vad_silence_threshold_secs", "0.2"),
        ("vad_threshold", "1"),
        ("min_silence_duration_ms", "10"),
        ("include_timestamps", "perhaps"),
        ("keyterms", "a term of more than twenty characters"),
    ],
)
async def test_an_invalid_query_is_refused_with_the_name_of_the_field(name: str, value: str) -> None:
    query: dict[str, Any] = {"model_id": "scribe_v2_realtime", name: value}
    async with elevenlabs() as vendor, vendor.connect(TRANSCRIPTION, **query) as socket:
        error = types.ScribeInvalidRequestError.model_validate(await socket.receive())
        assert error.message_type == "invalid_request"
        assert error.error.startswith(name)
        assert await socket.closed() == 1008


async def test_a_query_without_a_model_is_refused() -> None:
    async with elevenlabs() as vendor, vendor.connect(TRANSCRIPTION) as socket:
        assert (await socket.receive())["error"] == "model_id: Field required"


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"message_type": "audio"}, "message_type"),
        ({"message_type": "input_audio_chunk", "audio_base_64": "", "sample_rate": 8000}, "commit: Field required"),
        ({"audio_base_64": "%%%"}, "audio_base_64"),
        ({"sample_rate": 16000}, "sample_rate must be 8000"),
        ({"previous_text": "too late"}, "previous_text can only"),
        ({"previous_text": "x" * 51}, "previous_text"),
    ],
)
async def test_an_invalid_message_is_answered_with_an_error_and_the_session_goes_on(
    message: dict[str, Any], error: str
) -> None:
    async with elevenlabs() as vendor, vendor.transcription() as socket:
        await socket.send_audio(WARM)
        if "message_type" in message:
            await socket.send(**message)
        else:
            await socket.send_audio(b"", **message)
        answer = types.ScribeInputErrorPayload.model_validate(await socket.receive())
        assert answer.message_type == "input_error"
        assert answer.error.startswith(error)
        await socket.send_audio(speak(vendor.words, "Sí, claro."), commit=True)
        assert await committed_text(socket) == "Sí, claro."


@pytest.mark.parametrize("frame", ["not JSON", b"\xff\xff"])
async def test_a_frame_that_is_no_json_is_an_input_error(frame: str | bytes) -> None:
    async with elevenlabs() as vendor, vendor.transcription() as socket:
        await (socket.websocket.send_str(frame) if isinstance(frame, str) else socket.websocket.send_bytes(frame))
        assert (await socket.receive())["message_type"] == "input_error"


async def test_a_chunk_that_is_too_long_is_refused_and_the_session_goes_on() -> None:
    async with elevenlabs() as vendor, vendor.transcription() as socket:
        await socket.send_audio(silence(11))
        error = types.ScribeChunkSizeExceededErrorPayload.model_validate(await socket.receive())
        assert error.message_type == "chunk_size_exceeded"
        await socket.send_audio(WARM, commit=True)
        assert await committed_text(socket) == ""


async def test_a_message_above_a_megabyte_ends_the_session() -> None:
    async with elevenlabs() as vendor, vendor.transcription() as socket:
        await socket.websocket.send_str(" " * (1024 * 1024 + 1))
        assert await socket.closed() == 1009
        await vendor.wait_until_idle()


async def test_an_early_commit_is_throttled() -> None:
    async with elevenlabs() as vendor, vendor.transcription() as socket:
        await socket.send_audio(silence(0.2), commit=True)
        error = types.ScribeThrottledErrorPayload.model_validate(await socket.receive())
        assert error.message_type == "commit_throttled"


async def test_a_client_that_commits_faster_than_it_is_answered_is_cut_off() -> None:
    timing = Timing(transcription=TranscriptionTiming(commit_seconds=(60, 60), cold_start_seconds=0))
    async with elevenlabs(speed=1.0, timing=timing) as vendor, vendor.transcription() as socket:
        for _ in range(1002):
            await socket.send_audio(silence(0.3), commit=True)
        assert (await socket.receive())["message_type"] == "queue_overflow"
        assert await socket.closed() == 1008


async def test_a_client_that_disconnects_leaves_no_session() -> None:
    async with elevenlabs(speed=1.0) as vendor:
        for is_clean in (True, False):
            async with vendor.transcription() as socket:
                await socket.send_audio(WARM, commit=True)
                assert vendor.usage.transcription_sessions_open == 1
                if not is_clean:
                    abort(socket)
            await vendor.wait_until_idle()
        assert vendor.usage.transcription_sessions == 2


def abort(socket: Socket) -> None:
    """Breaks the connection without a closing handshake."""
    connection = socket.websocket._response.connection
    assert connection is not None
    assert connection.transport is not None
    connection.transport.abort()


async def test_a_session_is_cold_after_a_pause_of_the_client() -> None:
    timing = Timing(transcription=TranscriptionTiming(cold_after_seconds=0))
    async with elevenlabs(timing=timing) as vendor, vendor.transcription() as socket:
        await socket.send_audio(WARM, commit=True)
        assert await committed_text(socket) == ""
        await socket.send_audio(speak(vendor.words, "Sí, claro."), commit=True)
        await socket.send(message_type="unknown")
        assert (await socket.receive())["message_type"] == "input_error", "a cold session answered"


async def test_the_timing_is_set_over_http() -> None:
    async with elevenlabs() as vendor:
        timing = {"transcription": {"doubled_commits": 1.0, "cold_start_seconds": 0}}
        async with vendor.session.put(f"{vendor.origin}/_simulator/timing", json=timing) as answer:
            assert answer.status == 204
        async with vendor.transcription() as socket:
            await socket.send_audio(silence(0.5), commit=True)
            assert is_committed(await socket.receive())
            assert is_committed(await socket.receive())
        async with vendor.session.put(f"{vendor.origin}/_simulator/timing", json={"speed": 2}) as answer:
            assert answer.status == 422


async def test_the_usage_is_read_over_http() -> None:
    async with elevenlabs() as vendor, vendor.transcription() as socket:
        await socket.send_audio(WARM, commit=True)
        await committed_text(socket)
        usage = await read_usage(vendor)
    assert (usage["transcription_sessions"], usage["transcription_sessions_open"], usage["commits"]) == (1, 1, 1)


async def read_usage(vendor: Vendor) -> dict[str, int]:
    async with vendor.session.get(f"{vendor.origin}/_simulator/usage") as answer:
        usage = await answer.json()
    assert isinstance(usage, dict)
    return usage


async def test_another_path_is_no_socket() -> None:
    async with elevenlabs() as vendor:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            async with vendor.connect("/v1/speech-to-text/other"):
                pass
