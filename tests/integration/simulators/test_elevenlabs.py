"""The ElevenLabs simulator with the official SDK as its client."""

import array
import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from elevenlabs import AsyncElevenLabs, VoiceSettings
from elevenlabs.core.api_error import ApiError
from elevenlabs.errors import UnprocessableEntityError

from simulators.elevenlabs import create_app
from simulators.serving import serving

SENTENCE = "Buenos días, le llamamos de la clínica para recordarle su cita de mañana a las diez. ¿Podrá venir?"
SECONDS = len(SENTENCE) / 14
KILOBITS = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)  # MPEG-2 layer III
KILOBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)  # MPEG-1 layer III


@contextlib.asynccontextmanager
async def speech(**settings: Any) -> AsyncIterator[AsyncElevenLabs]:
    app = create_app(**{"speed": 50.0, **settings})
    async with serving(app, "127.0.0.1") as origin, httpx.AsyncClient(timeout=60) as http:
        yield AsyncElevenLabs(base_url=origin, api_key="fictional", httpx_client=http)


async def synthesize(client: AsyncElevenLabs, text: str = SENTENCE, voice: str = "Rachel", **options: Any) -> bytes:
    options = {"output_format": "mp3_22050_32", "model_id": "eleven_flash_v2_5", **options}
    pieces = client.text_to_speech.stream(voice, text=text, **options)
    return b"".join([piece async for piece in pieces])


def mp3_seconds(audio: bytes) -> float:
    """Returns the length of an MP3, summed over its frames. Raises AssertionError between frames."""
    seconds, position = 0.0, 0
    while position + 4 <= len(audio):
        assert audio[position] == 0xFF, f"no frame at {position}"
        mpeg1 = audio[position + 1] >> 3 & 3 == 3
        rate = (44100, 48000, 32000)[audio[position + 2] >> 2 & 3] // (1 if mpeg1 else 2)
        kilobits = (KILOBITS_1 if mpeg1 else KILOBITS)[audio[position + 2] >> 4]
        samples = 1152 if mpeg1 else 576
        position += samples * kilobits * 125 // rate + (audio[position + 2] >> 1 & 1)
        seconds += samples / rate
    return seconds


@pytest.mark.parametrize("output_format", ["mp3_22050_32", "mp3_44100_64", "mp3_44100_128"])
async def test_an_mp3_is_as_long_as_the_spoken_text(output_format: str) -> None:
    async with speech() as client:
        audio = await synthesize(client, output_format=output_format)
    assert mp3_seconds(audio) == pytest.approx(SECONDS, rel=0.15)


@pytest.mark.parametrize(("output_format", "bytes_per_second"), [("ulaw_8000", 8000), ("pcm_16000", 32000)])
async def test_raw_audio_is_as_long_as_the_spoken_text(output_format: str, bytes_per_second: int) -> None:
    async with speech() as client:
        audio = await synthesize(client, output_format=output_format)
    assert len(audio) / bytes_per_second == pytest.approx(SECONDS, rel=0.01)


