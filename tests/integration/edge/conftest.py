"""The edge on a real NATS server, with a simulated orchestrator, and webhooks signed by Twilio's SDK."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
import uvicorn
from nats.aio.client import Client
from nats.aio.msg import Msg
from starlette.types import ASGIApp
from tests.builders.sealed_messages import opened
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from chassis.broker import Broker
from chassis.event_log import EventLog
from chassis.http_protocol import LimitedHttpProtocol
from chassis.keyring import Keyring
from chassis.serve import Bus
from contracts import (
    Call,
    CallChanged,
    CallChangeRequested,
    CallCreated,
    CallEvent,
    CallRequested,
    CallStatus,
    CallStatusChanged,
    Campaign,
    CampaignChanged,
    CampaignChangeRequested,
    CampaignCreated,
    CampaignCreateRequested,
    CampaignDecision,
    CampaignEvent,
    CampaignFinished,
    CampaignFinishRequested,
    CampaignPaused,
    CampaignPauseRequested,
    CampaignResumed,
    CampaignStarted,
    CampaignStartRequested,
    CommandOutcome,
    Event,
    Service,
    call_id_of,
    outcome_subject,
)
from contracts.event import CallDecision
from contracts.filters import call_state_filter, campaign_state_filter
from contracts.streams import CALLS, REQUESTS
from contracts.vocabulary import RefusalCode
from edge.application.keys import digest_of
from edge.composition import build
from edge.entrypoints.http import Dependencies
from edge.settings import Settings

PUBLIC_URL = "https://calls.example.com"
VOICE_URL = "http://voice.internal:8000"
"""The internal URL, which must not appear in any answer to the outside."""
AUTH_TOKEN = "0123456789abcdef0123456789abcdef"
NAMED = {"reader": "read", "caller": "call", "desk": "read+call", "auditor": "admin"}
"""Names of keys and their scopes."""
LIMITED = "limited"
"""The name of a key with the scopes read and call that is limited to the campaigns `spring` and `autumn`."""
EVERY_SCOPE = {"good": "read+call+admin", "another": "read+call+admin"}
SID = "CA00000000000000000000000000000001"


def secret_of(name: str) -> str:
    """Returns the key of a name, long enough to be valid."""
    return f"{name}-key".ljust(32, "-")


API_KEY = secret_of("good")
CAMPAIGN_TERMS: dict[str, Any] = {
    "script_template": "Hello {{name}}, this is {{company}}.",
    "variables": {"company": "Acme"},
    "language": "en",
}
"""What the simulated orchestrator adds to a request without a script, as from the terms of its campaign."""
DIALED = {"status": CallStatus.IN_PROGRESS, "attempt": 1}


def new_call(request: CallRequested) -> Call:
    now = datetime.now(UTC)
    assert request.request_id
    given = request.model_dump(exclude={"scheduled_at"}, exclude_none=True)
    if request.script_template is None:
        given |= {**CAMPAIGN_TERMS, "variables": {**CAMPAIGN_TERMS["variables"], **request.variables}}
    defaults = {"max_retries": 3, "retry_delay_seconds": 3600, "call_timeout_seconds": 30, "max_call_seconds": 600}
    state = {"status": CallStatus.PENDING, "attempt": 0, "status_changed_at": now, "created_at": now}
    return Call.model_validate(
        {
            **defaults,
            **given,
            **state,
            "call_id": call_id_of(request.request_id),
            "due_at": request.scheduled_at or now,
        }
    )


def after_command(command: CampaignEvent, campaign: Campaign) -> CampaignDecision:
    """Returns the event that a command about a campaign leads to, without checks."""
    now = datetime.now(UTC)
    match command:
        case CampaignPauseRequested(reason=reason):
            return CampaignPaused(campaign=campaign.paused(now, reason), occurred_at=now)
        case CampaignCreateRequested(terms=terms):
            return CampaignCreated(campaign=campaign.created(now, terms.stored()), occurred_at=now)
        case CampaignChangeRequested(terms=terms):
            return CampaignChanged(campaign=campaign.changed(terms.stored()), occurred_at=now)
        case CampaignStartRequested():
            return CampaignStarted(campaign=campaign.started(now), occurred_at=now)
        case CampaignFinishRequested():
            return CampaignFinished(campaign=campaign.finished(now), occurred_at=now)
        case _:
            return CampaignResumed(campaign=campaign.resumed(now), occurred_at=now)


@dataclass
class Orchestrator:
    """A simulated orchestrator. It refuses with `refusal` and `code`, and does not answer when `silent`."""

    client: Client
    log: EventLog
    keyring: Keyring
    refusal: tuple[str, ...] = ()
    code: RefusalCode | None = None
    silent: bool = False
    asked: list[str] = field(default_factory=list)
    message_ids: list[str] = field(default_factory=list)

    async def on_message(self, message: Msg) -> None:
        self.asked.append(message.subject)
        self.message_ids.append((message.headers or {})["Nats-Msg-Id"])
        if self.silent:
            return
        outcome = CommandOutcome(accepted=False, reasons=self.refusal, code=self.code)
        event = await opened(message.subject, message.data, message.headers, self.keyring)
        if await self.is_unknown(event):
            reasons, code = ("there is no such call",), RefusalCode.NO_SUCH_CALL
            outcome = CommandOutcome(accepted=False, reasons=reasons, code=code)
        elif await self.is_other_version(event):
            outcome = CommandOutcome(accepted=False, reasons=("version: the campaign has changed meanwhile",))
        elif not self.refusal:
            outcome = CommandOutcome(accepted=True, **await self.handle(event))
        subject = outcome_subject((message.headers or {})["Nats-Msg-Id"])
        await self.client.publish(subject, outcome.model_dump_json().encode())

    async def is_unknown(self, event: Event) -> bool:
        return isinstance(event, CallEvent) and await self.log.last(call_state_filter(event.call_id)) is None

    async def is_other_version(self, event: Event) -> bool:
        if not isinstance(event, CampaignChangeRequested) or event.campaign_version is None:
            return False
        last = await self.log.last(campaign_state_filter(event.campaign_id))
        return event.campaign_version != (last.sequence if last else 0)

    async def handle(self, event: Event) -> dict[str, Any]:
        if not isinstance(event, CampaignEvent):
            return {"call_id": await self.decide(event)}
        last = await self.log.last(campaign_state_filter(event.campaign_id))
        campaign = last.event.campaign if last and isinstance(last.event, CampaignDecision) else None
        await self.log.append(after_command(event, campaign or Campaign(campaign_id=event.campaign_id)))
        return {"campaign_id": event.campaign_id}

    async def decide(self, event: Event) -> UUID:
        now = datetime.now(UTC)
        if isinstance(event, CallRequested):
            call = new_call(event)
            if await self.log.last(call_state_filter(call.call_id)) is None:
                await self.log.append(CallCreated(call=call, occurred_at=now))
            return call.call_id
        if isinstance(event, CallChangeRequested):
            before = await self.call(event.call_id)
            changed = event.changes()
            if event.retry_policy:
                changed["retry_policy"] = event.retry_policy.stored()
            if event.voicemail:
                changed["voicemail"] = event.voicemail.stored()
            if "scheduled_at" in changed:
                changed["due_at"] = changed.pop("scheduled_at")
            after = before.model_copy(update=changed)
            await self.log.append(CallChanged(call=after, occurred_at=now, changed=tuple(changed)))
            return event.call_id
        assert isinstance(event, CallEvent)
        await self.move(event.call_id, status=CallStatus.CANCELED)
        return event.call_id

    async def call(self, call_id: UUID) -> Call:
        stored = await self.log.last(call_state_filter(call_id))
        assert stored
        assert isinstance(stored.event, CallDecision)
        return stored.event.call

    async def move(self, call_id: UUID, **changes: object) -> Call:
        before = await self.call(call_id)
        call = before.model_copy(update=changes)
        moved = CallStatusChanged(
            call=call,
            occurred_at=datetime.now(UTC),
            previous=before.status,
            status=call.status,
            attempt=call.attempt,
        )
        await self.log.append(moved)
        return call


@pytest.fixture
async def orchestrator(bus_client: Client, keyring: Keyring) -> Orchestrator:
    log = EventLog(bus_client, CALLS.name, source=Service.ORCHESTRATOR, keyring=keyring)
    simulated = Orchestrator(bus_client, log, keyring)
    for subject in REQUESTS.subjects:
        await bus_client.subscribe(subject, cb=simulated.on_message)
    return simulated


@pytest.fixture
def body() -> dict[str, object]:
    """The body of a call request."""
    return {
        "campaign_id": "spring",
        "contact_id": "contact-1",
        "phone_number": "+12125550123",
        "script_template": "Hola {{name}}.\n\nConfirma la cita.",
        "variables": {"name": "Ana"},
        "language": "es",
    }


@pytest.fixture
def settings() -> Settings:
    named = {**EVERY_SCOPE, **NAMED}
    entries = [f"{name}:{scopes}:{digest_of(secret_of(name))}" for name, scopes in named.items()]
    keys = ",".join([*entries, f"{LIMITED}:read+call:{digest_of(secret_of(LIMITED))}:spring+autumn"])
    values = {"app_base_url": PUBLIC_URL, "voice_url": VOICE_URL, "twilio_auth_token": AUTH_TOKEN, "api_keys": keys}
    return Settings.model_validate(values)


@pytest.fixture
async def app(bus_client: Client, settings: Settings) -> AsyncIterator[ASGIApp]:
    bus = Bus(bus_client, Broker(), Service.EDGE)
    async with build(settings, bus) as built:
        yield built


def client_of(app: ASGIApp, **headers: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://edge.internal:8000", headers=headers)


@pytest.fixture
async def anyone(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key."""
    async with client_of(app) as http:
        yield http


