"""A line as the callee hears it, at the pace of life: ElevenLabs fails in the middle of a turn, and Twilio goes on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from urllib.parse import urlsplit

import httpx
import pytest
from faststream.nats import NatsBroker
from nats.aio.client import Client
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.fakes.providers import provider
from tests.integration.voice.conftest import ACCOUNT_SID, AUTH_TOKEN, CALLEE, CALLER

from chassis.event_log import EventLog
from chassis.serve import Bus
from contracts import CallStatus, CallStatusChanged, DialPlaced, ReplyGenerated
from edge.composition import build
from edge.settings import Settings
from simulators.faults import FaultRule
from simulators.server import Simulators, running
from simulators.serving import serving
from simulators.twilio.ledger import CallEntry
from voice.adapters import twilio
from voice.adapters.clips import ObjectStoreClips
from voice.adapters.elevenlabs import ElevenLabs
from voice.adapters.spoken_facts import LoggedFacts
from voice.application.speech.synthesis import Speaking
from voice.application.speech.turns import Turns
from voice.application.telephony.handover import Handover
from voice.entrypoints.media import build_routes

SEED = 13
"""This callee picks up soon."""
TEXTS = ("All is well.", "Is it?", "Bye.")


@pytest.fixture
async def simulators() -> AsyncIterator[Simulators]:
    """The vendors at the pace of life, and a callee who says nothing."""
    async with running(seed=SEED, behaviours={"silent": 1}, twilio_auth_token=AUTH_TOKEN) as vendors:
        yield vendors


class PublicHost:
    """One address for both services, as the reverse proxy gives it; they are named once it is known."""

    edge: ASGIApp
    voice: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await (self.voice if scope["path"].startswith("/media/") else self.edge)(scope, receive, send)
        else:
            await Starlette()(scope, receive, send)


@pytest.fixture
async def public_url(
    bus_client: Client, calls: EventLog, speech: ElevenLabs, clips: ObjectStoreClips, simulators: Simulators
) -> AsyncIterator[str]:
    """Voice's media and the edge, as they are composed."""
    host = PublicHost()
    turns = Turns(calls, LoggedFacts(bus_client), Speaking([speech], clips, calls), patience=5)
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
        settings = Settings.model_validate({"app_base_url": url, "twilio_auth_token": AUTH_TOKEN, "api_keys": "key"})
        async with build(settings, Bus(bus_client, NatsBroker(), calls)) as host.edge:
            host.voice = Starlette(routes=build_routes(turns, handover, AUTH_TOKEN))
            yield url


@pytest.fixture
async def line(
    public_url: str,
    simulators: Simulators,
    calls: EventLog,
    begin: Callable[..., Awaitable[CallStatusChanged]],
    ask: Callable[..., Awaitable[None]],
) -> CallEntry:
    """Twilio's ledger entry of a call that begins with a turn of which the second sentence cannot be spoken."""
    simulators.faults.rules = [FaultRule(target="elevenlabs", request_body="Is it", kind="status", status=500)]
    event = await begin(status=CallStatus.IN_PROGRESS)
    told = {"call_id": event.call_id, "attempt": 1, "turn": 1}
    for number, text in enumerate(TEXTS):
        await ask(event, 1, number, text)
    await calls.append(
        ReplyGenerated.model_validate(
            {**told, "text": " ".join(TEXTS), "sentences": 3, "model": "m", "latency_seconds": 0}
        )
    )
    wanted = {"To": CALLEE, "From": CALLER, "Url": f"{public_url}/twilio/gather/{event.call_id}/1/1"}
    async with httpx.AsyncClient(base_url=simulators.twilio_url, auth=(ACCOUNT_SID, AUTH_TOKEN)) as http:
        dialled = await http.post(f"/2010-04-01/Accounts/{ACCOUNT_SID}/Calls.json", data=wanted)
    sid = dialled.raise_for_status().json()["sid"]
    await calls.append(DialPlaced(call_id=event.call_id, attempt=1, provider_call_id=sid))
    return simulators.ledger.calls[0]


async def test_what_was_sent_is_heard_to_its_end_and_then_twilio_says_the_rest(line: CallEntry) -> None:
    async with asyncio.timeout(30):
        while not any(one.text for one in line.utterances):
            await asyncio.sleep(0.02)

    [first, rest] = line.utterances
    assert (urlsplit(first.url).path[-4:], rest.text) == ("/1/1", "Is it? Bye.")
    [play] = line.plays
    assert play.outcome == "played"
    assert play.seconds > 0
    assert [one.kind for one in line.webhooks if one.kind != "status"] == ["voice", "redirect"]
    assert not line.errors
