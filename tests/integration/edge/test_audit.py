"""The audit log: an entry before each act, one with its result, and none can be removed."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import APIError
from structlog.testing import capture_logs

from contracts import Call, CallRequested, CommandOutcome, call_id_of, outcome_subject
from contracts.audit import AuditEntry
from contracts.streams import AUDIT, REQUESTS
from edge.adapters import nats as adapter

if TYPE_CHECKING:
    from tests.integration.edge.conftest import As, Orchestrator

ACTS = [
    ("PUT", "", {"max_retries": 1}, "call.change", ["max_retries"]),
    ("POST", "/initiate", None, "call.initiate", ["scheduled_at"]),
    ("POST", "/cancel", None, "call.cancel", []),
    ("POST", "/retry", None, "call.retry", []),
]


async def audit(as_: "As", **query: str | int) -> list[dict[str, Any]]:
    answer = await as_("auditor").get("/api/v1/audit", params=query)
    assert answer.status_code == 200, answer.text
    entries: list[dict[str, Any]] = answer.json()["entries"]
    return entries


def stages(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["stage"] for entry in entries]


@pytest.mark.parametrize(("method", "action", "sent", "act", "fields"), ACTS)
async def test_an_act_has_entries_with_the_key_the_time_and_the_call_before_and_after(
    as_: "As", waiting: Call, method: str, action: str, sent: dict[str, object] | None, act: str, fields: list[str]
) -> None:
    started_at = datetime.now(UTC)

    answer = await as_("desk").request(method, f"/api/v1/calls/{waiting.call_id}{action}", json=sent)

    assert answer.is_success
    asked, done = await audit(as_)
    for entry in (asked, done):
        assert (entry["act"], entry["key_name"], entry["target"]) == (act, "desk", str(waiting.call_id))
        assert entry["fields"] == fields
        assert started_at <= datetime.fromisoformat(entry["recorded_at"]) <= datetime.now(UTC)
        assert (entry["before"]["status"], entry["before"]["max_retries"]) == ("pending", waiting.max_retries)
    assert asked["act_id"] == done["act_id"]
    assert (asked["stage"], asked["after"]) == ("asked", None)
    assert done["stage"] == "accepted"
    call = answer.json().get("call", answer.json())
    assert done["after"]["status"] == call["status"]
    assert done["after"]["max_retries"] == call["max_retries"]


@pytest.mark.parametrize(("method", "action", "sent", "act", "fields"), ACTS)
async def test_a_refused_act_has_an_entry_with_the_reasons(
    as_: "As",
    waiting: Call,
    orchestrator: "Orchestrator",
    method: str,
    action: str,
    sent: dict[str, object] | None,
    act: str,
    fields: list[str],
) -> None:
    orchestrator.refusal = ("max_retries: all 3 retries are used up, for +12125550199",)

    answer = await as_("desk").request(method, f"/api/v1/calls/{waiting.call_id}{action}", json=sent)

    assert answer.status_code == 409
    asked, refused = await audit(as_)
    assert stages([asked, refused]) == ["asked", "refused"]
    assert (refused["act"], refused["fields"], refused["after"]) == (act, fields, None)
    assert refused["reasons"] == ["max_retries: all 3 retries are used up, for +1••••••••99"]


@pytest.mark.parametrize(("method", "action", "sent", "act", "fields"), ACTS)
async def test_an_act_without_the_scope_and_one_on_an_unknown_call_have_entries(
    as_: "As",
    orchestrator: "Orchestrator",
    method: str,
    action: str,
    sent: dict[str, object] | None,
    act: str,
    fields: list[str],
) -> None:
    unknown = uuid4()

    assert (await as_("reader").request(method, f"/api/v1/calls/{unknown}{action}", json=sent)).status_code == 403
    assert (await as_("desk").request(method, f"/api/v1/calls/{unknown}{action}", json=sent)).status_code == 404

    entries = [(entry["key_name"], entry["act"], entry["stage"], entry["reasons"]) for entry in await audit(as_)]
    asked: list[object] = [("desk", act, "asked", [])] if action == "/cancel" else []  # its request may be queued
    assert entries == [
        ("reader", act, "refused", ["this key lacks the scope call"]),
        *asked,
        ("desk", act, "refused", [f"no call has the id {unknown}"]),
    ]


async def test_an_act_that_is_not_decided_in_time_is_undecided(
    as_: "As", waiting: Call, orchestrator: "Orchestrator", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "OUTCOME_SECONDS", 0.1)
    orchestrator.silent = True

    assert (await as_("desk").post(f"/api/v1/calls/{waiting.call_id}/cancel")).status_code == 202

    assert stages(await audit(as_)) == ["asked", "undecided"]


@pytest.mark.parametrize("is_accepted", [True, False])
async def test_the_outcome_that_comes_after_the_202_is_the_last_entry(
    as_: "As",
    orchestrator: "Orchestrator",
    body: dict[str, object],
    bus_client: Client,
    monkeypatch: pytest.MonkeyPatch,
    is_accepted: bool,
) -> None:
    monkeypatch.setattr(adapter, "OUTCOME_SECONDS", 0.1)
    orchestrator.silent = True
    asked = await bus_client.subscribe("call.requested")
    answer = await as_("desk").post("/api/v1/calls", json=body)
    assert answer.status_code == 202
    command_id = ((await asked.next_msg(timeout=60)).headers or {})["Nats-Msg-Id"]
    reason = "100 calls wait for a slot already (MAX_BACKLOG)"
    sequence = (await bus_client.jetstream().stream_info(REQUESTS.name)).state.last_seq
    outcome = CommandOutcome(accepted=is_accepted, reasons=() if is_accepted else (reason,), request_sequence=sequence)
    forged = CommandOutcome(accepted=not is_accepted, request_sequence=sequence + 1)  # by a message with the same id
    with capture_logs() as lines:
        for one in (forged, outcome):
            await bus_client.publish(outcome_subject(command_id), one.model_dump_json().encode())
        while len(entries := await audit(as_, call_id=answer.json()["id"])) < 3:
            await asyncio.sleep(0.01)
    assert stages(entries) == ["asked", "undecided", "accepted" if is_accepted else "refused"]
    assert len({entry["act_id"] for entry in entries}) == 1
    assert entries[-1]["reasons"] == list(outcome.reasons)
    refused = [line["call_id"] for line in lines if line["event"] == "stored_request_refused"]
    assert refused == ([] if is_accepted else [answer.json()["id"]])


async def test_an_act_whose_command_cannot_be_stored_is_undecided(as_: "As", waiting: Call, bus_client: Client) -> None:
    await bus_client.jetstream().delete_stream("REQUESTS")

    assert (await as_("desk").post(f"/api/v1/calls/{waiting.call_id}/cancel")).status_code == 503

    assert stages(await audit(as_)) == ["asked", "undecided"]


async def test_creating_a_call_has_entries_with_the_key_and_the_masked_number(
    as_: "As", orchestrator: "Orchestrator", body: dict[str, object]
) -> None:
    created = await as_("desk").post("/api/v1/calls", json={**body, "key_name": "another"})

    assert (created.status_code, created.json()["key_name"]) == (201, "desk")
    asked, done = await audit(as_)
    for entry in (asked, done):
        assert (entry["act"], entry["key_name"]) == ("call.create", "desk")
        assert entry["target"] == created.json()["id"]
        assert entry["request"] == {"campaign_id": "spring", "phone_number": "+1••••••••23"}
    assert (asked["stage"], done["stage"], done["after"]) == ("asked", "accepted", {"status": "pending"})


async def test_a_refused_request_for_a_call_has_an_entry_with_the_reasons(
    as_: "As", orchestrator: "Orchestrator", body: dict[str, object]
) -> None:
    orchestrator.refusal = ("phone_number: numbers of the country ES are not called",)

    assert (await as_("desk").post("/api/v1/calls", json=body)).status_code == 409

    asked, refused = await audit(as_)
    assert stages([asked, refused]) == ["asked", "refused"]
    assert refused["reasons"] == list(orchestrator.refusal)


async def test_another_request_under_a_used_id_is_refused_in_the_audit_log(
    as_: "As", waiting: Call, body: dict[str, object]
) -> None:
    changed = {**body, "request_id": "r-1", "contact_id": "another"}
    assert (await as_("desk").post("/api/v1/calls", json=changed)).status_code == 409

    assert stages(await audit(as_)) == ["asked", "refused"]


async def test_without_an_audit_log_no_call_is_placed_and_no_transcript_is_read(
    as_: "As", waiting: Call, orchestrator: "Orchestrator", body: dict[str, object], bus_client: Client
) -> None:
    await bus_client.jetstream().delete_stream(AUDIT.name)

    placed = await as_("desk").post("/api/v1/calls", json=body)
    read = await as_("desk").get(f"/api/v1/calls/{waiting.call_id}/events")
    sent = await as_("desk").post(f"/api/v1/calls/{waiting.call_id}/response", json={"message": "sí"})

    assert [answer.status_code for answer in (placed, read, sent)] == [503, 503, 503]
    assert orchestrator.asked == []


async def test_reading_the_events_of_a_call_has_one_entry_a_minute_for_each_key(as_: "As", waiting: Call) -> None:
    path = f"/api/v1/calls/{waiting.call_id}"
    for name in ("desk", "desk", "reader"):
        assert (await as_(name).get(f"{path}/events")).status_code == 200
    assert (await as_("desk").get(path)).status_code == 200
    assert (await as_("desk").get(f"/api/v1/calls/{uuid4()}/events")).status_code == 404

    entries = [(entry["act"], entry["key_name"], entry["target"], entry["stage"]) for entry in await audit(as_)]
    read = ("call.read_events", str(waiting.call_id), "accepted")
    assert entries == [(read[0], name, *read[1:]) for name in ("desk", "reader")]


async def test_a_text_sent_into_a_call_has_entries(as_: "As", waiting: Call) -> None:
    answer = await as_("desk").post(f"/api/v1/calls/{waiting.call_id}/response", json={"message": "sí"})

    assert answer.status_code == 409
    entries = [(entry["act"], entry["key_name"], entry["stage"]) for entry in await audit(as_)]
    assert entries == [("call.send_text", "desk", "asked"), ("call.send_text", "desk", "refused")]


async def test_the_audit_log_contains_no_phone_number_and_no_personal_data(
    as_: "As", orchestrator: "Orchestrator", body: dict[str, object], bus_client: Client
) -> None:
    request = {
        **body,
        "request_id": "r-2",
        "script_template": "Hola {{name}}.\n\nDi algo.",
        "metadata": {"file": "F-17"},
    }
    await orchestrator.decide(CallRequested.model_validate(request))
    changed = {"phone_number": "+12125550177", "variables": {"name": "Berta"}, "metadata": {"file": "F-18"}}

    await as_("desk").put(f"/api/v1/calls/{call_id_of('r-2')}", json=changed)

    done = (await audit(as_))[-1]
    assert done["fields"] == ["phone_number", "variables", "metadata"]
    assert (done["before"]["phone_number"], done["after"]["phone_number"]) == ("+1••••••••23", "+1••••••••77")
    stored = b""
    for sequence in (1, 2):
        stored += (await bus_client.jetstream().get_msg(AUDIT.name, sequence)).data or b""
    for secret in ("5550123", "5550177", "Ana", "Berta", "F-17", "F-18", "Hola", "desk-key-"):
        assert secret.encode() not in stored


async def test_without_an_audit_log_no_act_happens(
    as_: "As", waiting: Call, orchestrator: "Orchestrator", bus_client: Client
) -> None:
    await bus_client.jetstream().delete_stream(AUDIT.name)

    for method, action, sent, *_ in ACTS:
        answer = await as_("desk").request(method, f"/api/v1/calls/{waiting.call_id}{action}", json=sent)
        assert answer.status_code == 503
        assert "the audit log cannot be written" in answer.json()["detail"]

    assert orchestrator.asked == []
    assert (await as_("auditor").get("/api/v1/audit")).status_code == 503
    assert (await as_("reader").post(f"/api/v1/calls/{waiting.call_id}/cancel")).status_code == 503


async def test_an_act_whose_result_cannot_be_recorded_is_answered_as_unavailable(
    as_: "As", waiting: Call, orchestrator: "Orchestrator", bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide = orchestrator.decide

    async def decide_and_delete_the_audit_log(event: Any) -> Any:
        await bus_client.jetstream().delete_stream(AUDIT.name)
        return await decide(event)

    monkeypatch.setattr(orchestrator, "decide", decide_and_delete_the_audit_log)

    answer = await as_("desk").post(f"/api/v1/calls/{waiting.call_id}/cancel")

    assert answer.status_code == 503
    assert "the act may have happened" in answer.json()["detail"]


async def test_the_first_entry_is_stored_before_the_orchestrator_gets_the_command(
    as_: "As", waiting: Call, bus_client: Client
) -> None:
    entries: list[AuditEntry] = []

    async def read_newest(_: Msg) -> None:
        newest = await bus_client.jetstream().get_last_msg(AUDIT.name, AUDIT.subjects[0])
        entries.append(AuditEntry.model_validate_json(newest.data or b""))

    await bus_client.subscribe("call.cancel_requested.*", cb=read_newest)
    await as_("desk").post(f"/api/v1/calls/{waiting.call_id}/cancel")

    assert [entry.act for entry in entries] == ["call.cancel"]


async def test_no_entry_can_be_deleted(as_: "As", waiting: Call, bus_client: Client) -> None:
    await as_("desk").post(f"/api/v1/calls/{waiting.call_id}/cancel")
    js = bus_client.jetstream()

    with pytest.raises(APIError):
        await js.purge_stream(AUDIT.name)
    with pytest.raises(APIError):
        await js.delete_msg(AUDIT.name, 1)

    assert stages(await audit(as_)) == ["asked", "accepted"]


@pytest.fixture
async def acted_on(as_: "As", waiting: Call, orchestrator: "Orchestrator", body: dict[str, object]) -> list[str]:
    """Performs three acts on two calls, which makes six entries; returns the call ids in the order of the acts."""
    await orchestrator.decide(CallRequested.model_validate({**body, "request_id": "r-2"}))
    ids = [str(waiting.call_id), str(call_id_of("r-2")), str(waiting.call_id)]
    for call_id in ids:
        assert (await as_("desk").put(f"/api/v1/calls/{call_id}", json={"max_retries": 1})).status_code == 200
    return ids


async def test_the_audit_log_is_read_in_pages_in_log_order(as_: "As", acted_on: list[str]) -> None:
    pages, path = [], "/api/v1/audit?limit=4"
    while path:
        page = (await as_("auditor").get(path)).json()
        pages.append(page["entries"])
        path = page["next"]

    assert [len(page) for page in pages] == [4, 2]
    entries = [entry for page in pages for entry in page]
    assert [entry["sequence"] for entry in entries] == [1, 2, 3, 4, 5, 6]
    assert [entry["target"] for entry in entries[::2]] == acted_on


async def test_the_entries_of_one_call_are_filtered(as_: "As", acted_on: list[str]) -> None:
    first = await audit(as_, call_id=acted_on[0], limit=3)
    page = (await as_("auditor").get("/api/v1/audit", params={"call_id": acted_on[0], "limit": 3})).json()
    rest = (await as_("auditor").get(page["next"])).json()

    assert [entry["sequence"] for entry in first] == [1, 2, 5]
    assert ([entry["sequence"] for entry in rest["entries"]], rest["next"]) == ([6], None)
    assert await audit(as_, call_id=str(uuid4())) == []


async def test_the_audit_log_is_read_from_an_instant(as_: "As", acted_on: list[str]) -> None:
    third = (await audit(as_))[2]

    assert [entry["sequence"] for entry in await audit(as_, since=third["recorded_at"])] == [3, 4, 5, 6]
    assert [entry["sequence"] for entry in await audit(as_, since=third["recorded_at"], call_id=acted_on[0])] == [5, 6]
    assert await audit(as_, since=(datetime.now(UTC) + timedelta(hours=1)).isoformat()) == []


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "501"}, "limit"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-01-02T00:00:00"}, "since"),
        ({"call_id": "all"}, "call_id"),
        ({"campaign_id": "*"}, "campaign_id"),
        ({"call_id": str(uuid4()), "campaign_id": "spring"}, "campaign_id"),
        ({"after": "-1"}, "after"),
    ],
)
async def test_an_invalid_query_is_refused_with_the_field(as_: "As", query: dict[str, str], named: str) -> None:
    answer = await as_("auditor").get("/api/v1/audit", params=query)

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [named]


async def test_entries_are_counted_by_stage(as_: "As", waiting: Call, anyone: httpx.AsyncClient) -> None:
    async def count() -> float:
        lines = (await anyone.get("/metrics")).text.splitlines()
        return sum(
            float(line.split()[-1]) for line in lines if line.startswith('centralita_audit_entries_total{stage="a')
        )

    before = await count()
    await as_("desk").post(f"/api/v1/calls/{waiting.call_id}/cancel")

    assert await count() - before == 2


async def test_a_page_of_the_audit_log_costs_the_same_from_any_sequence(
    as_: "As", waiting: Call, bus_client: Client
) -> None:
    """The server counts what follows a page; for a filter with ``*`` that costs as much as the log is long."""
    filters: list[str] = []

    async def record(message: Msg) -> None:
        filters.append(json.loads(message.data)["next_by_subj"])

    await bus_client.subscribe(f"$JS.API.DIRECT.GET.{AUDIT.name}", cb=record)
    await bus_client.flush()
    assert (await as_("desk").post(f"/api/v1/calls/{waiting.call_id}/cancel")).is_success
    assert stages(await audit(as_)) == ["asked", "accepted"]
    assert stages(await audit(as_, call_id=str(waiting.call_id))) == ["asked", "accepted"]
    assert await audit(as_, campaign_id=waiting.campaign_id) == []
    await bus_client.flush()
    assert filters == [">", f"audit.call.{waiting.call_id}", f"audit.campaign.{waiting.campaign_id}"]
