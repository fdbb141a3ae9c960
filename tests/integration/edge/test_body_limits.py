"""Limits of request bodies: what the edge reads before it knows the sender."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import httpx
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from tests.integration.edge.conftest import API_KEY, AUTH_TOKEN, PUBLIC_URL, secret_of
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from chassis import body_limit
from chassis.body_limit import IN_FLIGHT_BYTES, LimitBody
from contracts import Call
from edge.entrypoints import webhooks
from edge.entrypoints.body_limit import MAX_BODY_BYTES, MAX_WEBHOOK_BYTES
from edge.entrypoints.contacts import MAX_IMPORT_BYTES
from edge.entrypoints.problems import problem_of
from edge.entrypoints.value_limit import MAX_VALUES
from edge.entrypoints.webhooks import MAX_FIELDS

OnAPort = Callable[[ASGIApp], AbstractAsyncContextManager[str]]
CALL = "5f0c9d5e-7d0a-5c43-9a43-6f0f6d1f7c11"
WEBHOOK = f"/twilio/status/{CALL}/1"
CONTACTS = "/api/v1/campaigns/spring/contacts"
SIGNED = {"X-Twilio-Signature": "forged"}
KEY = {"X-API-Key": API_KEY}
PART = b"a" * 16_384


class Sender:
    """A client that sends a body in parts and never ends it; counts what the application reads."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.read_bytes = 0
        self.bytes_before_the_answer = 0
        self.status = 0
        self.headers: dict[bytes, bytes] = {}

    async def post(self, path: str, headers: dict[str, str]) -> None:
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": raw,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
            "state": {},
        }
        await self._app(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        self.read_bytes += len(PART)
        return {"type": "http.request", "body": PART, "more_body": True}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = dict(message["headers"])
            self.bytes_before_the_answer = self.read_bytes


@pytest.mark.parametrize(
    ("path", "headers", "status", "limit", "is_read"),
    [
        (WEBHOOK, {}, 403, MAX_WEBHOOK_BYTES, False),
        (WEBHOOK, {"X-Twilio-Signature": ""}, 403, MAX_WEBHOOK_BYTES, False),
        (WEBHOOK, SIGNED, 413, MAX_WEBHOOK_BYTES, True),
        (WEBHOOK, {**SIGNED, "Content-Length": str(MAX_WEBHOOK_BYTES + 1)}, 413, MAX_WEBHOOK_BYTES, False),
        (WEBHOOK, {**SIGNED, "Content-Length": "9" * 20}, 413, MAX_WEBHOOK_BYTES, False),
        ("/twilio/nowhere", SIGNED, 404, MAX_WEBHOOK_BYTES, False),
        ("/api/v1/calls", {}, 401, MAX_BODY_BYTES, False),
        ("/api/v1/calls", {"X-API-Key": "wrong"}, 401, MAX_BODY_BYTES, False),
        ("/api/v1/calls", {"Content-Length": str(MAX_BODY_BYTES + 1)}, 413, MAX_BODY_BYTES, False),
        ("/api/v1/calls", KEY, 413, MAX_BODY_BYTES, True),
        (f"/api/v1/calls/{CALL}/retry", {"X-API-Key": secret_of("reader")}, 403, MAX_BODY_BYTES, False),
        (CONTACTS, {}, 401, MAX_BODY_BYTES, False),
        (CONTACTS, {"X-API-Key": "wrong"}, 401, MAX_BODY_BYTES, False),
        (CONTACTS, {"X-API-Key": secret_of("reader")}, 403, MAX_BODY_BYTES, False),
        (CONTACTS, {"Content-Length": str(MAX_IMPORT_BYTES + 1)}, 413, MAX_BODY_BYTES, False),
        (CONTACTS, KEY, 415, MAX_BODY_BYTES, False),
        (CONTACTS, {**KEY, "Content-Type": "text/csv"}, 409, MAX_BODY_BYTES, False),
        ("/nowhere", {}, 404, MAX_BODY_BYTES, False),
    ],
)
async def test_no_more_of_a_body_is_read_than_its_limit_and_nothing_before_the_sender_is_known(
    app: ASGIApp, path: str, headers: dict[str, str], status: int, limit: int, is_read: bool
) -> None:
    sender = Sender(app)
    await sender.post(path, {"Transfer-Encoding": "chunked", "Content-Type": "application/json", **headers})
    assert sender.status == status
    assert bool(sender.bytes_before_the_answer) == is_read
    assert sender.bytes_before_the_answer <= limit + len(PART)
    assert sender.read_bytes - sender.bytes_before_the_answer <= 2 * limit + len(PART), "discarded after the answer"
    assert sender.headers[b"content-type"] == b"application/problem+json"
    assert sender.headers[b"connection"] == b"close", "the server would read the rest of the body"


class StalledSender(Sender):
    """A client that sends one byte and neither ends the body nor closes the connection."""

    async def _receive(self) -> Message:
        if self.read_bytes:
            await asyncio.Event().wait()
        self.read_bytes += 1
        return {"type": "http.request", "body": b"a", "more_body": True}


async def test_a_webhook_whose_body_does_not_arrive_is_answered_with_408(
    app: ASGIApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "MAX_BODY_SECONDS", 0.01)
    sender = StalledSender(app)
    await sender.post(WEBHOOK, {"Transfer-Encoding": "chunked", **SIGNED})
    assert sender.status == 408
    assert sender.headers[b"content-type"] == b"application/problem+json"
    assert sender.headers[b"connection"] == b"close"


class SlowSender(Sender):
    """A client that sends one byte at a time and never ends the body."""

    async def _receive(self) -> Message:
        await asyncio.sleep(0.001)
        self.read_bytes += 1
        return {"type": "http.request", "body": b"a", "more_body": True}


@pytest.mark.parametrize("path", ["/api/v1/calls", "/api/v1/do-not-call/import", "/api/v1/persons/export"])
async def test_a_body_that_arrives_byte_by_byte_is_answered_with_408(
    app: ASGIApp, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(body_limit, "SLOW_SECONDS", 0.02)
    sender = SlowSender(app)
    await sender.post(path, {"Transfer-Encoding": "chunked", "Content-Type": "application/json", **KEY})
    assert sender.status == 408
    assert sender.bytes_before_the_answer < MAX_BODY_BYTES
    assert sender.headers[b"content-type"] == b"application/problem+json"
    assert sender.headers[b"connection"] == b"close"


async def test_the_time_in_which_a_part_is_handled_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(body_limit, "monotonic", lambda: now[0])
    monkeypatch.setattr(body_limit, "MIN_BYTES_PER_SECOND", 1_000_000_000)

    async def slow_app(_: Scope, receive: Receive, send: Send) -> None:
        for _part in range(3):
            await receive()
            now[0] += 2 * body_limit.SLOW_SECONDS
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    sender = Sender(LimitBody(slow_app, limits={}, default=MAX_BODY_BYTES, answer=problem_of))
    await sender.post("/", {"Transfer-Encoding": "chunked"})
    assert sender.status == 200


@pytest.mark.parametrize(("read_parts", "discarded"), [(0, 2 * MAX_BODY_BYTES), (1, IN_FLIGHT_BYTES)])
async def test_what_may_be_on_its_way_is_discarded_so_that_the_client_sees_the_answer(
    monkeypatch: pytest.MonkeyPatch, read_parts: int, discarded: int
) -> None:
    monkeypatch.setattr(body_limit, "DISCARD_SECONDS", 60)

    async def refuses(_: Scope, receive: Receive, send: Send) -> None:
        for _part in range(read_parts):
            await receive()
        await send({"type": "http.response.start", "status": 422, "headers": []})
        await send({"type": "http.response.body"})

    limits = {"/": 2 * IN_FLIGHT_BYTES}
    sender = Sender(LimitBody(refuses, limits=limits, default=MAX_BODY_BYTES, answer=problem_of))
    await sender.post("/", {"Transfer-Encoding": "chunked"})
    assert discarded <= sender.read_bytes - sender.bytes_before_the_answer < discarded + len(PART)


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield PART
        await asyncio.sleep(0)


@pytest.mark.parametrize("headers", [{}, SIGNED])
async def test_the_server_closes_the_connection_of_an_endless_body(
    app: ASGIApp, on_a_port: OnAPort, headers: dict[str, str]
) -> None:
    async with on_a_port(app) as url, httpx.AsyncClient(base_url=url, timeout=60) as http:
        with pytest.raises(httpx.TransportError):
            await http.post(WEBHOOK, content=endless(), headers=headers)


@pytest.mark.parametrize(
    ("path", "headers", "size", "status"),
    [
        (WEBHOOK, {}, MAX_WEBHOOK_BYTES // 2, 403),
        (WEBHOOK, {}, 2 * MAX_WEBHOOK_BYTES, 413),
        (WEBHOOK, SIGNED, 2 * MAX_WEBHOOK_BYTES, 413),
        ("/api/v1/calls", {}, MAX_BODY_BYTES, 401),
        ("/api/v1/calls", KEY, 2 * MAX_BODY_BYTES, 413),
    ],
)
async def test_a_client_that_still_sends_sees_the_answer(
    app: ASGIApp, on_a_port: OnAPort, path: str, headers: dict[str, str], size: int, status: int
) -> None:
    async with on_a_port(app) as url, httpx.AsyncClient(base_url=url, timeout=60) as http:
        answers = [await http.post(path, content=b"a" * size, headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [status] * 3


@pytest.mark.parametrize("size", [MAX_WEBHOOK_BYTES, MAX_WEBHOOK_BYTES + 1])
async def test_a_form_up_to_the_limit_is_accepted(anyone: httpx.AsyncClient, talking: Call, size: int) -> None:
    target = f"/twilio/status/{talking.call_id}/1"
    form = {"CallSid": "CA1", "CallStatus": "ringing", "SequenceNumber": "1", "Padding": ""}
    form["Padding"] = "a" * (size - len("&".join(f"{name}={value}" for name, value in form.items())))
    signature = RequestValidator(AUTH_TOKEN).compute_signature(PUBLIC_URL + target, form)
    answer = await anyone.post(target, data=form, headers={"X-Twilio-Signature": signature})
    assert answer.status_code == (204 if size == MAX_WEBHOOK_BYTES else 413)


@pytest.mark.parametrize(("fields", "status"), [(MAX_FIELDS, 204), (MAX_FIELDS + 1, 400)])
async def test_the_number_of_fields_is_limited(
    anyone: httpx.AsyncClient, talking: Call, fields: int, status: int
) -> None:
    target = f"/twilio/status/{talking.call_id}/1"
    form = {"CallSid": "CA1", "CallStatus": "ringing"} | {f"Field{number}": "" for number in range(2, fields)}
    signature = RequestValidator(AUTH_TOKEN).compute_signature(PUBLIC_URL + target, form)
    answer = await anyone.post(target, data=form, headers={"X-Twilio-Signature": signature})
    assert answer.status_code == status


async def test_repeated_fields_are_signed_and_the_last_value_counts(anyone: httpx.AsyncClient, talking: Call) -> None:
    target = f"/twilio/status/{talking.call_id}/1"
    form = {"CallSid": ["CA1"], "CallStatus": ["nonsense", "ringing"], "Tag": ["b", "a", "b"]}
    text = f"{PUBLIC_URL}{target}CallSidCA1CallStatusnonsenseCallStatusringingTagaTagb"
    signature = RequestValidator(AUTH_TOKEN).compute_signature(text, {})
    answer = await anyone.post(target, data=form, headers={"X-Twilio-Signature": signature})
    assert answer.status_code == 204


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        json.dumps({"max_retries": 1})[:-2] + "9" * 100_000 + "}",
        '{"variables": ' + "[" * 1_000 + "]" * 1_000 + "}",
        '{"max_retries": 1e400}',
        '{"max_retries": NaN}',
        '{"script_template": "\\ud800"}',
        '{"request_id": "\\udfff"}',
        b"\xff\xfe",
        b"\x00",
    ],
    ids=range(10),
)
async def test_hostile_json_is_refused(api: httpx.AsyncClient, body: dict[str, object], content: str | bytes) -> None:
    """Objects are completed to valid requests: only the hostile part is wrong."""
    if isinstance(content, str) and content.endswith("}"):
        valid = json.dumps({name: value for name, value in body.items() if f'"{name}"' not in content})
        content = valid[:-1] + ", " + content[1:]
    answer = await api.post("/api/v1/calls", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert len(answer.content) < 2_000


@pytest.mark.parametrize(
    "fields",
    [
        {"terms": {"do_not_call_lists": ["x"] * MAX_VALUES}},
        {"campaign_id": [[[{}] * 100] * 100, [0] * 100]},
        {f"unknown_{number}": number for number in range(MAX_VALUES + 1)},
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/campaigns", "/api/v1/calls"])
async def test_a_body_with_too_many_values_is_refused_before_they_are_validated(
    api: httpx.AsyncClient, path: str, fields: dict[str, object]
) -> None:
    answer = await api.post(path, json=fields)
    assert (answer.status_code, answer.headers["Content-Type"]) == (413, "application/problem+json")
    assert "2,000 values" in answer.json()["detail"]
    assert "errors" not in answer.json()


async def test_a_body_with_the_maximum_number_of_values_is_validated(api: httpx.AsyncClient) -> None:
    answer = await api.post("/api/v1/calls", json={f"unknown_{number}": number for number in range(MAX_VALUES)})
    assert answer.status_code == 422
    assert answer.json()["errors"]
