"""Twilio and ElevenLabs together: the words of a callee on a media stream reach the realtime transcription."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from tests.integration.simulators.media_server import Stream, serving_media, voice
from tests.integration.simulators.sockets import HEADERS, TRANSCRIPTION, Socket

from simulators.server import DEFAULT_ACCOUNT_SID, DEFAULT_AUTH_TOKEN, running

pytestmark = pytest.mark.integration
CALLEE = "+12125550123"
QUERY = {"model_id": "scribe_v2_realtime", "audio_format": "ulaw_8000"}
PHRASE = "Es el seis, uno, dos, [0.9] tres, cuatro."


async def test_what_the_callee_says_is_transcribed(tmp_path: Path) -> None:
    transcripts: list[str] = []

    async def transcribe(stream: Stream) -> None:
        """Plays a greeting, passes the callee's turn to the transcription and commits it."""
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(
                f"{simulators.elevenlabs_url}{TRANSCRIPTION}", headers=HEADERS, params=QUERY
            ) as websocket,
        ):
            await stream.play(voice(1.0))
            await stream.wait_for_silence(frames=100)
            transcription = Socket(websocket)
            for start in range(0, len(stream.audio), 800):
                await transcription.send_audio(stream.audio[start : start + 800])
            await transcription.send_audio(b"", commit=True)
            answers = await transcription.receive_until(lambda it: it["message_type"] == "committed_transcript")
            transcripts.append(answers[-1]["text"])

    async with (
        running(speed=10.0, language="es", recordings=tmp_path) as simulators,
        serving_media(DEFAULT_AUTH_TOKEN, transcribe) as media,
        aiohttp.ClientSession() as session,
    ):
        settings = {"phrases": [PHRASE], "delay_seconds": 0.5}
        body = {"behaviour": "human", "settings": settings}
        url = f"{simulators.twilio_url}/_simulator/callees/{CALLEE}"
        async with session.put(url, json=body) as answer:
            assert answer.status == 204
        form = {"To": CALLEE, "From": "+12125550100", "Twiml": f"<Response>{media.twiml()}</Response>"}
        authorization = aiohttp.encode_basic_auth(DEFAULT_ACCOUNT_SID, DEFAULT_AUTH_TOKEN)
        url = f"{simulators.twilio_url}/2010-04-01/Accounts/{DEFAULT_ACCOUNT_SID}/Calls.json"
        async with session.post(url, data=form, headers={"Authorization": authorization}) as answer:
            assert answer.status == 201
        async with asyncio.timeout(60):
            while simulators.ledger.calls[0].status != "completed":
                await asyncio.sleep(0.01)
    (entry,) = simulators.ledger.calls
    assert transcripts == ["Es el seis, uno, dos, tres, cuatro."]
    assert [utterance.text for utterance in entry.utterances] == transcripts
    assert entry.errors == []
