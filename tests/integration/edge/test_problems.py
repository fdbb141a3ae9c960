"""Errors of the REST API as problem documents, and the API-key check."""

from typing import TYPE_CHECKING

import httpx
import pytest
from nats.aio.client import Client
from tests.integration.edge.conftest import API_KEY, dependencies_with, secret_of

from edge.application.rate_limit import RequestLimit, TokenBuckets
from edge.entrypoints.http import create_app
from telephony.twilio import TwilioWebhooks

if TYPE_CHECKING:
    from tests.integration.edge.conftest import Orchestrator

PATH = "/api/v1/calls/by-request/unknown"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/api/v1/nowhere", 404),
        ("GET", "/api/v1/calls/not-an-id", 404),
        ("GET", "/api/v1/campaigns/not.an-id", 404),
        ("POST", f"/api/v1/campaigns/{'a' * 101}/pause", 404),
        ("DELETE", "/api/v1/calls", 405),
        ("GET", "/twilio/voice/5f0c9d5e-7d0a-5c43-9a43-6f0f6d1f7c11/1", 405),
    ],
)
async def test_an_unknown_route_is_answered_with_a_problem(
    api: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await api.request(method, path)

    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert answer.json()["type"] == "about:blank"
    assert answer.json()["title"]
    assert ("Allow" in answer.headers) == (status == 405)


async def test_invalid_json_is_answered_without_its_content(api: httpx.AsyncClient) -> None:
    answer = await api.post(
        "/api/v1/calls", content=b'{"phone_number": "+12125550123",', headers={"Content-Type": "application/json"}
    )

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["body"]
    assert "+12125550123" not in answer.text


async def test_a_rejected_value_is_not_repeated(api: httpx.AsyncClient, body: dict[str, object]) -> None:
    answer = await api.post("/api/v1/calls", json={**body, "phone_number": "+999111222333"})

    assert answer.status_code == 422
    assert "999111222333" not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {API_KEY}"},
        {"Authorization": f"bearer {secret_of('another')}"},
        {"X-API-Key": API_KEY},
        {"X-API-Key": secret_of("another"), "Authorization": "Basic eDp5"},
    ],
)
async def test_any_key_is_accepted_in_either_header(anyone: httpx.AsyncClient, headers: dict[str, str]) -> None:
    assert (await anyone.get(PATH, headers=headers)).status_code == 404


@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        ({}, 'Bearer realm="centralita"'),
        ({"Authorization": "Basic eDp5"}, 'Bearer realm="centralita"'),
        ({"Authorization": "Bearer wrong"}, 'Bearer realm="centralita", error="invalid_token"'),
        ({"Authorization": "Bearer "}, 'Bearer realm="centralita", error="invalid_token"'),
        ({"X-API-Key": API_KEY[:-1]}, 'Bearer realm="centralita", error="invalid_token"'),
        ({"X-API-Key": b"clav\xe9"}, 'Bearer realm="centralita", error="invalid_token"'),
        ({"X-API-Key": f"{secret_of('another')},{API_KEY}"}, 'Bearer realm="centralita", error="invalid_token"'),
    ],
)
async def test_without_a_valid_key_the_answer_is_401(
    anyone: httpx.AsyncClient, headers: dict[str, str], challenge: str
) -> None:
    answer = await anyone.get(PATH, headers=headers)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == challenge
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_the_key_is_checked_first(anyone: httpx.AsyncClient) -> None:
    assert (await anyone.post("/api/v1/calls", content=b"{")).status_code == 401
    assert (await anyone.get("/api/v1/nowhere")).status_code == 401
    assert (await anyone.delete("/api/v1/calls")).status_code == 401


async def test_operations_need_no_key(anyone: httpx.AsyncClient) -> None:
    assert (await anyone.get("/health/live")).json() == {"status": "live"}
    assert (await anyone.get("/health/ready")).json() == {"status": "ready"}
    assert "centralita_webhooks_total" in (await anyone.get("/metrics")).text


async def test_without_a_connection_to_nats_the_api_is_unavailable(
    api: httpx.AsyncClient, body: dict[str, object], bus_client: Client
) -> None:
    await bus_client.close()

    for answer in (await api.post("/api/v1/calls", json=body), await api.get(PATH)):
        assert answer.status_code == 503
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["type"] == "urn:centralita:problem:unavailable"


async def test_without_the_stream_no_request_is_accepted(
    api: httpx.AsyncClient, orchestrator: "Orchestrator", body: dict[str, object], bus_client: Client
) -> None:
    await bus_client.jetstream().delete_stream("REQUESTS")

    answer = await api.post("/api/v1/calls", json=body)

    assert answer.status_code == 503
    assert (await api.get("/api/v1/calls/by-request/unknown")).status_code == 404


async def test_a_full_stream_refuses_the_request(
    api: httpx.AsyncClient, orchestrator: "Orchestrator", body: dict[str, object], bus_client: Client
) -> None:
    js = bus_client.jetstream()
    config = (await js.stream_info("REQUESTS")).config
    config.max_msgs = 1
    await js.update_stream(config)
    assert (await api.post("/api/v1/calls", json=body)).status_code == 201

    answer = await api.post("/api/v1/calls", json=body)

    assert answer.status_code == 503


async def test_an_unexpected_error_reveals_no_details() -> None:
    class Broken:
        async def get(self, _: object) -> None:
            raise RuntimeError("the secret inside")

    provider = TwilioWebhooks("token", "https://calls.example.com", "https://calls.example.com")
    dependencies = dependencies_with(calls=Broken(), provider=provider)
    app = create_app(dependencies, keys=(), buckets=TokenBuckets(RequestLimit(1, 1)))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://edge.internal") as http:
        answer = await http.get(PATH)

    assert answer.status_code == 500
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "secret" not in answer.text


async def test_the_openapi_document_describes_every_error(api: httpx.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()

    rest = {path: methods for path, methods in document["paths"].items() if path.startswith("/api/v1/")}
    assert len(rest) == 39
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation["description"], path
            failures = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
            assert failures.keys() >= (
                {"401", "403", "422", "429", "503"} if path in rest else {"403", "404", "422", "503"}
            ), path
            for failure in failures.values():
                schema = failure["content"]["application/problem+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Problem"}
            assert bool(operation.get("security")) == (path in rest)
    assert "HTTPValidationError" not in document["components"]["schemas"]
    assert set(document["components"]["schemas"]["Problem"]["properties"]) == {
        "type",
        "title",
        "status",
        "detail",
        "errors",
    }
