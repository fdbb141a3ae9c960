"""Validates each request that voice sends to a vendor, as it is on the wire, against the vendor's API description.

The descriptions below contain the operations and fields that are used. With the vendors' own OpenAPI documents in the
folder that ``VENDOR_SPECS`` names (``twilio_calls.runnable.json``, ``elevenlabs_core.json``), the same check runs
against those.
"""

import asyncio
import json
import os
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import jsonschema  # type: ignore[import-untyped]
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tests.fakes.providers import provider

from contracts import AudioRequested
from simulators.serving import serving
from voice.adapters import elevenlabs, twilio
from voice.adapters.elevenlabs import ElevenLabs
from voice.ports import DialOrder

ACCOUNT = "AC" + "a" * 32
CALL_SID = "CA" + "b" * 32
CALL_ID = UUID(int=7)
DOCUMENTS = {"twilio": "twilio_calls.runnable.json", "elevenlabs": "elevenlabs_core.json"}
CALLS = "/2010-04-01/Accounts/{AccountSid}/Calls"

_TEXT = {"type": "string"}
_URI = {"type": "string", "format": "uri"}
_METHOD = {"type": "string", "enum": ["GET", "POST"]}
_STATUSES = ["queued", "ringing", "in-progress", "canceled", "completed", "failed", "busy", "no-answer"]


def _query(**schemas: object) -> list[dict[str, object]]:
    return [{"name": name, "in": "query", "schema": schema} for name, schema in schemas.items()]


def _form(required: list[str], **properties: object) -> dict[str, object]:
    schema = {"type": "object", "required": required, "properties": properties}
    return {"content": {"application/x-www-form-urlencoded": {"schema": schema}}}


TRIMMED: dict[str, dict[str, Any]] = {
    "twilio": {
        "paths": {
            f"{CALLS}.json": {
                "post": {
                    "requestBody": _form(
                        ["To", "From"],
                        To=_TEXT,
                        From=_TEXT,
                        Url=_URI,
                        Method=_METHOD,
                        StatusCallback=_URI,
                        StatusCallbackEvent={
                            "type": "array",
                            "items": {"enum": ["initiated", "ringing", "answered", "completed"]},
                        },
                        StatusCallbackMethod=_METHOD,
                        MachineDetection={"enum": ["Enable", "DetectMessageEnd"]},
                        AsyncAmd={"enum": ["true", "false"]},
                        AsyncAmdStatusCallback=_URI,
                        AsyncAmdStatusCallbackMethod=_METHOD,
                        Timeout={"type": "integer", "maximum": 600},
                        TimeLimit={"type": "integer"},
                    )
                },
                "get": {
                    "parameters": _query(
                        To=_TEXT,
                        From=_TEXT,
                        Status={"enum": _STATUSES},
                        PageSize={"type": "integer", "minimum": 1, "maximum": 1000},
                        **{"StartTime>": {"type": "string", "format": "date-time"}},
                    )
                },
            },
            f"{CALLS}/{{Sid}}.json": {
                "get": {},
                "post": {
                    "requestBody": _form([], Status={"enum": ["canceled", "completed"]}, Url=_URI, Method=_METHOD)
                },
            },
        }
    },
    "elevenlabs": {
        "paths": {
            "/v1/text-to-speech/{voice_id}/stream": {
                "post": {
                    "parameters": _query(output_format={"enum": ["mp3_22050_32", "mp3_44100_128", "ulaw_8000"]}),
                    "requestBody": {
                        "content": {
                            "application/json": {
                                "schema": {
                                    "type": "object",
                                    "required": ["text"],
                                    "properties": {
                                        "text": _TEXT,
                                        "model_id": _TEXT,
                                        "language_code": {"type": ["string", "null"], "pattern": "^[a-z]{2}$"},
                                    },
                                }
                            }
                        }
                    },
                }
            }
        }
    },
}


@dataclass(frozen=True)
class Sent:
    """A request on the wire."""

    vendor: str
    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes


