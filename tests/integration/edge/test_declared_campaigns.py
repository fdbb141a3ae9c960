"""Creating, changing, starting and finishing a campaign over REST."""

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from nats.aio.client import Client
from tests.integration.edge.conftest import LIMITED

from contracts import CampaignTerms, decode
from contracts.streams import REQUESTS
from edge.adapters import nats as adapter

if TYPE_CHECKING:
    from tests.integration.edge.conftest import As, Orchestrator

CAMPAIGNS = "/api/v1/campaigns"
SPRING = f"{CAMPAIGNS}/spring"
TERMS = {
    "name": "Spring reminders",
    "mode": "turn_based",
    "starts_at": "2026-03-02T15:00:00Z",
    "ends_at": "2200-03-02T15:00:00Z",
    "max_concurrent_calls": 5,
}
DEFAULTS = CampaignTerms().model_dump(mode="json")


async def entries(as_: "As", campaign_id: str = "spring") -> list[dict[str, Any]]:
    answer = await as_("auditor").get("/api/v1/audit", params={"campaign_id": campaign_id})
    found: list[dict[str, Any]] = answer.json()["entries"]
    return found


@pytest.mark.usefixtures("orchestrator")
async def test_a_campaign_is_created_changed_started_and_finished(as_: "As") -> None:
    created = await as_("caller").post(CAMPAIGNS, json={"campaign_id": "spring", **TERMS})
    changed = await as_("caller").put(SPRING, json={**TERMS, "max_concurrent_calls": 2})
    started = await as_("caller").post(f"{SPRING}/start")
    finished = await as_("caller").post(f"{SPRING}/finish")

    assert [one.status_code for one in (created, changed, started, finished)] == [201, 200, 202, 202]
    assert created.headers["Location"] == SPRING
    statuses = [one.json()["status"] for one in (created, changed, started, finished)]
    assert statuses == ["draft", "draft", "running", "finished"]
    assert created.json()["terms"] == {**DEFAULTS, **TERMS}
    assert finished.json()["terms"] == {**DEFAULTS, **TERMS, "max_concurrent_calls": 2}
    assert None not in [finished.json()[name] for name in ("created_at", "started_at", "finished_at")]


@pytest.mark.usefixtures("orchestrator")
async def test_left_out_terms_have_their_defaults_also_in_a_change(api: httpx.AsyncClient, bus_client: Client) -> None:
    await api.post(CAMPAIGNS, json={"campaign_id": "spring", **TERMS})
    changed = await api.put(SPRING, json={"name": "Spring"})

    assert changed.json()["terms"] == {**DEFAULTS, "name": "Spring"}
    command = await bus_client.jetstream().get_last_msg(REQUESTS.name, "campaign.change_requested.spring")
    stored = decode(command.subject or "", command.data or b"").model_dump(exclude_unset=True)
    assert stored == {"campaign_id": "spring", "terms": {"name": "Spring"}}


@pytest.mark.usefixtures("orchestrator")
async def test_a_change_with_the_version_that_was_read_overwrites_no_newer_terms(api: httpx.AsyncClient) -> None:
    version = (await api.post(CAMPAIGNS, json={"campaign_id": "spring", **TERMS})).json()["version"]
    mine = await api.put(SPRING, params={"version": version}, json={"name": "Mine"})
    theirs = await api.put(SPRING, params={"version": version}, json={"name": "Theirs"})
    wrong = [await api.put(SPRING, params={"version": one}, json={}) for one in ("-1", "x", str(2**63))]

    assert (mine.status_code, theirs.status_code) == (200, 409)
    assert theirs.json()["errors"][0]["field"] == "version"
    assert [one.status_code for one in wrong] == [422] * 3
    assert (mine.json()["terms"]["name"], mine.json()["version"] > version) == ("Mine", True)
    again = await api.put(SPRING, params={"version": mine.json()["version"]}, json={"name": "Theirs"})
    assert again.status_code == 200


@pytest.mark.usefixtures("orchestrator")
async def test_each_act_is_audited_with_the_campaign_before_and_after(as_: "As") -> None:
    script = {"script_template": "Call {{name}} on +12125550123.", "variables": {"name": "Ada +12125550123"}}
    script["voicemail"] = {"message": "Please call +12125550123."}
    await as_("desk").post(CAMPAIGNS, json={"campaign_id": "spring", "name": "ask +12125550123", **script})
    await as_("caller").put(SPRING, json={"max_concurrent_calls": 2})
    for act in ("start", "finish"):
        await as_("caller").post(f"{SPRING}/{act}")

    recorded = await entries(as_)
    assert [(entry["act"], entry["key_name"], entry["stage"]) for entry in recorded] == [
        (f"campaign.{act}", key_name, stage)
        for act, key_name in (("create", "desk"), ("change", "caller"), ("start", "caller"), ("finish", "caller"))
        for stage in ("asked", "accepted")
    ]
    assert recorded[2]["fields"] == ["name", "max_concurrent_calls", "script_template", "variables", "voicemail"]
    assert recorded[2]["before"]["terms"]["variables"] == ["name"]
    assert recorded[2]["before"]["terms"]["voicemail"]["message"].startswith("sha256:")
    assert "2125550123" not in str(recorded)
    assert recorded[2]["before"]["terms"]["name"] == "ask +1••••••••23"
    assert recorded[3]["after"]["terms"]["max_concurrent_calls"] == 2
    assert [entry["after"]["status"] for entry in recorded[1::2]] == ["draft", "draft", "running", "finished"]


