"""Scopes and rate limits of API keys."""

from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.types import ASGIApp

from contracts import Call
from edge.adapters import nats as adapter
from edge.application import event_streams
from edge.settings import Settings

if TYPE_CHECKING:
    from tests.integration.edge.conftest import As, Orchestrator, Twilio

ID = "5f0c9d5e-7d0a-5c43-9a43-6f0f6d1f7c11"
DIGEST = "6f1c7a0b9d2e4f58a3b1c6d7e8f90a12"
ROUTES = [
    ("GET", "/calls", "read"),
    ("GET", "/calls/metrics", "read"),
    ("POST", "/calls/search", "read"),
    ("GET", "/calls/by-request/r-1", "read"),
    ("GET", f"/calls/{ID}", "read"),
    ("GET", f"/calls/{ID}/events", "read"),
    ("GET", f"/calls/{ID}/decisions", "read"),
    ("GET", f"/calls/{ID}/story", "read"),
    ("POST", "/calls", "call"),
    ("PUT", f"/calls/{ID}", "call"),
    ("POST", f"/calls/{ID}/initiate", "call"),
    ("POST", f"/calls/{ID}/cancel", "call"),
    ("POST", f"/calls/{ID}/retry", "call"),
    ("POST", f"/calls/{ID}/response", "call"),
    ("GET", "/campaigns", "read"),
    ("GET", "/events", "read"),
    ("GET", "/admission", "read"),
    ("GET", "/campaigns/spring", "read"),
    ("GET", "/campaigns/spring/outcomes", "read"),
    ("GET", "/outcomes", "read"),
    ("GET", "/campaigns/spring/contacts", "read"),
    ("GET", "/campaigns/spring/decisions", "read"),
    ("POST", "/campaigns/spring/contacts", "call"),
    ("POST", "/campaigns", "call"),
    ("PUT", "/campaigns/spring", "call"),
    ("POST", "/campaigns/spring/start", "call"),
    ("POST", "/campaigns/spring/finish", "call"),
    ("POST", "/campaigns/spring/pause", "call"),
    ("POST", "/campaigns/spring/resume", "call"),
    ("POST", "/campaigns/spring/retry", "call"),
    ("GET", "/do-not-call", "read"),
    ("POST", "/do-not-call/check", "read"),
    ("POST", "/do-not-call", "call"),
    ("POST", "/do-not-call/import", "call"),
    ("DELETE", f"/do-not-call/{DIGEST}", "call"),
    ("GET", "/health", "read"),
    ("GET", "/audit", "admin"),
    ("GET", "/dead-letters", "admin"),
    ("GET", "/dead-letters/groups", "admin"),
    ("GET", "/dead-letters/7", "admin"),
    ("POST", "/dead-letters/7/retry", "admin"),
    ("POST", "/dead-letters/7/drop", "admin"),
    ("POST", "/persons/erase", "admin"),
    ("POST", "/persons/export", "admin"),
    ("DELETE", "/contacts/c-1", "admin"),
]
OTHERS = {"read": ["caller", "auditor"], "call": ["reader", "auditor"], "admin": ["reader", "caller", "desk"]}
REFUSED = [(method, path, scope, name) for method, path, scope in ROUTES for name in OTHERS[scope]]


@pytest.mark.parametrize(("method", "path", "scope", "name"), REFUSED)
async def test_a_key_without_the_scope_is_refused_before_the_body_is_parsed(
    as_: "As", orchestrator: "Orchestrator", method: str, path: str, scope: str, name: str
) -> None:
    answer = await as_(name).request(method, f"/api/v1{path}", content=b"{")

    assert answer.status_code == 403
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:centralita:problem:missing-scope"
    assert answer.json()["detail"] == f"this key lacks the scope {scope}"
    assert orchestrator.asked == []


@pytest.mark.parametrize(("method", "path", "scope"), ROUTES)
async def test_the_one_required_scope_is_sufficient(
    as_: "As", method: str, path: str, scope: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "OUTCOME_SECONDS", 0.1)
    monkeypatch.setattr(event_streams, "MAX_STREAM_SECONDS", 0.1)
    name = {"read": "reader", "call": "caller", "admin": "auditor"}[scope]

    answer = await as_(name).request(method, f"/api/v1{path}")

    assert answer.status_code in (200, 202, 404, 415, 422, 503)  # any answer but 401 and 403: the key was sufficient