@dataclass
class Wire:
    """Answers like the vendors, and keeps the requests."""

    sent: list[Sent] = field(default_factory=list)

    async def twilio(self, request: Request) -> Response:
        await self._keep("twilio", request)
        call = {"sid": CALL_SID, "status": "queued", "date_created": "Tue, 15 Jan 2030 12:00:00 +0000"}
        if request.method == "GET" and request.url.path.endswith("/Calls.json"):
            return JSONResponse({"calls": [call], "page": 0, "page_size": 50, "next_page_uri": None})
        return JSONResponse(call, 200 if request.method == "GET" else 201)

    async def elevenlabs(self, request: Request) -> Response:
        await self._keep("elevenlabs", request)
        return Response(b"sound", media_type="audio/mpeg")

    async def _keep(self, vendor: str, request: Request) -> None:
        query = parse_qsl(str(request.url.query), keep_blank_values=True)
        headers = dict(request.headers)
        self.sent.append(Sent(vendor, request.method, request.url.path, query, headers, await request.body()))


@pytest.fixture
async def sent() -> list[Sent]:
    """Every kind of request that the two adapters send, each once or twice."""
    wire = Wire()
    routes = [
        Route("/2010-04-01/{rest:path}", wire.twilio, methods=["GET", "POST"]),
        Route("/v1/{rest:path}", wire.elevenlabs, methods=["POST"]),
    ]
    async with serving(Starlette(routes=routes), "127.0.0.1") as url:
        async with twilio.connect(
            account_sid=ACCOUNT,
            auth_token="fictional-token",
            base_url=url,
            number="+12125550100",
            callbacks="https://calls.example.com",
            provider=provider("wire"),
        ) as telephony:
            await telephony.dial(DialOrder(CALL_ID, 1, "+12125550123", 30, 600))
            await telephony.fetch(CALL_SID)
            await telephony.list_calls("+12125550123", datetime(2030, 1, 15, tzinfo=UTC), None)
            await telephony.hang_up(CALL_SID)
            await telephony.redirect_to_remainder(CALL_SID, CALL_ID, 1, 2, 3)
        async with elevenlabs.connect(api_key="fictional-key", base_url=url) as account:
            first_by = asyncio.get_running_loop().time() + 10
            for model in ("eleven_flash_v2_5", "eleven_multilingual_v2"):
                speech = ElevenLabs(account, provider("wire"), voice="voice-1", model=model)
                request = AudioRequested(call_id=CALL_ID, attempt=1, turn=1, sentence=0, text="Hola.", language="es-MX")
                async for _ in speech.synthesize(speech.build_request(request), first_by=first_by):
                    pass
    return wire.sent


def check(document: dict[str, Any], sent: Sent) -> None:
    """Raises unless the description contains the request's path, and all its names, types and values."""
    operation = _operation(document, sent)
    parameters = {one["name"]: one["schema"] for one in operation.get("parameters", []) if one["in"] == "query"}
    _validate(document, {"type": "object", "properties": parameters}, _typed(parameters, sent.query))
    if not sent.body:
        assert not operation.get("requestBody", {}).get("required")
        return
    media_type = sent.headers["content-type"].split(";")[0]
    schema = _resolved(document, operation["requestBody"]["content"][media_type]["schema"])
    if media_type == "application/json":
        _validate(document, schema, json.loads(sent.body))
    else:
        fields = parse_qsl(sent.body.decode(), keep_blank_values=True)
        _validate(document, schema, _typed(schema["properties"], fields))


def _operation(document: dict[str, Any], sent: Sent) -> dict[str, Any]:
    for template, methods in document["paths"].items():
        pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, sent.path) and sent.method.lower() in methods:
            operation: dict[str, Any] = methods[sent.method.lower()]
            return operation
    raise AssertionError(f"{sent.method} {sent.path} is not described")


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    for name in schema.get("$ref", "#").split("/")[1:]:
        document = document[name]
    return document if "$ref" in schema else schema