@pytest.mark.parametrize(
    ("terms", "field", "message"),
    [
        ({"mode": "chat"}, "mode", "Input should be 'turn_based', 'live' or 'relay'"),
        ({"starts_at": TERMS["ends_at"], "ends_at": TERMS["starts_at"]}, "ends_at", "is not after starts_at; give a"),
        ({"ends_at": "2020-01-01T00:00:00Z"}, "ends_at", "is over; give a later instant, or leave it out"),
        ({"starts_at": "2199-01-01T00:00:00Z"}, "starts_at", "more than 400 days ahead; give an earlier instant"),
        ({"max_concurrent_calls": 0}, "max_concurrent_calls", "Input should be greater than or equal to 1"),
        ({"pace": 1}, "pace", "Extra inputs are not permitted"),
        ({"script_template": "Hello {{name"}, "script_template", "write {{name}}"),
        ({"variables": {"name": "Ada"}}, "variables", "have no effect without a script; give script_template"),
        ({"goal": "confirmed"}, "goal", "has no effect without a rule for goal_missed; give it in retry_policy"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_unacceptable_terms_are_refused_with_field_and_remedy_and_no_command_is_sent(
    api: httpx.AsyncClient, orchestrator: "Orchestrator", terms: dict[str, Any], field: str, message: str, method: str
) -> None:
    path, more = (CAMPAIGNS, {"campaign_id": "spring"}) if method == "POST" else (SPRING, {})
    answer = await api.request(method, path, json={**more, **terms})

    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["field"] == field
    assert message in error["message"]
    assert orchestrator.asked == []


async def test_a_campaign_needs_a_valid_id(api: httpx.AsyncClient, orchestrator: "Orchestrator") -> None:
    for body in ({}, {"campaign_id": "a.b"}, {"campaign_id": "*"}, {"campaign_id": "x" * 101}):
        answer = await api.post(CAMPAIGNS, json=body)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "campaign_id")
    assert orchestrator.asked == []


async def test_a_refusal_names_its_field_and_an_undecided_creation_is_only_accepted(
    as_: "As", orchestrator: "Orchestrator", monkeypatch: pytest.MonkeyPatch
) -> None:
    orchestrator.refusal = ("campaign_id: the campaign exists with other terms; change it, or choose another id",)
    refused = await as_("caller").post(CAMPAIGNS, json={"campaign_id": "spring"})
    orchestrator.refusal, orchestrator.silent = (), True
    monkeypatch.setattr(adapter, "OUTCOME_SECONDS", 0.1)
    undecided = [
        await as_("caller").post(CAMPAIGNS, json={"campaign_id": "spring"}),
        await as_("caller").put(SPRING, json={}),
    ]

    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (409, "campaign_id")
    assert [(one.status_code, one.json()["status"]) for one in undecided] == [(202, "undeclared")] * 2
    stages = [entry["stage"] for entry in await entries(as_)]
    assert stages == ["asked", "refused", "asked", "undecided", "asked", "undecided"]


async def test_a_limited_key_creates_and_changes_only_its_campaigns(as_: "As", orchestrator: "Orchestrator") -> None:
    mine = await as_(LIMITED).post(CAMPAIGNS, json={"campaign_id": "spring"})
    asked = list(orchestrator.asked)
    others = await as_(LIMITED).post(CAMPAIGNS, json={"campaign_id": "winter"})
    changes = [
        await as_(LIMITED).put(f"{CAMPAIGNS}/winter", json={}),
        *[await as_(LIMITED).post(f"{CAMPAIGNS}/winter/{act}") for act in ("start", "finish")],
    ]

    assert (mine.status_code, others.status_code) == (201, 403)
    assert [answer.status_code for answer in changes] == [404] * 3
    assert orchestrator.asked == asked
    refused = [(entry["act"], entry["stage"]) for entry in await entries(as_, "winter")]
    assert refused == [(f"campaign.{act}", "refused") for act in ("create", "change", "start", "finish")]
