"""Files that attack the console: without a session or a token, without an end, with large fields, and slow ones."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import httpx
import pytest
from fastapi import FastAPI
from nats.aio.client import Client
from starlette.types import ASGIApp, Message
from tests.integration.console.conftest import HERE, TOKEN
from tests.integration.console.test_import import BOUNDARY, CONTACTS, END, FORM, part, send, token_of
from tests.integration.edge.conftest import API_KEY
from tests.integration.edge.contact_import.conftest import added, asked, campaign, file

from centralita_console import uploads
from centralita_console.app import api_client, create_app, file_client
from centralita_console.pages.contacts import MAX_UPLOAD_BYTES
from centralita_console.settings import Settings
from centralita_console.uploads import MAX_PREFACE_BYTES
from chassis import body_limit

__all__ = ["asked", "campaign"]

pytestmark = pytest.mark.usefixtures("listed", "counted", "campaign")
PART = b"a" * 16_384
OnAPort = Callable[[ASGIApp], AbstractAsyncContextManager[str]]


class Sender:
    """A browser that sends a form without end, and counts what the console reads of it."""

    def __init__(self, app: ASGIApp, browser: httpx.AsyncClient, token: str) -> None:
        self._app = app
        self._cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        self.begin = part("csrf_token", token) + part("file", b"", "a.csv")[:-2]
        """The token and the headers of a file."""
        self.read_bytes = 0
        self.read_before_the_answer = 0
        self.status = 0
        self.headers: dict[bytes, bytes] = {}

    async def post(
        self,
        first: bytes = b"",
        query: str = "act=import",
        *,
        stops: bool = False,
        headers: dict[str, str] | None = None,
    ) -> int:
        """Sends `first` and then letters, or nothing more; returns the status of the answer."""
        given = {"host": "127.0.0.1:8080", "content-length": str(MAX_UPLOAD_BYTES), "cookie": self._cookies}
        given |= {name.lower(): value for name, value in FORM.items()} | (headers or {})
        messages = [first] if first else []

        async def receive() -> Message:
            await asyncio.sleep(0)
            if not messages and stops:
                await asyncio.Event().wait()
            data = messages.pop() if messages else PART
            self.read_bytes += len(data)
            return {"type": "http.request", "body": data, "more_body": True}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status, self.headers = message["status"], dict(message["headers"])
                self.read_before_the_answer = self.read_bytes

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "method": "POST",
            "scheme": "http",
            "path": CONTACTS,
            "raw_path": CONTACTS.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
            "state": {},
        }
        await self._app(scope, receive, send)
        return self.status


@pytest.fixture
def console(edge: httpx.AsyncClient) -> ASGIApp:
    """A console with the one-use link."""
    return create_app(Settings.model_validate({"console_token": TOKEN, "console_api_key": API_KEY}), edge)


@pytest.fixture
async def sender(console: ASGIApp) -> AsyncIterator[Sender]:
    """A browser that is logged in."""
    transport = httpx.ASGITransport(console, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=HERE) as browser:
        await browser.get("/login", params={"token": TOKEN})
        yield Sender(console, browser, await token_of(browser))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies that do not end are discarded for a moment only."""
    monkeypatch.setattr(uploads, "DISCARD_SECONDS", 0.05)
    monkeypatch.setattr(body_limit, "DISCARD_SECONDS", 0.05)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"cookie": ""}, 401),
        ({"cookie": "centralita=forged"}, 401),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"host": "rebound.evil.example"}, 421),
        ({"content-length": str(MAX_UPLOAD_BYTES + 1)}, 413),
        ({"content-length": "9" * 20}, 413),
        ({"content-length": "\xb2"}, 411),
        ({"transfer-encoding": "chunked"}, 411),
    ],
)
async def test_nothing_of_a_file_is_read_before_the_sender_is_known(
    sender: Sender, headers: dict[str, str], status: int
) -> None:
    assert await sender.post(sender.begin, headers=headers) == status
    assert sender.read_before_the_answer == 0
    assert sender.headers[b"connection"] == b"close", "the server would read the rest of the body"


