"""The sockets of the speech vendor: transcription and speech, against its simulator."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from tests.builders.spoken_audio import silence, speak
from tests.fakes.providers import provider
from tests.integration.simulators.sockets import Vendor, elevenlabs

from providers import Failure, RequestFailed
from voice.adapters.elevenlabs_streams import ElevenLabsStreams
from voice.adapters.elevenlabs_transcription import ElevenLabsTranscriber
from voice.adapters.vendor_sockets import socket_session
from voice.domain.live.speech_stream import ContextFinished, SpokenAudio
from voice.domain.live.transcription import CommittedTranscript
from voice.ports import Transcription

KEY = "fictional"


@asynccontextmanager
async def transcriber(vendor: Vendor, *, key: str = KEY) -> AsyncIterator[ElevenLabsTranscriber]:
    async with socket_session() as http:
        yield ElevenLabsTranscriber(http, provider(), api_key=key, url=vendor.origin.replace("http", "ws"))


@asynccontextmanager
async def streams(vendor: Vendor, *, key: str = KEY) -> AsyncIterator[ElevenLabsStreams]:
    async with socket_session() as http:
        url = vendor.origin.replace("http", "ws")
        yield ElevenLabsStreams(http, provider(), api_key=key, url=url, voice="Rachel", model="eleven_flash_v2_5")


async def _listen(transcriber: ElevenLabsTranscriber) -> None:
    """Waits until a session ends."""
    async with asyncio.timeout(60), transcriber.open(language="es") as session:
        async for _ in session.transcripts():
            pass


async def _until_committed(session: Transcription) -> AsyncIterator[str]:
    """Yields the first committed transcript."""
    async for transcript in session.transcripts():
        if isinstance(transcript, CommittedTranscript):
            yield transcript.text
            return


async def test_more_than_a_hundred_sockets_are_open_at_once() -> None:
    """A live call has two, and aiohttp opens 100 by default."""
    async with elevenlabs() as vendor, transcriber(vendor) as ours, AsyncExitStack() as stack:
        async with asyncio.timeout(120):
            for _ in range(101):
                await stack.enter_async_context(ours.open(language="es"))


async def test_what_the_callee_says_is_transcribed_after_a_commit() -> None:
    async with (
        elevenlabs() as vendor,
        transcriber(vendor) as ours,
        ours.open(language="es-MX", previous_text="¿Es usted?") as session,
    ):
        audio = silence(2) + speak(vendor.words, "Sí, soy yo.")
        for start in range(0, len(audio), 800):
            session.feed(audio[start : start + 800])
        session.feed(b"", is_commit=True)
        async with asyncio.timeout(60):
            committed = [one async for one in _until_committed(session)]
    assert committed == ["Sí, soy yo."]


async def test_a_session_ends_with_the_reason_of_its_failure() -> None:
    async with elevenlabs(api_key="right") as vendor, transcriber(vendor) as ours:
        with pytest.raises(RequestFailed) as failed:
            await _listen(ours)
    assert failed.value.failure is Failure.ACCOUNT


async def test_an_address_where_nothing_listens_is_unreachable() -> None:
    async with elevenlabs() as vendor:
        pass
    async with transcriber(vendor) as ours:
        with pytest.raises(RequestFailed) as failed:
            await _listen(ours)
    assert failed.value.failure is Failure.UNREACHABLE


async def test_the_sentences_of_a_reply_are_spoken_in_one_context_with_their_alignment() -> None:
    spoken, characters = 0, ""
    async with elevenlabs() as vendor, streams(vendor) as ours, ours.open(language="en", voice=None) as stream:
        stream.begin("1")
        stream.speak("1", "Your appointment is on Monday.")
        stream.speak("1", "Is that fine?")
        stream.close("1")
        async with asyncio.timeout(60):
            async for message in stream.messages():
                if isinstance(message, ContextFinished):
                    break
                assert isinstance(message, SpokenAudio)
                spoken += len(message.audio)
                characters += message.alignment.characters if message.alignment else ""
    assert characters.split() == ["Your", "appointment", "is", "on", "Monday.", "Is", "that", "fine?"]
    assert spoken > 8000
