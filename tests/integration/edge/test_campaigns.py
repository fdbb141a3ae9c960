"""Pausing, resuming and reading a campaign over REST."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from openapi_core import OpenAPI
from openapi_core.testing import MockRequest, MockResponse

from chassis.barrier import wait_until_processed
from contracts import CampaignStatistics, CampaignStatisticsQuery, decode
from contracts.audit import acts_on_campaign
from contracts.streams import AUDIT, REQUESTS
from edge.adapters import nats as adapter

if TYPE_CHECKING:
    from tests.integration.edge.conftest import As, Orchestrator

SPRING = "/api/v1/campaigns/spring"
UNDECLARED = {"terms": None, "created_at": None, "started_at": None, "finished_at": None}


@pytest.fixture
async def counted(bus_client: Client) -> None:
    """Answers like a campaign-stats that has counted seven calls of each campaign."""

    async def count(message: Msg) -> None:
        query = CampaignStatisticsQuery.model_validate_json(message.data)
        counted = CampaignStatistics(campaign_id=query.campaign_id, total=7, completed=3)
        await message.respond(counted.model_dump_json().encode())

    await bus_client.subscribe(CampaignStatisticsQuery.subject, cb=count)
    await wait_until_processed(bus_client)


async def audit(as_: "As", **query: str | int) -> list[dict[str, Any]]:
    answer = await as_("auditor").get("/api/v1/audit", params={"campaign_id": "spring", **query})
    entries: list[dict[str, Any]] = answer.json()["entries"]
    return entries


@pytest.mark.usefixtures("orchestrator", "counted")
async def test_a_campaign_is_paused_read_and_resumed(as_: "As") -> None:
    started_at = datetime.now(UTC)

    paused = await as_("caller").post(f"{SPRING}/pause", json={"reason": "a wrong price"})
    seen = (await as_("reader").get(SPRING)).json()
    resumed = await as_("caller").post(f"{SPRING}/resume")

    assert (paused.status_code, resumed.status_code) == (202, 202)
    assert (
        started_at <= datetime.fromisoformat(paused.json()["since"]) <= datetime.fromisoformat(resumed.json()["since"])
    )
    expected = UNDECLARED | {"status": "paused", "paused": True, "reason": "a wrong price"}
    expected |= {"campaign_id": "spring", "since": paused.json()["since"], "version": 1}
    assert paused.json() == expected
    assert (seen["calls"].pop("total_calls"), seen["calls"].pop("campaign_id")) == (7, "spring")
    assert {name: value for name, value in seen.items() if name != "calls"} == expected
    assert (resumed.json()["paused"], resumed.json()["reason"]) == (False, None)


@pytest.mark.usefixtures("orchestrator", "counted")
async def test_an_unknown_campaign_runs_and_may_be_paused(api: httpx.AsyncClient) -> None:
    assert (await api.get(SPRING)).json()["since"] is None
    assert (await api.post(f"{SPRING}/pause")).json()["paused"] is True
    assert (await api.get(SPRING)).json()["reason"] is None


async def test_without_campaign_stats_a_campaign_cannot_be_read_but_can_be_paused(
    api: httpx.AsyncClient, orchestrator: "Orchestrator"
) -> None:
    assert (await api.get(SPRING)).status_code == 503
    assert (await api.post(f"{SPRING}/pause")).json()["paused"] is True


@pytest.mark.parametrize(
    ("body", "named"), [({"reason": ""}, "reason"), ({"reason": "x" * 501}, "reason"), ({"why": "x"}, "why")]
)
async def test_an_invalid_reason_is_refused_and_no_command_is_sent(
    api: httpx.AsyncClient, orchestrator: "Orchestrator", body: dict[str, str], named: str
) -> None:
    answer = await api.post(f"{SPRING}/pause", json=body)

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [named]
    assert orchestrator.asked == []


@pytest.mark.usefixtures("orchestrator")
async def test_acts_on_a_campaign_have_entries_with_the_key_and_the_campaign_before_and_after(as_: "As") -> None:
    paused = (await as_("desk").post(f"{SPRING}/pause", json={"reason": "+12125550123 complained"})).json()
    await as_("caller").post(f"{SPRING}/resume")
    await as_("caller").post("/api/v1/campaigns/autumn/resume")

    entries = await audit(as_)

    assert [(entry["act"], entry["key_name"], entry["stage"]) for entry in entries] == [
        ("campaign.pause", "desk", "asked"),
        ("campaign.pause", "desk", "accepted"),
        ("campaign.resume", "caller", "asked"),
        ("campaign.resume", "caller", "accepted"),
    ]
    assert {entry["target"] for entry in entries} == {"spring"}
    masked = UNDECLARED | {"status": "paused", "paused": True, "reason": "+1••••••••23 complained"}
    masked |= {"since": paused["since"], "version": 1}
    assert entries[0]["before"]["paused"] is False
    assert entries[1]["after"] == masked
    assert entries[2]["before"] == masked
    assert entries[3]["after"]["paused"] is False


async def test_the_entries_of_one_campaign_are_read_in_pages(as_: "As", orchestrator: "Orchestrator") -> None:
    for campaign_id in ("spring", "autumn", "spring"):
        await as_("desk").post(f"/api/v1/campaigns/{campaign_id}/pause")

    page = (await as_("auditor").get("/api/v1/audit", params={"campaign_id": "spring", "limit": 3})).json()
    rest = (await as_("auditor").get(page["next"])).json()

    assert [entry["sequence"] for entry in page["entries"]] == [1, 2, 5]
    assert ([entry["sequence"] for entry in rest["entries"]], rest["next"]) == ([6], None)


@pytest.mark.parametrize("act", ["pause", "resume"])
async def test_an_act_without_the_scope_has_an_entry_and_no_command_is_sent(
    as_: "As", orchestrator: "Orchestrator", act: str
) -> None:
    assert (await as_("auditor").post(f"{SPRING}/{act}")).status_code == 403

    [entry] = await audit(as_)
    assert (entry["act"], entry["key_name"], entry["stage"]) == (f"campaign.{act}", "auditor", "refused")
    assert orchestrator.asked == []


@pytest.mark.parametrize("act", ["pause", "resume"])
async def test_a_refusal_is_a_conflict_and_no_answer_is_undecided(
    as_: "As", orchestrator: "Orchestrator", act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    orchestrator.refusal = ("not today",)
    assert (await as_("desk").post(f"{SPRING}/{act}")).status_code == 409
    orchestrator.refusal, orchestrator.silent = (), True
    monkeypatch.setattr(adapter, "OUTCOME_SECONDS", 0.1)

    answer = await as_("desk").post(f"{SPRING}/{act}")

    assert (answer.status_code, answer.json()["paused"]) == (202, False)
    assert [entry["stage"] for entry in await audit(as_)] == ["asked", "refused", "asked", "undecided"]


async def test_without_an_audit_log_no_act_happens(
    api: httpx.AsyncClient, orchestrator: "Orchestrator", bus_client: Client
) -> None:
    await bus_client.jetstream().delete_stream(AUDIT.name)

    assert (await api.post(f"{SPRING}/pause")).status_code == 503
    assert orchestrator.asked == []


@pytest.mark.usefixtures("orchestrator")
async def test_a_command_and_its_entries_are_stored_on_the_subjects_of_the_contracts(
    api: httpx.AsyncClient, bus_client: Client
) -> None:
    await api.post(f"{SPRING}/pause", json={"reason": " lunch "})

    command = await bus_client.jetstream().get_last_msg(REQUESTS.name, "campaign.pause_requested.spring")
    assert decode(command.subject or "", command.data or b"").model_dump() == {
        "campaign_id": "spring",
        "reason": "lunch",
    }
    entry = await bus_client.jetstream().get_last_msg(AUDIT.name, acts_on_campaign("spring"))
    assert entry.seq == 2


@pytest.mark.usefixtures("orchestrator", "counted")
@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", SPRING, None, 200),
        ("POST", f"{SPRING}/pause", None, 202),
        ("POST", f"{SPRING}/pause", b'{"reason": "lunch"}', 202),
        ("POST", f"{SPRING}/pause", b'{"reason": null}', 202),
        ("POST", f"{SPRING}/resume", None, 202),
        ("POST", "/api/v1/campaigns", b'{"campaign_id": "spring", "max_concurrent_calls": 5}', 201),
        ("PUT", SPRING, b'{"starts_at": null, "ends_at": "2200-01-01T00:00:00Z"}', 200),
        ("POST", f"{SPRING}/start", None, 202),
        ("POST", f"{SPRING}/finish", None, 202),
    ],
)
async def test_requests_and_answers_match_the_openapi_document(
    api: httpx.AsyncClient, method: str, path: str, body: bytes | None, status: int
) -> None:
    document = OpenAPI.from_dict((await api.get("/openapi.json")).json())
    answer = await api.request(method, path, content=body, headers={"Content-Type": "application/json"} if body else {})

    host = "http://edge.internal:8000"
    request = MockRequest(
        host, method.lower(), path, headers=dict(api.headers), data=body, content_type="application/json"
    )
    document.validate_request(request)
    document.validate_response(request, MockResponse(answer.content, status, content_type="application/json"))
    assert answer.status_code == status
