"""A simulated Twilio, the official SDK as its client, and a small web application that receives its requests."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from twilio.http.async_http_client import AsyncTwilioHttpClient  # type: ignore[import-untyped]
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]
from twilio.rest import Client  # type: ignore[import-untyped]

from simulators.faults import FaultPlan
from simulators.serving import serving
from simulators.twilio import create_app
from simulators.twilio.callees import Callee, Utterance
from simulators.twilio.ledger import CallEntry, Ledger
from simulators.twilio.stream_settings import StreamSettings

ACCOUNT_SID = "AC00000000000000000000000000000001"
AUTH_TOKEN = "a-fictional-token"
CALLEE = "+12125550123"
CALLER = "+12125550100"
EVENTS = ["initiated", "ringing", "answered", "completed"]
FINAL = {"completed", "busy", "no-answer", "failed", "canceled"}


class RedirectedHttpClient(AsyncTwilioHttpClient):  # type: ignore[misc]
    """The SDK's HTTP client with another scheme and host."""

    def __init__(self, base_url: str) -> None:
        super().__init__()
        self._base = urlsplit(base_url)

    async def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> object:
        redirected = urlsplit(url)._replace(scheme=self._base.scheme, netloc=self._base.netloc)
        # The SDK passes `auth` to aiohttp in a deprecated form: send the header instead.
        auth = kwargs.pop("auth")
        kwargs["headers"] |= {"Authorization": aiohttp.encode_basic_auth(*auth)}
        return await super().request(method, urlunsplit(redirected), *args, **kwargs)


@dataclass
class ReceivedRequest:
    path: str
    method: str
    query: str
    form: dict[str, str]
    has_valid_signature: bool
    idempotency_token: str


@dataclass
class WebApplication:
    """Answers Twilio's requests by path. The answers of a path are used in order; the last one repeats."""

    url: str = ""
    received: list[ReceivedRequest] = field(default_factory=list)
    abandoned: list[str] = field(default_factory=list)
    _answers: dict[str, list[Callable[[], Awaitable[Response]]]] = field(default_factory=dict)

    def set_twiml(self, path: str, *verbs: str) -> None:
        self.set_answers(path, *(Response(f"<Response>{verb}</Response>", media_type="text/xml") for verb in verbs))

    def set_answers(self, path: str, *responses: Response, delay: float = 0.0) -> None:
        async def answer(response: Response) -> Response:
            await asyncio.sleep(delay)
            return response

        self._answers[path] = [lambda response=one: answer(response) for one in responses]  # type: ignore[misc]

    def set_audio(self, path: str, seconds: float, *, pieces: int = 1, interval: float = 0.0) -> None:
        """Serves telephone audio of this length in pieces, with `interval` real seconds between them."""

        async def body() -> AsyncIterator[bytes]:
            sent = 0
            try:
                for _ in range(pieces):
                    yield bytes(int(8000 * seconds / pieces))
                    sent += 1
                    await asyncio.sleep(interval)
            finally:
                if sent < pieces:
                    self.abandoned.append(path)

        async def answer() -> Response:
            return StreamingResponse(body(), media_type="audio/basic")

        self._answers[path] = [answer]

    def forms(self, path: str) -> list[dict[str, str]]:
        return [request.form for request in self.received if request.path == path]

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/{path:path}", self._receive, methods=["GET", "POST"])])

    async def _receive(self, request: Request) -> Response:
        async with request.form() as form:
            fields = {key: str(value) for key, value in form.items()}
        signature = request.headers.get("X-Twilio-Signature", "")
        is_valid = RequestValidator(AUTH_TOKEN).validate(str(request.url), fields, signature)
        path = request.url.path
        token = request.headers.get("I-Twilio-Idempotency-Token", "")
        self.received.append(ReceivedRequest(path, request.method, request.url.query, fields, is_valid, token))
        answers = self._answers.get(path)
        if not answers:
            return Response(status_code=204)
        return await (answers.pop(0) if len(answers) > 1 else answers[0])()


