"""A key that is limited to campaigns: everything of other campaigns looks as if it did not exist."""

from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest
from tests.integration.edge.conftest import LIMITED

from contracts import Call, CallRequested, call_id_of

if TYPE_CHECKING:
    from tests.integration.edge.conftest import As, Orchestrator

READS = [
    "/calls/{id}",
    "/calls/{id}/events",
    "/calls/{id}/story",
    "/calls/{id}/decisions",
    "/calls/by-request/{request_id}",
]
ACTS = [
    ("PUT", "/calls/{id}", {"max_retries": 1}),
    ("POST", "/calls/{id}/initiate", None),
    ("POST", "/calls/{id}/cancel", None),
    ("POST", "/calls/{id}/retry", None),
    ("POST", "/calls/{id}/response", {"message": "yes"}),
]
REQUESTS = [*(("GET", path, None) for path in READS), *ACTS]


@pytest.fixture
async def other(orchestrator: "Orchestrator", body: dict[str, object]) -> Call:
    """A call of a campaign that the key may not reach."""
    request = {**body, "campaign_id": "winter", "request_id": "r-winter"}
    await orchestrator.decide(CallRequested.model_validate(request))
    return await orchestrator.call(call_id_of("r-winter"))


@pytest.mark.parametrize(("method", "path", "sent"), REQUESTS)
async def test_a_call_of_another_campaign_is_answered_like_an_unknown_one(
    as_: "As", orchestrator: "Orchestrator", other: Call, method: str, path: str, sent: object
) -> None:
    unknown = uuid4()
    targets = {str(other.call_id): "r-winter", str(unknown): "r-unknown"}

    found = {
        call_id: await as_(LIMITED).request(
            method, f"/api/v1{path.format(id=call_id, request_id=request_id)}", json=sent
        )
        for call_id, request_id in targets.items()
    }

    assert [answer.status_code for answer in found.values()] == [404, 404]
    documents = [
        answer.text.replace(call_id, "ID").replace(str(call_id_of(targets[call_id])), "ID")
        for call_id, answer in found.items()
    ]
    assert documents[0] == documents[1]
    assert [answer.headers["Content-Type"] for answer in found.values()] == ["application/problem+json"] * 2
    assert orchestrator.asked == []


@pytest.mark.parametrize("path", READS)
async def test_a_call_of_its_own_campaign_is_read(as_: "As", waiting: Call, path: str) -> None:
    path = path.format(id=waiting.call_id, request_id="r-1")

    assert (await as_(LIMITED).get(f"/api/v1{path}")).status_code == 200


async def test_it_creates_calls_in_its_own_campaigns_only(
    as_: "As", orchestrator: "Orchestrator", body: dict[str, object]
) -> None:
    own = await as_(LIMITED).post("/api/v1/calls", json={**body, "campaign_id": "autumn"})
    other = await as_(LIMITED).post("/api/v1/calls", json={**body, "campaign_id": "winter", "request_id": "r-2"})

    assert (own.status_code, own.json()["key_name"]) == (201, LIMITED)
    assert other.status_code == 403
    assert other.json()["type"] == "urn:centralita:problem:campaign-not-allowed"
    assert other.json()["detail"] == "this key is limited to the campaigns autumn, spring"
    assert [error["field"] for error in other.json()["errors"]] == ["campaign_id"]
    assert orchestrator.asked == ["call.requested"]
    entries = (await as_("auditor").get("/api/v1/audit", params={"call_id": str(call_id_of("r-2"))})).json()["entries"]
    assert [(entry["act"], entry["stage"]) for entry in entries] == [("call.create", "refused")]


async def test_the_request_id_of_another_campaigns_call_reveals_none_of_its_fields(
    as_: "As", other: Call, body: dict[str, object]
) -> None:
    guess = {**body, "campaign_id": "spring", "request_id": "r-winter", "contact_id": "a guess"}

    answer = await as_(LIMITED).post("/api/v1/calls", json=guess)

    assert answer.status_code == 409
    assert [error["field"] for error in answer.json()["errors"]] == ["campaign_id"]


@pytest.mark.parametrize(("method", "action"), [("GET", ""), ("POST", "/pause"), ("POST", "/resume")])
async def test_another_campaign_is_unknown(as_: "As", orchestrator: "Orchestrator", method: str, action: str) -> None:
    answer = await as_(LIMITED).request(method, f"/api/v1/campaigns/winter{action}")

    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:centralita:problem:unknown-campaign"
    assert orchestrator.asked == []


async def test_it_pauses_its_own_campaign(as_: "As", orchestrator: "Orchestrator") -> None:
    assert (await as_(LIMITED).post("/api/v1/campaigns/spring/pause")).status_code == 202


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 403),
        ("?campaign_id=winter", 404),
        ("?campaign_id=spring&campaign_id=winter", 404),
        ("?campaign_id=winter&campaign_id=spring", 404),
        ("?campaign_id=spring", 503),  # campaign-stats does not run in this test
    ],
)
async def test_it_reads_the_counters_of_its_own_campaigns_only(as_: "As", query: str, status: int) -> None:
    assert (await as_(LIMITED).get(f"/api/v1/calls/metrics{query}")).status_code == status


async def test_an_act_on_another_campaigns_call_is_in_the_audit_log(as_: "As", other: Call) -> None:
    await as_(LIMITED).post(f"/api/v1/calls/{other.call_id}/cancel")

    (entry,) = (await as_("auditor").get("/api/v1/audit")).json()["entries"]
    assert (entry["act"], entry["key_name"], entry["stage"]) == ("call.cancel", LIMITED, "refused")
    assert entry["target"] == str(other.call_id)


async def test_its_refusals_are_counted(
    as_: "As", anyone: httpx.AsyncClient, other: Call, body: dict[str, object]
) -> None:
    async def count() -> float:
        lines = (await anyone.get("/metrics")).text.splitlines()
        (line,) = (line for line in lines if line.startswith('centralita_rest_refused_total{reason="other_campaign"'))
        return float(line.split()[-1])

    before = await count()
    await as_(LIMITED).get(f"/api/v1/calls/{other.call_id}")
    await as_(LIMITED).post("/api/v1/calls", json={**body, "campaign_id": "winter"})

    assert await count() - before == 2