async def test_the_voice_is_audible_and_pauses_between_words() -> None:
    async with speech() as client:
        samples = array.array("h", await synthesize(client, "hola hola", output_format="pcm_16000"))
    word, pause = samples[: 16000 * 4 // 14], samples[16000 * 4 // 14 + 1 : 16000 * 5 // 14 - 1]
    assert max(word) > 4000
    assert min(word) < -4000
    assert set(pause) == {0}


async def test_mu_law_and_linear_samples_encode_the_same_sound() -> None:
    async with speech() as client:
        linear = array.array("h", await synthesize(client, output_format="pcm_8000"))
        mu_law = await synthesize(client, output_format="ulaw_8000")
    assert [byte for byte, sample in zip(mu_law, linear, strict=True) if sample == 0] == [0xFF] * linear.count(0)
    assert all(byte & 0x80 == (0x80 if sample >= 0 else 0) for byte, sample in zip(mu_law, linear, strict=True))


async def test_equal_text_and_voice_give_equal_audio_and_another_voice_different_audio() -> None:
    async with speech() as client:
        first, second = await synthesize(client), await synthesize(client)
        other = await synthesize(client, voice="George")
    assert first == second != other


async def test_a_faster_voice_is_shorter() -> None:
    async with speech() as client:
        audio = await synthesize(client, output_format="ulaw_8000", voice_settings=VoiceSettings(speed=1.2))
    assert len(audio) / 8000 == pytest.approx(SECONDS / 1.2, rel=0.01)


async def test_the_stream_with_timestamps_has_the_same_audio_and_the_times_of_all_characters() -> None:
    async with speech() as client:
        chunks = [
            chunk
            async for chunk in client.text_to_speech.stream_with_timestamps(
                "Rachel", text=SENTENCE, output_format="ulaw_8000"
            )
        ]
        audio = b"".join(base64.b64decode(chunk.audio_base_64) for chunk in chunks)
        assert audio == await synthesize(client, output_format="ulaw_8000")
    alignments = [chunk.alignment for chunk in chunks if chunk.alignment is not None]
    assert len(alignments) == len(chunks) > 3
    assert "".join(character for alignment in alignments for character in alignment.characters) == SENTENCE
    starts = [start for alignment in alignments for start in alignment.character_start_times_seconds]
    ends = [end for alignment in alignments for end in alignment.character_end_times_seconds]
    assert starts[1:] == ends[:-1]
    assert ends[-1] == pytest.approx(len(audio) / 8000, abs=0.001)


async def test_convert_returns_the_same_audio_as_stream() -> None:
    async with speech() as client:
        streamed = await synthesize(client)
        pieces = client.text_to_speech.convert("Rachel", text=SENTENCE, output_format="mp3_22050_32")
        assert b"".join([piece async for piece in pieces]) == streamed


async def test_audio_arrives_in_several_chunks() -> None:
    async with speech() as client, client.text_to_speech.with_raw_response.stream("Rachel", text=SENTENCE) as response:
        pieces = [piece async for piece in response.data]
        assert response.headers["content-type"] == "audio/mpeg"
    assert len(pieces) > 3


async def refusal(client: AsyncElevenLabs, text: str = SENTENCE, **options: Any) -> tuple[int | None, str]:
    with pytest.raises(ApiError) as error:
        await synthesize(client, text, **options)
    return error.value.status_code, error.value.body["detail"]["status"]


async def test_a_wrong_key_is_refused() -> None:
    async with speech(api_key="another") as client:
        assert await refusal(client) == (401, "invalid_api_key")


async def test_a_missing_key_is_refused() -> None:
    async with serving(create_app(), "127.0.0.1") as origin, httpx.AsyncClient(base_url=origin, timeout=60) as http:
        response = await http.post("/v1/text-to-speech/Rachel", json={"text": SENTENCE})
    assert (response.status_code, response.json()["detail"]["status"]) == (401, "needs_authorization")


async def test_an_english_model_refuses_spanish() -> None:
    async with speech() as client:
        options = {"model_id": "eleven_turbo_v2", "language_code": "es"}
        assert await refusal(client, **options) == (400, "unsupported_language")


async def test_an_unknown_model_is_refused() -> None:
    async with speech() as client:
        assert await refusal(client, model_id="eleven_nothing") == (400, "model_not_found")


async def test_an_empty_text_is_refused() -> None:
    async with speech() as client:
        assert await refusal(client, "  ") == (400, "input_text_empty")


async def test_an_unknown_output_format_is_answered_with_422() -> None:
    async with speech() as client:
        with pytest.raises(UnprocessableEntityError) as error:
            await synthesize(client, output_format="mp3_1_1")
    assert error.value.body["detail"][0]["loc"] == ["query", "output_format"]


async def test_a_body_without_text_is_answered_with_422() -> None:
    async with serving(create_app(), "127.0.0.1") as origin, httpx.AsyncClient(base_url=origin, timeout=60) as http:
        response = await http.post("/v1/text-to-speech/Rachel/stream", json={}, headers={"xi-api-key": "fictional"})
    assert response.status_code == 422
    assert [(item["type"], item["loc"]) for item in response.json()["detail"]] == [("missing", ["body", "text"])]


async def test_syntheses_above_the_concurrency_limit_are_refused_under_both_error_names_until_one_ends() -> None:
    async with speech(concurrency=1, speed=0.2) as client:
        first = asyncio.create_task(synthesize(client, "One."))
        refused: list[tuple[int | None, str]] = []
        while len(refused) < 2:
            await asyncio.sleep(0.02)
            refused.append(await refusal(client))
        assert await first
        assert await synthesize(client, "Two.")
    assert refused == [(429, "too_many_concurrent_requests"), (429, "concurrent_limit_exceeded")]


async def test_an_abandoned_stream_no_longer_counts_towards_the_concurrency_limit() -> None:
    async with speech(concurrency=1) as client:
        pieces = client.text_to_speech.stream("Rachel", text=SENTENCE * 20)
        assert await anext(pieces)
        await pieces.aclose()
        is_released = False
        async with asyncio.timeout(60):
            while not is_released:
                await asyncio.sleep(0.02)
                is_released = await _can_synthesize(client)


async def _can_synthesize(client: AsyncElevenLabs) -> bool:
    try:
        return bool(await synthesize(client, "Two."))
    except ApiError:
        return False


async def test_the_account_lists_its_voices_models_and_user() -> None:
    async with speech() as client:
        voices, models, user = await client.voices.get_all(), await client.models.list(), await client.user.get()
    assert "Rachel" in {voice.name for voice in voices.voices}
    assert "eleven_flash_v2_5" in {model.model_id for model in models}
    assert user.subscription.status == "active"