@pytest.fixture
async def api(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose key has every scope."""
    async with client_of(app, Authorization=f"Bearer {API_KEY}") as http:
        yield http


As = Callable[[str], httpx.AsyncClient]


@pytest.fixture
async def as_(app: ASGIApp) -> AsyncIterator[As]:
    """Returns a client with the key of a name in `NAMED`, or of `LIMITED`."""
    async with AsyncExitStack() as stack:
        clients = {
            name: await stack.enter_async_context(client_of(app, **{"X-API-Key": secret_of(name)}))
            for name in (*NAMED, LIMITED)
        }
        yield clients.__getitem__


@pytest.fixture
async def waiting(orchestrator: Orchestrator, body: dict[str, object]) -> Call:
    """A call that waits to be dialled."""
    await orchestrator.decide(CallRequested.model_validate({**body, "request_id": "r-1"}))
    return await orchestrator.call(call_id_of("r-1"))


@pytest.fixture
async def talking(orchestrator: Orchestrator, waiting: Call) -> Call:
    """A call whose first attempt has been answered."""
    return await orchestrator.move(waiting.call_id, **DIALED)


def dependencies_with(**given: object) -> Dependencies:
    """Returns dependencies of the HTTP application of which only those given exist, for tests that use no others."""
    values: dict[str, Any] = {field.name: None for field in fields(Dependencies)}
    return Dependencies(**values | given)


Twilio = Callable[..., Coroutine[Any, Any, httpx.Response]]


@pytest.fixture
def twilio(anyone: httpx.AsyncClient) -> Twilio:
    """Posts a form to a target (path and query) as Twilio does, signed for the public URL by default."""

    async def post(target: str, *, signature: str | None = None, **form: str) -> httpx.Response:
        sent = {"CallSid": SID, "AccountSid": "AC00000000000000000000000000000001", "ToZip": "", **form}
        signed = signature or RequestValidator(AUTH_TOKEN).compute_signature(PUBLIC_URL + target, sent)
        return await anyone.post(target, data=sent, headers={"X-Twilio-Signature": signed})

    return post


@asynccontextmanager
async def listening(app: ASGIApp) -> AsyncIterator[str]:
    """Serves `app` on a port chosen by the kernel, for tests that need a real connection."""
    config = uvicorn.Config(
        app,
        http=LimitedHttpProtocol,
        port=0,
        log_config=None,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=10,
        proxy_headers=False,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        for connection in list(server.server_state.connections):  # those that outlasted the time to shut down
            connection.transport.abort()


@pytest.fixture
def on_a_port() -> Callable[[ASGIApp], object]:
    return listening
