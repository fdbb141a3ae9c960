"""Hand-overs on a simulated line in real time: Twilio speaks the rest of a turn, or dials the person of a transfer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
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
from contracts import (
    CallStatus,
    CallStatusChanged,
    DialPlaced,
    ReplyGenerated,
    Service,
    SpeechHeard,
    TransferKind,
    TransferRequested,
)
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
from voice.application.telephony import handover
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
    monkeypatch: pytest.MonkeyPatch,
    bus_client: Client,
    calls: EventLog,
    turn_events: TurnEventReader,
    speech: ElevenLabs,
    clips: StoredClips,
    simulators: Simulators,
) -> AsyncIterator[str]:
    """The media route of voice, and edge. A silence ends no prompt: only a hand-over does."""
    monkeypatch.setattr("telephony.twilio.SILENCE_SECONDS", 3600)
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
        aclosing(Handover(calls, telephony)) as handovers,
    ):
        settings = Settings.model_validate({"app_base_url": url, "twilio_auth_token": AUTH_TOKEN, "embedded_run": True})
        async with build(settings, Bus(bus_client, Broker(), Service.EDGE)) as host.edge:
            host.voice = Starlette(routes=build_routes(player, handovers, derive_media_key(AUTH_TOKEN)))
            yield url


@dataclass
class Line:
    """A call whose callee is silent and hears the reply to its first turn, which it has claimed."""

    event: CallStatusChanged
    entry: CallEntry
    calls: EventLog
    request_audio: RequestAudio

    async def reply(self) -> None:
        """Appends the reply."""
        call_id = self.event.call_id
        for number, text in enumerate(TEXTS):
            await self.request_audio(self.event, 1, number, text)
        fields = {"call_id": call_id, "attempt": 1, "turn": 1, "sentences": len(TEXTS), "model": "m"}
        reply = ReplyGenerated.model_validate({**fields, "text": " ".join(TEXTS), "latency_seconds": 0})
        await self.calls.append(reply)
        await self.calls.append(DialPlaced(call_id=call_id, attempt=1, provider_call_id=self.entry.sid))

    @property
    def webhooks(self) -> list[str]:
        """The kinds of the webhooks so far, without reports of the status."""
        return [one.kind for one in self.entry.webhooks if one.kind != "status"]


@pytest.fixture
async def line(
    public_url: str,
    simulators: Simulators,
    calls: EventLog,
    start_call: StartCall,
    request_audio: RequestAudio,
) -> Line:
    event = await start_call(status=CallStatus.IN_PROGRESS, has_tools=True)
    form = {"To": CALLEE, "From": CALLER, "Url": f"{public_url}/twilio/gather/{event.call_id}/1/1"}
    async with httpx.AsyncClient(base_url=simulators.twilio_url, auth=(ACCOUNT_SID, AUTH_TOKEN), timeout=60) as http:
        dialled = await http.post(f"/2010-04-01/Accounts/{ACCOUNT_SID}/Calls.json", data=form)
    dialled.raise_for_status()
    async with asyncio.timeout(60):
        while await calls.last(SpeechHeard.subject_for(event.call_id)) is None:
            await asyncio.sleep(0.02)
    return Line(event, simulators.ledger.calls[0], calls, request_audio)


async def test_twilio_speaks_the_remainder_after_the_audio_has_been_played(line: Line, simulators: Simulators) -> None:
    simulators.faults.rules = [FaultRule(target="elevenlabs", request_body="Is it", kind="status", status=500)]
    await line.reply()
    async with asyncio.timeout(60):
        while not any(one.text for one in line.entry.utterances):
            await asyncio.sleep(0.02)

    [first, rest] = line.entry.utterances
    assert (urlsplit(first.url).path[-4:], rest.text) == ("/1/1", "Is it? Bye.")
    [play] = line.entry.plays
    assert play.outcome == "played"
    assert play.seconds > 0
    assert line.webhooks == ["voice", "redirect"]
    assert not line.entry.errors


async def test_twilio_dials_the_person_of_a_transfer_after_its_announcement_and_awaits_no_silence(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "HANDOVER_SECONDS", 60.0)
    place = {"call_id": line.event.call_id, "attempt": 1, "turn": 1}
    await line.calls.append(
        TransferRequested(**place, destination="desk", kind=TransferKind.COLD, phone_number="+12125550145")
    )
    await line.reply()
    async with asyncio.timeout(60):
        while not line.entry.dials:
            await asyncio.sleep(0.02)

    assert [leg.to for leg in line.entry.dials] == ["+12125550145"]
    [play] = line.entry.plays
    assert play.outcome == "played", "the callee has heard the announcement"
    assert line.webhooks[:2] == ["voice", "redirect"]
    assert "/twilio/say/" in next(one.url for one in line.entry.webhooks if one.kind == "redirect")