def _typed(schemas: dict[str, Any], fields: list[tuple[str, str]]) -> dict[str, object]:
    """Returns a form as JSON. Only an array may occur several times; an integer is a string of digits."""
    typed: dict[str, object] = {}
    for name, value in fields:
        kind = schemas.get(name, {}).get("type")
        if kind == "array":
            values = typed.setdefault(name, [])
            assert isinstance(values, list)
            values.append(value)
        else:
            assert name not in typed, f"{name} is sent twice"
            typed[name] = int(value) if kind == "integer" and value.isdigit() else value
    return typed


def _validate(document: dict[str, Any], schema: dict[str, Any], value: object) -> None:
    formats = jsonschema.FormatChecker()
    formats.checks("uri")(lambda text: bool(urlsplit(str(text)).scheme and urlsplit(str(text)).hostname))
    closed = {**schema, "additionalProperties": False, "components": document.get("components", {})}
    jsonschema.Draft202012Validator(closed, format_checker=formats).validate(value)


def test_every_described_operation_is_sent(sent: list[Sent]) -> None:
    described = [
        (method.upper(), template)
        for vendor in TRIMMED.values()
        for template, methods in vendor["paths"].items()
        for method in methods
    ]
    used = {(one.method, re.sub(r"(AC|CA|voice-)\w+", "*", one.path)) for one in sent}
    assert used == {(method, re.sub(r"\{\w+\}", "*", template)) for method, template in described}


def test_every_request_matches_the_trimmed_description(sent: list[Sent]) -> None:
    for one in sent:
        check(TRIMMED[one.vendor], one)


@pytest.mark.skipif("VENDOR_SPECS" not in os.environ, reason="VENDOR_SPECS names no folder with the documents")
def test_every_request_is_valid_against_the_vendors_own_documents(sent: list[Sent]) -> None:
    folder = Path(os.environ["VENDOR_SPECS"])
    documents = {vendor: json.loads((folder / name).read_text()) for vendor, name in DOCUMENTS.items()}
    for one in sent:
        check(documents[one.vendor], one)


def test_every_request_carries_its_vendors_credentials(sent: list[Sent]) -> None:
    for one in sent:
        if one.vendor == "twilio":
            assert one.headers["authorization"].startswith("Basic ")
        else:
            assert one.headers["xi-api-key"] == "fictional-key"


def test_a_dial_requests_every_callback_with_the_attempt_in_its_url(sent: list[Sent]) -> None:
    [form] = [dict(parse_qsl(one.body.decode())) for one in sent if one.path.endswith("/Calls.json") and one.body]
    rest = f"{CALL_ID}/1#rc=2&rp=ct,rt,5xx"
    assert form["Url"] == f"https://calls.example.com/twilio/voice/{rest}"
    assert form["StatusCallback"] == f"https://calls.example.com/twilio/status/{rest}"
    assert form["AsyncAmdStatusCallback"] == f"https://calls.example.com/twilio/amd/{rest}"
    assert (form["Timeout"], form["AsyncAmd"], form["MachineDetection"]) == ("30", "true", "DetectMessageEnd")


@pytest.mark.parametrize(
    "change",
    [
        {"path": "/2010-04-01/Accounts/AC1/Texts.json"},
        {"body": b"To=%2B1&From=%2B1&Tiemout=30"},
        {"body": b"To=%2B1&From=%2B1&Timeout=soon"},
        {"body": b"To=%2B1&From=%2B1&StatusCallbackEvent=answerd"},
        {"body": b"To=%2B1&From=%2B1&Url=/twilio/voice"},
        {"body": b"From=%2B1"},
    ],
)
def test_the_check_rejects_a_request_that_is_not_described(change: dict[str, Any]) -> None:
    good: dict[str, Any] = {
        "vendor": "twilio",
        "method": "POST",
        "path": "/2010-04-01/Accounts/AC1/Calls.json",
        "query": [],
        "headers": {"content-type": "application/x-www-form-urlencoded"},
        "body": b"To=%2B1&From=%2B1",
    }
    check(TRIMMED["twilio"], Sent(**good))
    with pytest.raises((AssertionError, jsonschema.ValidationError)):
        check(TRIMMED["twilio"], Sent(**{**good, **change}))
