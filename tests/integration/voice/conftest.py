"""The vendors' simulators, our adapters on the official SDKs, and calls as the orchestrator leaves them in the log."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from nats.aio.client import Client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.fakes.providers import provider

from chassis.event_log import EventLog
from contracts import AudioRequested, Call, CallStatus, CallStatusChanged
from contracts.streams import CLIPS_BUCKET
from simulators.server import Simulators, running
from simulators.serving import serving
from voice.adapters import elevenlabs, twilio
from voice.adapters.clips import ObjectStoreClips
from voice.adapters.elevenlabs import ElevenLabs
from voice.adapters.twilio import Twilio

ACCOUNT_SID = "AC" + "0" * 31 + "1"
AUTH_TOKEN = "simulated-auth-token"
CALLER = "+12125550100"
CALLEE = "+12125550123"


@pytest.fixture
async def simulators() -> AsyncIterator[Simulators]:
    """The vendors, fifty times faster than life; whoever is called answers."""
    async with running(speed=50, behaviours={"human": 1}, twilio_auth_token=AUTH_TOKEN) as vendors:
        yield vendors


@pytest.fixture
async def edge_url() -> AsyncIterator[str]:
    """Somebody who answers Twilio's webhooks and keeps every line open."""

    async def twiml(_: Request) -> Response:
        return Response('<Response><Pause length="600"/></Response>', media_type="text/xml")

    async def noted(_: Request) -> Response:
        return Response(status_code=204)

    routes = [
        Route("/twilio/voice/{call}/{attempt}", twiml, methods=["POST"]),
        Route("/twilio/say/{call}/{attempt}/{turn}", twiml, methods=["POST"]),
        Route("/twilio/{kind}/{call}/{attempt}", noted, methods=["POST"]),
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
    ) as adapter:
        yield adapter


@pytest.fixture
async def speech(simulators: Simulators) -> AsyncIterator[ElevenLabs]:
    async with elevenlabs.connect(api_key="fictional-key", base_url=simulators.elevenlabs_url) as account:
        yield ElevenLabs(account, provider("elevenlabs"), voice="JBFqnCBsd6RMkjVDRZzb", model="eleven_flash_v2_5")


@pytest.fixture
async def clips(bus_client: Client) -> ObjectStoreClips:
    js = bus_client.jetstream()
    return ObjectStoreClips(await js.object_store(CLIPS_BUCKET))


@pytest.fixture
def begin(calls: EventLog) -> Callable[..., Awaitable[CallStatusChanged]]:
    """Puts a call that is being dialled into the log, as the orchestrator does; fields of the call by name."""

    async def begin(**changes: object) -> CallStatusChanged:
        now = datetime.now(UTC)
        call = Call(
            call_id=uuid4(),
            request_id="request-1",
            campaign_id="campaign-1",
            contact_id="contact-1",
            phone_number=CALLEE,
            script_template="Hello, this is the clinic.",
            variables={},
            language="en",
            metadata={},
            max_retries=3,
            retry_delay_seconds=60,
            call_timeout_seconds=30,
            max_call_seconds=600,
            created_at=now,
            status=CallStatus.DIALING,
            attempt=1,
            status_changed_at=now,
        ).model_copy(update=changes)
        event = CallStatusChanged(
            call=call, occurred_at=now, previous=CallStatus.PENDING, status=call.status, attempt=call.attempt
        )
        await calls.append(event)
        return event

    return begin


@pytest.fixture
def ask(calls: EventLog) -> Callable[..., Awaitable[None]]:
    """Asks for a sentence of a call: its turn, its number in it, its text."""

    async def ask(event: CallStatusChanged, turn: int, sentence: int, text: str, *, repeats: bool = False) -> None:
        attempt = event.attempt if turn else 0
        await calls.append(
            AudioRequested(
                call_id=event.call_id,
                attempt=attempt,
                turn=turn,
                sentence=sentence,
                text=text,
                language="en",
                is_reusable=repeats,
            )
        )

    return ask
