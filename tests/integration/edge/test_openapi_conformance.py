"""schemathesis sends valid and invalid requests to every operation of the OpenAPI document.

No answer is 500 or more, and each has a documented status, content type and body. `SCHEMATHESIS_EXAMPLES` is the number
of requests per operation, `SCHEMATHESIS_SEED` the seed; a failed test prints both, and a curl command for each failure.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from prometheus_client import REGISTRY
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp
from tests.builders.dead_letters import dead_letter_process, store_dead_letter
from tests.integration.edge.conftest import API_KEY, AUTH_TOKEN, DIALED, Orchestrator, secret_of
from tests.integration.edge.test_admission import STATE

from chassis.broker import Broker
from chassis.serve import Bus
from contracts import (
    CallList,
    CallListQuery,
    CallRequested,
    CallStatus,
    CampaignCalls,
    CampaignCallsQuery,
    CampaignList,
    CampaignListQuery,
    CampaignStatistics,
    CampaignStatisticsQuery,
    NumberCallsQuery,
    Outcomes,
    OutcomesQuery,
    ProviderCallsQuery,
    Service,
    call_id_of,
)
from contracts.outcomes import EndReason, OutcomePoint
from contracts.queries import AdmissionQuery
from edge.adapters import nats as adapter
from edge.application import event_streams
from edge.composition import build
from edge.settings import Settings
from telephony.routes import Webhook

EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "5")
SEED = os.environ.get("SCHEMATHESIS_SEED", "8")
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
STATES: tuple[dict[str, object], ...] = ({}, DIALED, {"status": CallStatus.COMPLETED, "attempt": 1})
pytestmark = pytest.mark.timeout(3_600 if "SCHEMATHESIS_EXAMPLES" in os.environ else 600)
HOOKS = Path(__file__).with_name("schemathesis_hooks.py")
OnAPort = Callable[[ASGIApp], AbstractAsyncContextManager[str]]


@pytest.fixture
async def known_requests(orchestrator: Orchestrator, body: dict[str, object]) -> list[str]:
    """Requests whose calls are in several states."""
    requests = [f"r-{number}" for number in range(len(STATES))]
    for request_id, state in zip(requests, STATES, strict=True):
        await orchestrator.decide(CallRequested.model_validate({**body, "request_id": request_id}))
        await orchestrator.move(call_id_of(request_id), **state)
    return requests


@pytest.fixture
async def voice(on_a_port: OnAPort) -> AsyncIterator[str]:
    """A simulated voice that has audio for every turn."""

    async def media(_: Request) -> Response:
        return Response(b"audio", media_type="audio/mpeg")

    async with on_a_port(Starlette(routes=[Route("/media/{path:path}", media)])) as url:
        yield url


@pytest.fixture
async def complete_app(
    bus_client: Client, nats_url: str, settings: Settings, voice: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ASGIApp]:
    """The edge without a rate limit, with simulated services and the process of dead letters behind it."""

    async def statistics(message: Msg) -> None:
        query = CampaignStatisticsQuery.model_validate_json(message.data)
        await message.respond(CampaignStatistics(campaign_id=query.campaign_id).model_dump_json().encode())

    async def campaign_calls(message: Msg) -> None:
        CampaignCallsQuery.model_validate_json(message.data)
        page = CampaignCalls(call_ids=(call_id_of("r-0"), call_id_of("r-2")), has_more=True)
        await message.respond(page.model_dump_json().encode())

    async def lists(message: Msg) -> None:
        is_of_calls = message.subject != CampaignListQuery.subject
        page = CallList(calls=(), has_more=False) if is_of_calls else CampaignList(campaigns=(), has_more=False)
        (CallListQuery if is_of_calls else CampaignListQuery).model_validate_json(message.data)
        await message.respond(page.model_dump_json().encode())

    async def outcomes(message: Msg) -> None:
        query = OutcomesQuery.model_validate_json(message.data)
        answer = Outcomes(reasons=dict.fromkeys(EndReason, 1), points=(OutcomePoint(at=query.since, busy=1),))
        await message.respond(answer.model_dump_json().encode())

    async def admission(message: Msg) -> None:
        query = AdmissionQuery.model_validate_json(message.data)
        await message.respond(STATE.model_copy(update={"campaign_id": query.campaign_id}).model_dump_json().encode())

    await bus_client.subscribe(AdmissionQuery.subject, cb=admission)
    await bus_client.subscribe(CallListQuery.subject, cb=lists)
    for query in (NumberCallsQuery, ProviderCallsQuery):
        await bus_client.subscribe(query.subject, cb=lists)
    await bus_client.subscribe(CampaignListQuery.subject, cb=lists)
    await bus_client.subscribe(CampaignStatisticsQuery.subject, cb=statistics)
    await bus_client.subscribe(OutcomesQuery.subject, cb=outcomes)
    await bus_client.subscribe(CampaignCallsQuery.subject, cb=campaign_calls)
    monkeypatch.setattr(adapter, "OUTCOME_SECONDS", 0.5)
    monkeypatch.setattr(event_streams, "MAX_STREAM_SECONDS", 0.2)
    changes = {"rest_requests_per_second": 1e6, "rest_burst": 10**6, "voice_url": voice, "embedded_run": True}
    changed = Settings.model_validate({**settings.model_dump(), **changes})
    for _ in range(3):
        await store_dead_letter(bus_client)
    async with dead_letter_process(nats_url), build(changed, Bus(bus_client, Broker(), Service.EDGE)) as app:
        yield app


def configuration(known_requests: Sequence[str]) -> str:
    """Returns schemathesis.toml, with values that lead to existing calls and to valid requests."""
    values = {
        "path.call_id": [str(call_id_of(request_id)) for request_id in known_requests],
        "path.request_id": known_requests,
        "path.campaign_id": ["spring"],
        "path.sequence": [1, 2, 3],
        "body.phone_number": ["+12125550123"],
        "body.script_template": ["Hola."],
        "body.language": ["es", "en-US"],
    }
    lines = [f"hooks = {json.dumps(str(HOOKS))}", "[generation]", "with-security-parameters = false"]
    for number, (name, known) in enumerate(values.items()):
        lines += [f"[dictionaries.d{number}]", f"values = {json.dumps(known)}"]
        lines += [f'[parameters."{name}"]', f'dictionary = "d{number}"', "probability = 0.6"]
    return "\n".join(lines)


async def run(folder: Path, known_requests: Sequence[str], url: str, secret: str, *arguments: str) -> None:
    """Runs schemathesis, which signs webhooks with `secret`. Fails with its output."""
    settings = folder / "schemathesis.toml"
    settings.write_text(configuration(known_requests))
    program = Path(sys.executable).with_name("schemathesis")
    process = await asyncio.create_subprocess_exec(
        *(program, "--config-file", settings, "--no-color", "run", f"{url}/openapi.json"),
        *("--checks", ",".join(CHECKS), "--max-examples", EXAMPLES, "--seed", SEED),
        *("--continue-on-failure", "--request-timeout", "30", *arguments),
        env={"PATH": os.environ["PATH"], "SIGN_WEBHOOKS": secret},
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    sys.stdout.write(f"SCHEMATHESIS_SEED={SEED} SCHEMATHESIS_EXAMPLES={EXAMPLES}\n{output.decode()}")
    assert process.returncode == 0


def webhooks_counted(result: str) -> float:
    name = "centralita_webhooks_total"
    return sum(REGISTRY.get_sample_value(name, {"kind": kind, "result": result}) or 0 for kind in Webhook)


async def test_every_answer_to_a_known_sender_is_documented_and_below_500(
    complete_app: ASGIApp, known_requests: list[str], on_a_port: OnAPort, tmp_path: Path
) -> None:
    before = webhooks_counted("answered")
    async with on_a_port(complete_app) as url:
        header, phases = f"X-API-Key: {API_KEY}", "examples,coverage,fuzzing"
        await run(tmp_path, known_requests, url, AUTH_TOKEN, "--header", header, "--phases", phases)
    assert webhooks_counted("answered") > before, "no webhook of a known call was authentic"


@pytest.mark.parametrize(("key", "secret"), [("wrong", "another-token"), (None, "")], ids=["wrong", "missing"])
async def test_every_answer_to_an_unknown_sender_is_documented_and_below_500(
    complete_app: ASGIApp,
    known_requests: list[str],
    on_a_port: OnAPort,
    tmp_path: Path,
    key: str | None,
    secret: str,
) -> None:
    header = ("--header", f"X-API-Key: {secret_of(key)}") if key else ()
    async with on_a_port(complete_app) as url:
        await run(tmp_path, known_requests, url, secret, *header, "--phases", "fuzzing")