async def test_the_document_names_the_scope_of_every_route(as_: "As") -> None:
    document = (await as_("reader").get("/openapi.json")).json()

    documented = {
        (method.upper(), path.removeprefix("/api/v1"), operation["responses"]["403"]["description"])
        for path, methods in document["paths"].items()
        if path.startswith("/api/v1")
        for method, operation in methods.items()
    }
    expected = {
        (method, templated(path), f"The key lacks the scope `{scope}`, or is limited to other campaigns")
        for method, path, scope in ROUTES
    }
    assert documented == expected


def templated(path: str) -> str:
    names = {
        ID: "{call_id}",
        "r-1": "{request_id}",
        "spring": "{campaign_id}",
        DIGEST: "{number_id}",
        "c-1": "{contact_id}",
        "dead-letters/7": "dead-letters/{sequence}",
    }
    for value, name in names.items():
        path = path.replace(value, name)
    return path


class TestRateLimit:
    """The limit is a burst of three requests, then one request every fifty seconds."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"rest_requests_per_second": 0.02, "rest_burst": 3})

    async def test_above_its_rate_limit_a_key_gets_429_with_retry_after(self, as_: "As") -> None:
        answers = [await as_("reader").get("/api/v1/calls/by-request/unknown") for _ in range(5)]

        assert [answer.status_code for answer in answers] == [404, 404, 404, 429, 429]
        assert answers[-1].headers["Content-Type"] == "application/problem+json"
        assert answers[-1].json()["type"] == "urn:centralita:problem:too-many-requests"
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 50

    async def test_each_key_has_its_own_rate_limit(self, as_: "As", api: httpx.AsyncClient) -> None:
        for _ in range(5):
            await as_("reader").get("/api/v1/calls/by-request/unknown")

        assert (await as_("desk").get("/api/v1/calls/by-request/unknown")).status_code == 404
        assert (await api.get("/api/v1/calls/by-request/unknown")).status_code == 404

    async def test_requests_for_unknown_routes_count(self, as_: "As") -> None:
        answers = [await as_("reader").get("/api/v1/nowhere") for _ in range(4)]

        assert answers[-1].status_code == 429

    async def test_webhooks_and_health_checks_have_no_rate_limit(
        self, anyone: httpx.AsyncClient, waiting: Call, twilio: "Twilio"
    ) -> None:
        path = f"/twilio/status/{waiting.call_id}/1"
        answers = [await twilio(path, CallStatus="ringing", SequenceNumber=str(number)) for number in range(6)]

        assert {answer.status_code for answer in answers} == {204}
        assert {(await anyone.get("/health/live")).status_code for _ in range(6)} == {200}

    async def test_refusals_are_counted_by_their_reason(self, as_: "As", anyone: httpx.AsyncClient) -> None:
        before = await _refused(anyone)
        for _ in range(5):
            await as_("reader").get("/api/v1/audit")
        await anyone.get("/api/v1/audit")
        await anyone.get("/api/v1/audit", headers={"X-API-Key": "wrong"})

        after = await _refused(anyone)
        grown = {reason: count for reason in after if (count := after[reason] - before[reason])}
        assert grown == {"missing_scope": 3, "too_many": 2, "no_key": 1, "wrong_key": 1}


async def _refused(anyone: httpx.AsyncClient) -> dict[str, float]:
    lines = (await anyone.get("/metrics")).text.splitlines()
    name = "centralita_rest_refused_total{"
    return {line.split('"')[1]: float(line.split()[-1]) for line in lines if line.startswith(name)}


class TestWithoutKeys:
    """The embedded run may have no keys."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"api_keys": ()})

    async def test_without_keys_every_request_is_anonymous_and_has_every_scope(
        self, app: ASGIApp, anyone: httpx.AsyncClient, waiting: Call
    ) -> None:
        assert (await anyone.post(f"/api/v1/calls/{waiting.call_id}/cancel")).status_code == 202
        entries = (await anyone.get("/api/v1/audit")).json()["entries"]
        assert [(e["key_name"], e["stage"]) for e in entries] == [("anonymous", "asked"), ("anonymous", "accepted")]