@dataclass
class SimulatedTwilio:
    """The simulator with its control routes, the SDK's client for it, and the web application that it calls."""

    url: str
    api: Any
    ledger: Ledger
    application: WebApplication
    control: httpx.AsyncClient

    async def set_behaviours(self, *behaviours: str, number: str = CALLEE) -> None:
        await self.put_control(f"callees/{number}", {"behaviours": list(behaviours)})

    async def put_control(self, route: str, body: object) -> None:
        answer = await self.control.put(f"/_simulator/{route}", json=body)
        assert answer.status_code == 204, answer.text

    async def create_call(self, to: str = CALLEE, **parameters: object) -> Any:
        defaults: dict[str, object] = {
            "url": f"{self.application.url}/voice",
            "status_callback": f"{self.application.url}/status",
            "status_callback_event": EVENTS,
        }
        return await self.api.calls.create_async(to=to, from_=CALLER, **(defaults | parameters))

    def entry(self, sid: str) -> CallEntry:
        return next(call for call in self.ledger.calls if call.sid == sid)

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.005)

    async def wait_for_status(self, sid: str, status: str) -> CallEntry:
        await self.wait_until(lambda: any(entry.status == status for entry in self.entry(sid).statuses))
        return self.entry(sid)

    async def wait_for_end(self, sid: str) -> CallEntry:
        """Waits until the call is over and all its requests are answered."""
        entry = self.entry(sid)
        await self.wait_until(lambda: entry.status in FINAL)
        await self.wait_until(lambda: all(hook.attempts and hook.seconds is not None for hook in entry.webhooks))
        if (sequence := entry.statuses[-1].sequence) is not None:
            await self.wait_until(
                lambda: str(sequence) in {form["SequenceNumber"] for form in self.application.forms("/status")}
            )
            await self.wait_until(lambda: all(hook.seconds is not None for hook in entry.webhooks))
        return entry


@asynccontextmanager
async def running_twilio(
    speed: float = 200.0,
    seed: int = 1,
    behaviours: Mapping[str, float] | None = None,
    calls_per_second: float = 1000.0,
    streams: StreamSettings | None = None,
) -> AsyncIterator[SimulatedTwilio]:
    faults = FaultPlan(seed)
    app = create_app(
        account_sid=ACCOUNT_SID,
        auth_token=AUTH_TOKEN,
        seed=seed,
        speed=speed,
        behaviours=behaviours or {"human": 1.0},
        faults=faults,
        calls_per_second=calls_per_second,
        streams=streams,
    )
    application = WebApplication()
    async with AsyncExitStack() as stack:
        application.url = await stack.enter_async_context(serving(application.app(), "127.0.0.1", 0))
        url = await stack.enter_async_context(serving(faults.middleware("twilio", app), "127.0.0.1", 0))
        http = await stack.enter_async_context(RedirectedHttpClient(url))
        control = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=60))
        api = Client(ACCOUNT_SID, AUTH_TOKEN, http_client=http)
        yield SimulatedTwilio(url, api, app.state.ledger, application, control)


@pytest.fixture
def make_simulator() -> Callable[..., Any]:
    """A simulator with the test's own settings: `async with make_simulator(speed=…) as simulator`."""
    return running_twilio


@pytest.fixture
async def simulator() -> AsyncIterator[SimulatedTwilio]:
    """A simulator two hundred times faster than real time, with human callees only."""
    async with running_twilio() as running:
        yield running


@pytest.fixture
def interrupting_callees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every callee interrupts the prompt after a second, with the same words."""

    def next_utterance(callee: Callee, language: str) -> Utterance:
        return Utterance("Stop, please.", 0.9, delay=0.5, barge_in_seconds=1.0)

    monkeypatch.setattr(Callee, "next_utterance", next_utterance)
