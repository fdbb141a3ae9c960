"""A hand-over on a simulated line in real time: ElevenLabs fails within a turn, and Twilio speaks the rest."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from urllib.parse import urlsplit

import httpx
import pytest
from nats.aio.client import Client
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.fakes.providers import provider
from tests.integration.voice.conftest import ACCOUNT_SID, AUTH_TOKEN, CALLEE, CALLER, RequestAudio, StartCall

from chassis.broker import Broker
from chassis.event_log import EventLog
from chassis.serve import Bus
from contracts import CallStatus, DialPlaced, ReplyGenerated, Service, SpeechHeard
from edge.composition import build
from edge.settings import Settings
from simulators.faults import FaultRule
from simulators.server import Simulators, running
from simulators.serving import serving
from simulators.twilio.ledger import CallEntry
from telephony.media import derive_media_key
from voice.adapters import twilio
from voice.adapters.clips import StoredClips
from voice.adapters.elevenlabs import ElevenLabs
from voice.adapters.turn_events import TurnEventReader
from voice.application.speech.synthesis import SpeechSynthesis
from voice.application.speech.turns import TurnPlayer
from voice.application.telephony.handover import Handover
from voice.entrypoints.media import build_routes

SEED = 13
"""The callee of this seed answers soon."""
TEXTS = ("All is well.", "Is it?", "Bye.")


@pytest.fixture
async def simulators() -> AsyncIterator[Simulators]:
    """The vendors in real time, and a callee who is silent."""
    async with running(seed=SEED, behaviours={"silent": 1}, twilio_auth_token=AUTH_TOKEN) as vendors:
        yield vendors


class PublicHost:
    """One address for voice and edge, like the reverse proxy's. Both are set once the address is known."""

    edge: ASGIApp
    voice: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await (self.voice if scope["path"].startswith("/media/") else self.edge)(scope, receive, send)
        else:
            await Starlette()(scope, receive, send)


@pytest.fixture
async def public_url(
    bus_client: Client,
    calls: EventLog,
    turn_events: TurnEventReader,
    speech: ElevenLabs,
    clips: StoredClips,
    simulators: Simulators,
) -> AsyncIterator[str]:
    """The media route of voice, and edge."""
    host = PublicHost()
    synthesis = SpeechSynthesis([speech], clips, calls)
    player = TurnPlayer(calls, turn_events, synthesis, max_silence_seconds=5)
    async with (
        serving(host, "127.0.0.1") as url,
        twilio.connect(
            account_sid=ACCOUNT_SID,
            auth_token=AUTH_TOKEN,
            base_url=simulators.twilio_url,
            number=CALLER,
            callbacks=url,
            provider=provider("twilio"),
        ) as telephony,
        aclosing(Handover(calls, telephony)) as handover,
    ):
        settings = Settings.model_validate({"app_base_url": url, "twilio_auth_token": AUTH_TOKEN, "embedded_run": True})
        async with build(settings, Bus(bus_client, Broker(), Service.EDGE)) as host.edge:
            host.voice = Starlette(routes=build_routes(player, handover, derive_media_key(AUTH_TOKEN)))
            yield url


@pytest.fixture
async def line(
    public_url: str,
    simulators: Simulators,
    calls: EventLog,
    start_call: StartCall,
    request_audio: RequestAudio,
) -> CallEntry:
    """The ledger entry of a call whose first turn has a second sentence that cannot be synthesized."""
    simulators.faults.rules = [FaultRule(target="elevenlabs", request_body="Is it", kind="status", status=500)]
    event = await start_call(status=CallStatus.IN_PROGRESS)
    form = {"To": CALLEE, "From": CALLER, "Url": f"{public_url}/twilio/gather/{event.call_id}/1/1"}
    async with httpx.AsyncClient(base_url=simulators.twilio_url, auth=(ACCOUNT_SID, AUTH_TOKEN), timeout=60) as http:
        dialled = await http.post(f"/2010-04-01/Accounts/{ACCOUNT_SID}/Calls.json", data=form)
    sid = dialled.raise_for_status().json()["sid"]
    async with asyncio.timeout(60):
        while await calls.last(SpeechHeard.subject_for(event.call_id)) is None:
            await asyncio.sleep(0.02)
    fields = {"call_id": event.call_id, "attempt": 1, "turn": 1}
    for number, text in enumerate(TEXTS):
        await request_audio(event, 1, number, text)
    await calls.append(
        ReplyGenerated.model_validate(
            {**fields, "text": " ".join(TEXTS), "sentences": 3, "model": "m", "latency_seconds": 0}
        )
    )
    await calls.append(DialPlaced(call_id=event.call_id, attempt=1, provider_call_id=sid))
    return simulators.ledger.calls[0]


async def test_twilio_speaks_the_remainder_after_the_audio_has_been_played(line: CallEntry) -> None:
    async with asyncio.timeout(60):
        while not any(one.text for one in line.utterances):
            await asyncio.sleep(0.02)

    [first, rest] = line.utterances
    assert (urlsplit(first.url).path[-4:], rest.text) == ("/1/1", "Is it? Bye.")
    [play] = line.plays
    assert play.outcome == "played"
    assert play.seconds > 0
    assert [one.kind for one in line.webhooks if one.kind != "status"] == ["voice", "redirect"]
    assert not line.errors
