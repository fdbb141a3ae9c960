"""Our side of the telephone, played by a small application, and the official SDK against the simulator."""

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
from simulators.twilio.callees import Callee, Reply
from simulators.twilio.ledger import CallEntry, Ledger

ACCOUNT_SID = "AC00000000000000000000000000000001"
AUTH_TOKEN = "a-fictional-token"
CALLEE = "+12125550123"
CALLER = "+12125550100"
EVENTS = ["initiated", "ringing", "answered", "completed"]
FINAL = {"completed", "busy", "no-answer", "failed", "canceled"}


class Rewriting(AsyncTwilioHttpClient):  # type: ignore[misc]
    """The SDK's own client, with another scheme and host."""

    def __init__(self, base_url: str) -> None:
        super().__init__()
        self._base = urlsplit(base_url)

    async def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> object:
        there = urlsplit(url)._replace(scheme=self._base.scheme, netloc=self._base.netloc)
        # The SDK hands `auth` to aiohttp in a form that aiohttp has deprecated: send the header instead.
        auth = kwargs.pop("auth")
        kwargs["headers"] |= {"Authorization": aiohttp.encode_basic_auth(*auth)}
        return await super().request(method, urlunsplit(there), *args, **kwargs)


@dataclass
class Received:
    path: str
    method: str
    query: str
    form: dict[str, str]
    signed: bool


@dataclass
class OurSide:
    """Answers by path; each path's answers are used in order, the last one from then on."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    abandoned: list[str] = field(default_factory=list)
    _answers: dict[str, list[Callable[[], Awaitable[Response]]]] = field(default_factory=dict)

    def twiml(self, path: str, *verbs: str) -> None:
        self.answers(path, *(Response(f"<Response>{verb}</Response>", media_type="text/xml") for verb in verbs))

    def answers(self, path: str, *responses: Response, after: float = 0.0) -> None:
        async def answer(response: Response) -> Response:
            await asyncio.sleep(after)
            return response

        self._answers[path] = [lambda response=one: answer(response) for one in responses]  # type: ignore[misc]

    def audio(self, path: str, seconds: float, *, pieces: int = 1, every: float = 0.0) -> None:
        """Telephone audio of a length, in pieces with `every` real seconds between them."""

        async def body() -> AsyncIterator[bytes]:
            sent = 0
            try:
                for _ in range(pieces):
                    yield bytes(int(8000 * seconds / pieces))
                    sent += 1
                    await asyncio.sleep(every)
            finally:
                if sent < pieces:
                    self.abandoned.append(path)

        async def answer() -> Response:
            return StreamingResponse(body(), media_type="audio/basic")

        self._answers[path] = [answer]

    def posts(self, path: str) -> list[dict[str, str]]:
        return [one.form for one in self.received if one.path == path]

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/{path:path}", self._receive, methods=["GET", "POST"])])

    async def _receive(self, request: Request) -> Response:
        async with request.form() as form:
            fields = {key: str(value) for key, value in form.items()}
        signature = request.headers.get("X-Twilio-Signature", "")
        signed = RequestValidator(AUTH_TOKEN).validate(str(request.url), fields, signature)
        path = request.url.path
        self.received.append(Received(path, request.method, request.url.query, fields, signed))
        answers = self._answers.get(path)
        if not answers:
            return Response(status_code=204)
        return await (answers.pop(0) if len(answers) > 1 else answers[0])()


@dataclass
class Telephone:
    """The simulator, the SDK's client on it, and our side."""

    url: str
    api: Any
    ledger: Ledger
    ours: OurSide
    control: httpx.AsyncClient

    async def meets(self, *behaviours: str, number: str = CALLEE) -> None:
        await self.put(f"callees/{number}", {"behaviours": list(behaviours)})

    async def put(self, route: str, body: object) -> None:
        answer = await self.control.put(f"/_simulator/{route}", json=body)
        assert answer.status_code == 204, answer.text

    async def call(self, to: str = CALLEE, **given: object) -> Any:
        create: dict[str, object] = {
            "url": f"{self.ours.url}/voice",
            "status_callback": f"{self.ours.url}/status",
            "status_callback_event": EVENTS,
        }
        return await self.api.calls.create_async(to=to, from_=CALLER, **(create | given))

    def entry(self, sid: str) -> CallEntry:
        return next(call for call in self.ledger.calls if call.sid == sid)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.005)

    async def reached(self, sid: str, status: str) -> CallEntry:
        await self.until(lambda: any(one.status == status for one in self.entry(sid).statuses))
        return self.entry(sid)

    async def ended(self, sid: str) -> CallEntry:
        """Wait until the call is over and nothing that it sent is still unanswered."""
        entry = self.entry(sid)
        await self.until(lambda: entry.status in FINAL)
        await self.until(lambda: all(hook.attempts and hook.seconds is not None for hook in entry.webhooks))
        if (sequence := entry.statuses[-1].sequence) is not None:
            await self.until(lambda: str(sequence) in {f["SequenceNumber"] for f in self.ours.posts("/status")})
            await self.until(lambda: all(hook.seconds is not None for hook in entry.webhooks))
        return entry


@asynccontextmanager
async def telephone_running(
    speed: float = 200.0,
    seed: int = 1,
    behaviours: Mapping[str, float] | None = None,
    calls_per_second: float = 1000.0,
) -> AsyncIterator[Telephone]:
    faults = FaultPlan(seed)
    app = create_app(
        account_sid=ACCOUNT_SID,
        auth_token=AUTH_TOKEN,
        seed=seed,
        speed=speed,
        behaviours=behaviours or {"human": 1.0},
        faults=faults,
        calls_per_second=calls_per_second,
    )
    ours = OurSide()
    async with AsyncExitStack() as stack:
        ours.url = await stack.enter_async_context(serving(ours.app(), "127.0.0.1", 0))
        url = await stack.enter_async_context(serving(faults.middleware("twilio", app), "127.0.0.1", 0))
        http = await stack.enter_async_context(Rewriting(url))
        control = await stack.enter_async_context(httpx.AsyncClient(base_url=url))
        api = Client(ACCOUNT_SID, AUTH_TOKEN, http_client=http)
        yield Telephone(url, api, app.state.ledger, ours, control)


@pytest.fixture
def make_telephone() -> Callable[..., Any]:
    """A simulator with settings of the test's own: `async with make_telephone(speed=…) as telephone`."""
    return telephone_running


@pytest.fixture
async def telephone() -> AsyncIterator[Telephone]:
    """A simulator two hundred times faster than life, whose callees are all human."""
    async with telephone_running() as running:
        yield running


@pytest.fixture
def speaks_over_the_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every callee speaks after a second of the prompt, always the same words."""

    def reply(callee: Callee, language: str) -> Reply:
        return Reply("Stop, please.", 0.9, delay=0.5, barges_in_after=1.0)

    monkeypatch.setattr(Callee, "next_reply", reply)