@pytest.mark.parametrize(
    ("first", "status"),
    [
        (part("csrf_token", "wrong") + part("file", b"", "a.csv")[:-2], 403),
        (part("file", b"", "a.csv")[:-2], 403),
        (part("csrf_token", "")[:-2], 422),
        (part("x", "")[:-2], 422),
        (f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=".encode(), 422),
        (f"--{BOUNDARY}\r\nX-".encode(), 422),
        (b"\r\n", 422),
        (b"", 422),
    ],
    ids=[
        "wrong-token",
        "no-token",
        "endless-token",
        "endless-field",
        "endless-header",
        "endless-name",
        "newline",
        "letters",
    ],
)
async def test_little_of_a_form_without_a_token_is_read(
    sender: Sender, first: bytes, status: int, bus_client: Client
) -> None:
    assert await sender.post(first) == status
    discarded = 64 * 65_536  # after the answer is known, for a time
    assert sender.read_before_the_answer <= len(first) + MAX_PREFACE_BYTES + 2 * len(PART) + discarded
    assert sender.headers[b"connection"] == b"close"
    assert await added(bus_client) == []


async def test_a_form_that_does_not_begin_is_answered(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PREFACE_SECONDS", 0.02)

    assert await sender.post(part("csrf_token", "x"), stops=True) == 422
    assert sender.headers[b"connection"] == b"close"


async def test_a_file_that_does_not_end_is_answered_and_makes_room_for_the_next_one(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_limit, "SLOW_SECONDS", 0.05)
    monkeypatch.setattr(uploads, "MAX_UPLOADS", 1)

    for _ in range(2):
        assert await sender.post(sender.begin + file(10), stops=True) == 422


async def test_one_file_of_a_session_is_sent_at_a_time(sender: Sender) -> None:
    first = asyncio.create_task(sender.post(sender.begin + file(10), stops=True))
    async with asyncio.timeout(60):
        while not sender.read_bytes:
            await asyncio.sleep(0.01)
        other = Sender.__new__(Sender)
        other.__dict__ |= {**sender.__dict__, "read_bytes": 0, "read_before_the_answer": 0}
        assert await other.post(sender.begin) == 429
    assert other.read_before_the_answer == 0
    first.cancel()


async def test_a_form_whose_end_is_missing_is_no_complete_import(browser: httpx.AsyncClient) -> None:
    whole = part("csrf_token", await token_of(browser)) + part("file", file(3), "a.csv")

    answer = await browser.post(f"{CONTACTS}?act=import", content=whole, headers=FORM)

    assert answer.status_code == 422
    assert "the end of the form is missing" in answer.text


@pytest.mark.parametrize(
    "body",
    [
        part("file", file(1), "a.csv") + END,
        part("file", file(1), "a.csv") + part("csrf_token", "TOKEN") + END,
        part("csrf_token", "x" * 20_000_000) + part("file", file(1), "a.csv") + END,
        b"".join(part(f"f{n}", "") for n in range(1_000)) + part("file", file(1), "a.csv") + END,
    ],
    ids=["no-token", "token-after-the-file", "long-field", "many-fields"],
)
async def test_a_form_that_no_page_sent_adds_nothing(
    browser: httpx.AsyncClient, bus_client: Client, body: bytes
) -> None:
    given = body.replace(b"TOKEN", (await token_of(browser)).encode())

    answer = await browser.post(f"{CONTACTS}?act=import", content=given, headers=FORM)

    assert answer.status_code in (403, 422)
    assert await added(bus_client) == []


@pytest.mark.parametrize("media_type", ["text/csv", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_another_media_type_is_refused(browser: httpx.AsyncClient, media_type: str) -> None:
    answer = await browser.post(CONTACTS, content=b"csrf_token=x", headers={"Content-Type": media_type})

    assert answer.status_code == 422


async def test_two_files_are_not_mixed(browser: httpx.AsyncClient, bus_client: Client) -> None:
    token = part("csrf_token", await token_of(browser))
    other = b"phone_number,name\n+12125559999,Eve\n"
    body = token + part("file", file(2), "a.csv") + part("file", other, "b.csv") + part("file", b"", "") + END

    answer = await browser.post(f"{CONTACTS}?act=import", content=body, headers=FORM)

    assert "2 contacts added" in answer.text
    assert len(await added(bus_client)) == 2


@pytest.mark.parametrize("size", [1, 2, 3, 7, 60, 61, 62])
async def test_a_boundary_is_found_wherever_the_parts_of_a_body_end(size: int) -> None:
    content = b"a\r\n--" + BOUNDARY.encode()[:-1] + b"\r\n--\r\n"
    body = part("csrf_token", "t") + part("file", content, "a.csv") + END
    form = uploads._Form(BOUNDARY.encode())

    found = b"".join(piece for start in range(0, len(body), size) for piece in form.feed(body[start : start + size]))

    assert (form.fields, form.file_name, found) == ({"csrf_token": "t"}, "a.csv", content)
    assert form.is_file_complete


class Reader(httpx.AsyncBaseTransport):
    """A REST API that reads one part of a file at a time; notes how much more the console has read."""

    def __init__(self, sender: Sender) -> None:
        self.sender = sender
        self.ahead: list[int] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "POST":
            return httpx.Response(200, json={"campaigns": [], "next": None})
        read = 0
        assert isinstance(request.stream, httpx.AsyncByteStream)
        async for data in request.stream:
            read += len(data)
            self.ahead.append(self.sender.read_bytes - read)
            if len(self.ahead) == 2_000:
                break
        return httpx.Response(500, json={"title": "an error"})


async def test_a_browser_that_still_sends_sees_that_the_rest_api_does_not_answer() -> None:
    class Closed(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "POST":
                raise httpx.ConnectError("refused")
            return httpx.Response(200, json={"campaigns": [], "next": None})

    values = Settings.model_validate({"console_token": TOKEN, "console_api_key": API_KEY})
    async with httpx.AsyncClient(transport=Closed(), base_url="http://edge.internal:8000") as http:
        console = create_app(values, http)
        sender = await logged_in(console)
        assert await sender.post(sender.begin) == 502
    assert sender.read_before_the_answer > 10 * len(PART)  # a closed connection would hide the answer


async def logged_in(console: FastAPI) -> Sender:
    transport = httpx.ASGITransport(console, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=HERE) as browser:
        await browser.get("/login", params={"token": TOKEN})
        [session] = console.state.door.sessions._sessions.values()
        return Sender(console, browser, session.csrf_token)


async def test_no_more_of_a_file_is_in_memory_than_the_rest_api_has_read() -> None:
    values = Settings.model_validate({"console_token": TOKEN, "console_api_key": API_KEY})
    async with httpx.AsyncClient(base_url="http://edge.internal:8000") as http:
        sender = await logged_in(create_app(values, http))
        reader = Reader(sender)
        http._transport = reader
        await sender.post(sender.begin)
    assert len(reader.ahead) == 2_000
    assert max(reader.ahead) < 65_536


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"phone_number,name,\n" + b"+12125550123,Ana,\n" * 1_000_000, "column 3: has no name"),
        (b"phone_number,name\n" + b"a" * 16_000_000, "0 contacts added"),
    ],
    ids=["refused at its begin", "read to its end"],
)
async def test_the_answer_to_a_large_file_is_seen_over_real_connections(
    app: ASGIApp, on_a_port: OnAPort, content: bytes, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (uploads, body_limit):
        monkeypatch.setattr(module, "DISCARD_SECONDS", 60)  # this body ends
    async with on_a_port(app) as api_url:
        settings = Settings.model_validate({"api_url": api_url, "console_token": TOKEN, "console_api_key": API_KEY})
        async with api_client(settings) as http, file_client(settings) as files:
            console = create_app(settings, http, files)
            async with on_a_port(console) as url, httpx.AsyncClient(base_url=url, timeout=120) as browser:
                await browser.get("/login", params={"token": TOKEN})
                answer = await send(browser, content, query="act=import")

    assert expected in answer.text


async def test_after_all_this_a_file_is_still_imported(browser: httpx.AsyncClient) -> None:
    assert "10 contacts added" in (await send(browser, file(10), query="act=import")).text
