"""Parameters of paths and queries: each is bounded, and a value beyond its bounds is answered with 4xx."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest
from nats.aio.client import Client
from tests.integration.edge.conftest import AUTH_TOKEN, PUBLIC_URL, client_of
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from chassis.broker import Broker
from chassis.serve import Bus
from contracts import Call, Service
from edge.composition import build
from edge.settings import Settings

MANY_DIGITS = "9" * 5_000
LATEST = quote("9999-12-31T23:59:59-12:00")
CALL = "5f0c9d5e-7d0a-5c43-9a43-6f0f6d1f7c11"


@pytest.mark.parametrize("webhook", ["status/{}/{}", "gather/{}/1/{}", "say/{}/{}/1"])
async def test_a_webhook_with_an_impossible_number_has_no_route(anyone: httpx.AsyncClient, webhook: str) -> None:
    for number in (MANY_DIGITS, "9" * 10, "-1", "1e3", "٣", "0x1", "1.0", "%00"):
        answer = await anyone.post("/twilio/" + webhook.format(CALL, number))
        assert answer.status_code == 404, number
        assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("voice/{}/0", 422),
        ("status/{}/0", 422),
        ("gather/{}/1/0", 422),
        (f"say/{{}}/1/1?from={MANY_DIGITS}", 422),
        ("say/{}/1/1?from=1e30", 422),
        ("say/{}/1/1?from=-1", 422),
        ("gather/{}/1/1?said=maybe", 422),
    ],
)
async def test_a_signed_webhook_with_an_impossible_number_is_refused(
    anyone: httpx.AsyncClient, talking: Call, path: str, status: int
) -> None:
    target = "/twilio/" + path.format(talking.call_id)
    form = {"CallSid": "CA1", "CallStatus": "ringing"}
    signature = RequestValidator(AUTH_TOKEN).compute_signature(PUBLIC_URL + target, form)
    answer = await anyone.post(target, data=form, headers={"X-Twilio-Signature": signature})
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/api/v1/audit?after=1e30", 422),
        (f"/api/v1/audit?after={MANY_DIGITS}", 422),
        (f"/api/v1/audit?after={2**63}", 422),
        (f"/api/v1/audit?after={2**53 - 1}", 200),
        ("/api/v1/audit?after=-1", 422),
        (f"/api/v1/audit?limit={MANY_DIGITS}", 422),
        ("/api/v1/audit?limit=0", 422),
        ("/api/v1/audit?limit=501", 422),
        ("/api/v1/audit?since=1e30", 422),
        (f"/api/v1/audit?since={MANY_DIGITS}", 422),
        (f"/api/v1/audit?since={LATEST}", 200),
        ("/api/v1/audit?since=0001-01-01T00:00:00%2B14:00", 200),
        (f"/api/v1/audit?call_id={MANY_DIGITS}", 422),
        (f"/api/v1/audit?campaign_id={'a' * 101}", 422),
        ("/api/v1/audit?campaign_id=a.b", 422),
        (f"/api/v1/calls/{MANY_DIGITS}", 404),
        (f"/api/v1/calls/{uuid4()}{MANY_DIGITS}", 404),
        (f"/api/v1/calls/by-request/{'a' * 201}", 422),
        ("/api/v1/calls/by-request/", 422),
        ("/api/v1/calls/by-request/%00", 404),
        ("/api/v1/calls/by-request/%ED%A0%80", 404),
        (f"/api/v1/calls/metrics?campaign_id={'a' * 101}", 422),
        ("/api/v1/calls/metrics?campaign_id=a%00", 422),
        (f"/api/v1/campaigns/{'a' * 101}", 404),
    ],
)
async def test_a_parameter_beyond_its_bounds_is_refused(api: httpx.AsyncClient, target: str, status: int) -> None:
    answer = await api.get(target)
    assert answer.status_code == status, answer.text
    assert len(answer.content) < 2_000, "the value is not repeated"


def schemas_of(schema: dict[str, Any], components: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for one in schema.get("anyOf", [schema]):
        if one.get("type") != "null":
            yield components[one["$ref"].rpartition("/")[2]] if "$ref" in one else one


async def test_the_document_gives_the_bounds_of_every_parameter(api: httpx.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()
    unbounded = [
        (path, parameter["name"])
        for path, operations in document["paths"].items()
        for operation in operations.values()
        for parameter in operation.get("parameters", ())
        for schema in schemas_of(parameter["schema"], document["components"]["schemas"])
        if not (
            {"minimum", "maximum"} <= schema.keys()
            or schema["type"] == "boolean"
            or (schema["type"] == "string" and {"maxLength", "format", "enum"} & schema.keys())
        )
    ]
    assert unbounded == []


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/docs/oauth2-redirect"])
async def test_no_page_loads_scripts_of_other_hosts(api: httpx.AsyncClient, path: str) -> None:
    assert (await api.get(path)).status_code == 404


async def test_the_openapi_document_needs_a_key(anyone: httpx.AsyncClient, api: httpx.AsyncClient) -> None:
    assert (await anyone.get("/openapi.json")).status_code == 401
    assert (await anyone.get("/openapi.json", headers={"X-API-Key": "wrong"})).status_code == 401
    assert (await api.get("/openapi.json")).json()["openapi"]


async def test_in_the_embedded_run_the_openapi_document_is_public(bus_client: Client, settings: Settings) -> None:
    embedded = settings.model_copy(update={"embedded_run": True})
    async with build(embedded, Bus(bus_client, Broker(), Service.EDGE)) as app, client_of(app) as anyone:
        assert (await anyone.get("/openapi.json")).status_code == 200
        assert (await anyone.get("/api/v1/calls/metrics")).status_code == 401
