"""The simulated vendors, voice's adapters, and calls as the orchestrator appends them to the log."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Unpack
from uuid import uuid4

import pytest
from nats.aio.client import Client
from prometheus_client import REGISTRY
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.builders.calls import CallChanges, a_call
from tests.builders.events import status_changed
from tests.fakes.providers import provider

from chassis.background import run_in_background
from chassis.event_log import EventLog
from contracts import (
    AudioFailed,
    AudioReady,
    AudioRequested,
    CallStatus,
    CallStatusChanged,
    Envelope,
    Event,
    SpeechFallback,
)
from contracts.buckets import CALL_CLIPS, CLIPS
from providers import RequestFailed
from simulators.server import Simulators, running
from simulators.serving import serving
from voice.adapters import elevenlabs, twilio
from voice.adapters.call_clips import CallClips
from voice.adapters.clips import ObjectStoreClips, StoredClips
from voice.adapters.elevenlabs import ElevenLabs
from voice.adapters.turn_events import TurnEventReader
from voice.adapters.twilio import Twilio
from voice.application.speech.synthesis import Sentence, SpeechSynthesis

ACCOUNT_SID = "AC" + "0" * 31 + "1"
AUTH_TOKEN = "simulated-auth-token"
CALLER = "+12125550100"
OTHER_CALLER = "+12125550101"
CALLEE = "+12125550123"

StartCall = Callable[..., Awaitable[CallStatusChanged]]
RequestAudio = Callable[..., Awaitable[Sentence]]


@pytest.fixture
async def simulators() -> AsyncIterator[Simulators]:
    """The vendors, fifty times faster than real time. Every callee answers."""
    async with running(speed=50, behaviours={"human": 1}, twilio_auth_token=AUTH_TOKEN) as vendors:
        yield vendors


@pytest.fixture
async def edge_url() -> AsyncIterator[str]:
    """An edge that answers Twilio's webhooks and keeps every line open."""

    async def twiml(_: Request) -> Response:
        return Response('<Response><Pause length="600"/></Response>', media_type="text/xml")

    async def accept(_: Request) -> Response:
        return Response(status_code=204)

    routes = [
        Route("/twilio/voice/{call}/{attempt}", twiml, methods=["POST"]),
        Route("/twilio/say/{call}/{attempt}/{turn}", twiml, methods=["POST"]),
        Route("/twilio/{kind}/{call}/{attempt}", accept, methods=["POST"]),
    ]
    async with serving(Starlette(routes=routes), "127.0.0.1") as url:
        yield url


@pytest.fixture
async def telephony(simulators: Simulators, edge_url: str) -> AsyncIterator[Twilio]:
    async with twilio.connect(
        account_sid=ACCOUNT_SID,
        auth_token=AUTH_TOKEN,
        base_url=simulators.twilio_url,
        number=CALLER,
        callbacks=edge_url,
        provider=provider("twilio"),
        caller_ids=frozenset({OTHER_CALLER}),
    ) as adapter:
        yield adapter


@pytest.fixture
async def speech(simulators: Simulators) -> AsyncIterator[ElevenLabs]:
    async with elevenlabs.connect(api_key="fictional-key", base_url=simulators.elevenlabs_url) as account:
        yield ElevenLabs(account, provider("elevenlabs"), voice="JBFqnCBsd6RMkjVDRZzb", model="eleven_flash_v2_5")


@pytest.fixture
async def clips(bus_client: Client) -> AsyncIterator[StoredClips]:
    async with clips_of(bus_client) as clips:
        yield clips


@asynccontextmanager
async def clips_of(client: Client) -> AsyncIterator[StoredClips]:
    """The clips of one replica."""
    js = client.jetstream()
    of_calls = CallClips(client, await js.key_value(CALL_CLIPS.name))
    async with of_calls.follow_calls():
        yield StoredClips(ObjectStoreClips(client, await js.object_store(CLIPS.name)), of_calls)


@pytest.fixture
async def turn_events(bus_client: Client, calls: EventLog) -> AsyncIterator[TurnEventReader]:
    """The events of turns, as a running service receives them."""
    reader = TurnEventReader(bus_client, calls)
    async with run_in_background(reader.run()):
        yield reader


@pytest.fixture
def start_call(calls: EventLog) -> StartCall:
    """Appends a call that is being dialled. Keyword arguments replace fields of the call."""

    async def start_call(status: CallStatus = CallStatus.DIALING, **changes: Unpack[CallChanges]) -> CallStatusChanged:
        defaults: CallChanges = {"call_id": uuid4(), "phone_number": CALLEE, "language": "en"}
        call_changes: CallChanges = {**defaults, **changes}
        event = status_changed(a_call(status, **call_changes))
        await calls.append(event)
        return event

    return start_call


@pytest.fixture
def request_audio(calls: EventLog) -> RequestAudio:
    """Requests a sentence of a call: its turn, its number in the turn, its text."""

    async def request_audio(
        event: CallStatusChanged, turn: int, sentence: int, text: str, *, is_reusable: bool = False
    ) -> Sentence:
        request = AudioRequested(
            call_id=event.call_id,
            attempt=event.attempt if turn else 0,
            turn=turn,
            sentence=sentence,
            text=text,
            language="en",
            is_reusable=is_reusable,
        )
        stored = await calls.append(request)
        return Sentence(request, stored.envelope, stored.sequence)

    return request_audio


def cause_of(event: CallStatusChanged) -> Envelope:
    """The envelope of a message about the call."""
    return Envelope.of(id=f"cause/{event.call_id}", source="test", time=event.occurred_at)


async def dial_events(calls: EventLog, event: CallStatusChanged) -> list[Event]:
    return [stored.event for stored in await calls.read((f"dial.*.{event.call_id}",))]


async def outcomes(calls: EventLog, event: CallStatusChanged) -> list[AudioReady | AudioFailed]:
    """The outcomes of the call's sentences, in log order."""
    subjects = [kind.subject_for(event.call_id) for kind in (AudioReady, AudioFailed)]
    events = [stored.event for stored in await calls.read(subjects)]
    return [event for event in events if isinstance(event, AudioReady | AudioFailed)]


async def failures(calls: EventLog, event: CallStatusChanged) -> list[tuple[int, str | None]]:
    """The sentences that failed, each with its fallback."""
    return [(one.sentence, one.fallback) for one in await outcomes(calls, event) if isinstance(one, AudioFailed)]


def metric(name: str, **labels: str) -> float:
    """The value of a metric; 0 if it was never observed."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def fallback_count(fallback: SpeechFallback) -> float:
    return metric("centralita_fallbacks_total", step=fallback.value)


async def speak(synthesis: SpeechSynthesis, sentence: Sentence) -> bytes:
    """Speaks a sentence, records a failure, and returns the audio that was synthesized."""
    audio = bytearray()
    try:
        ready = await synthesis.speak(sentence, audio.extend)
    except RequestFailed as error:
        await synthesis.record_failure(sentence, str(error))
    else:
        await synthesis.record_ready(sentence, [ready])
    return bytes(audio)
