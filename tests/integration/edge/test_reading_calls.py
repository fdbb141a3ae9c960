"""Reading calls, their events and the metrics over REST."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
from nats.aio.client import Client
from nats.aio.msg import Msg

from chassis.event_log import EventLog
from contracts import (
    Call,
    CallPutOff,
    CallStatus,
    CampaignStatistics,
    CampaignStatisticsQuery,
    ContactRefused,
    DialClaimed,
    DialPlaced,
    TelephonyStatus,
    TelephonyStatusReported,
    call_id_of,
)
from contracts.call import Permission

if TYPE_CHECKING:
    from tests.integration.edge.conftest import Orchestrator


async def test_a_call_is_found_by_its_request(api: httpx.AsyncClient, waiting: Call) -> None:
    answer = await api.get("/api/v1/calls/by-request/r-1")

    assert answer.status_code == 200
    assert answer.json()["id"] == str(waiting.call_id)


async def test_a_request_id_may_contain_a_slash(
    api: httpx.AsyncClient, orchestrator: "Orchestrator", body: dict[str, object]
) -> None:
    await api.post("/api/v1/calls", json={**body, "request_id": "crm/42?x"})

    answer = await api.get("/api/v1/calls/by-request/crm%2F42%3Fx")

    assert answer.json()["id"] == str(call_id_of("crm/42?x"))


async def test_a_waiting_call_shows_its_public_fields(api: httpx.AsyncClient, waiting: Call) -> None:
    shown = (await api.get(f"/api/v1/calls/{waiting.call_id}")).json()

    assert datetime.fromisoformat(shown.pop("updated_at")) >= waiting.created_at
    assert datetime.fromisoformat(shown.pop("scheduled_at")) == waiting.due_at
    assert datetime.fromisoformat(shown.pop("created_at")) == waiting.created_at
    nothing_yet = (
        *("next_attempt_at", "dialed_at", "answered_at", "ended_at", "duration", "disposition", "reason"),
        *("callback_at", "callback_reason", "permission", "purpose", "time_zone", "consent_at", "consent_source"),
        *("caller_id", "voice", "company", "disclosure", "message_disclosure", "retention_days"),
    )
    assert shown == {
        "id": str(waiting.call_id),
        "request_id": "r-1",
        "campaign_id": "spring",
        "contact_id": "contact-1",
        "phone_number": "+12125550123",
        "status": "pending",
        "attempts": 0,
        "retry_attempts": 0,
        "max_retries": 3,
        "retry_delay_seconds": 3600,
        "retry_policy": None,
        "goal": None,
        "max_attempts": None,
        "max_attempts_per_day": None,
        "voicemail": None,
        "voicemail_delivery": None,
        "outcome_retries": {},
        "callbacks": 0,
        "opt_out_key": "9",
        "call_timeout_seconds": 30,
        "max_call_seconds": 600,
        "script_template": waiting.script_template,
        "variables": {"name": "Ana"},
        "language": "es",
        "mode": "turn_based",
        "has_tools": False,
        "key_name": None,
        "metadata": {},
        "error_message": None,
        "twilio_sid": None,
        **dict.fromkeys(nothing_yet),
    }


async def test_a_dialled_call_shows_its_attempts_and_the_providers_id(
    api: httpx.AsyncClient, talking: Call, orchestrator: "Orchestrator", calls: EventLog
) -> None:
    await calls.append(DialPlaced(call_id=talking.call_id, attempt=1, provider_call_id="CA1"))
    report = {"call_id": talking.call_id, "attempt": 3, "status": TelephonyStatus.COMPLETED}
    await calls.append(TelephonyStatusReported.model_validate({**report, "provider_call_id": "CA3"}))
    ended_at = datetime.now(UTC)
    ended = {"status": CallStatus.COMPLETED, "attempt": 3, "undialled_attempts": 1, "due_at": None, "has_tools": True}
    await orchestrator.move(talking.call_id, **ended, ended_at=ended_at, duration_seconds=31, reason="confirmed")

    shown = (await api.get(f"/api/v1/calls/{talking.call_id}")).json()

    assert (shown["status"], shown["duration"], shown["twilio_sid"]) == ("completed", 31, "CA3")
    assert (shown["attempts"], shown["retry_attempts"], shown["has_tools"]) == (3, 1, True)
    assert (shown["reason"], shown["error_message"]) == ("confirmed", None)
    assert datetime.fromisoformat(shown["updated_at"]) >= ended_at


async def test_a_call_whose_provider_id_cannot_be_decoded_is_readable_and_can_be_canceled(
    api: httpx.AsyncClient, talking: Call, bus_client: Client
) -> None:
    await bus_client.jetstream().publish(DialPlaced.subject_for(talking.call_id), b"no JSON")
    path = f"/api/v1/calls/{talking.call_id}"

    shown, canceled = await api.get(path), await api.post(f"{path}/cancel")

    assert (shown.status_code, shown.json()["twilio_sid"], canceled.status_code) == (200, None, 202)


async def test_an_unsuccessful_call_has_an_error_message(
    api: httpx.AsyncClient, talking: Call, orchestrator: "Orchestrator"
) -> None:
    await orchestrator.move(talking.call_id, status=CallStatus.FAILED, reason="SIP 404", due_at=None)

    assert (await api.get(f"/api/v1/calls/{talking.call_id}")).json()["error_message"] == "SIP 404"


async def test_a_call_that_waits_for_its_next_attempt_shows_when(
    api: httpx.AsyncClient, talking: Call, orchestrator: "Orchestrator"
) -> None:
    waiting = await orchestrator.move(talking.call_id, status=CallStatus.PENDING)

    shown = (await api.get(f"/api/v1/calls/{talking.call_id}")).json()

    assert waiting.due_at is not None
    assert (shown["scheduled_at"], datetime.fromisoformat(shown["next_attempt_at"])) == (None, waiting.due_at)


async def test_the_events_of_a_call_are_returned_in_log_order(
    api: httpx.AsyncClient, talking: Call, calls: EventLog
) -> None:
    for event in (DialClaimed(call_id=talking.call_id, attempt=1), DialClaimed(call_id=uuid4(), attempt=1)):
        await calls.append(event)
    await calls.append(DialPlaced(call_id=talking.call_id, attempt=1, provider_call_id="CA1"))

    events = (await api.get(f"/api/v1/calls/{talking.call_id}/events")).json()

    assert [event["type"] for event in events] == [
        "call.created.v2",
        "call.status_changed.v2",
        "dial.claimed.v1",
        "dial.placed.v1",
    ]
    assert [event["sequence"] for event in events] == [1, 2, 3, 5]
    assert [event["source"] for event in events] == ["call-orchestrator", "call-orchestrator", "test", "test"]
    assert events[3]["data"] == {
        "call_id": str(talking.call_id),
        "attempt": 1,
        "provider": "twilio",
        "provider_call_id": "CA1",
    }
    assert sorted(events[0]) == [
        *("causation_id", "correlation_id", "data", "id", "sequence", "source", "subject"),
        *("time", "traceparent", "type", "unreadable"),
    ]
    assert events[0]["subject"] == f"call.created.{events[0]['data']['call']['call_id']}.pending"


async def test_the_decisions_about_a_call_name_the_rule_of_the_calling_policy(
    api: httpx.AsyncClient, waiting: Call, calls: EventLog
) -> None:
    opens_at = waiting.created_at + timedelta(hours=12)
    permission = Permission(rule="calling_hours", detail="22:00 is outside 08:00-21:00", policy_version="1")
    put_off = waiting.model_copy(update={"due_at": opens_at, "deadline_at": opens_at, "permission": permission})
    await calls.append(CallPutOff(call=put_off, occurred_at=waiting.created_at))
    await calls.append(DialClaimed(call_id=waiting.call_id, attempt=1))

    created, decided = (await api.get(f"/api/v1/calls/{waiting.call_id}/decisions")).json()

    assert (created["type"], created["status"], created["permission"]) == ("call.created.v2", "pending", None)
    assert (decided["type"], decided["status"]) == ("call.put_off.v2", "pending")
    assert decided["permission"] == permission.model_dump(mode="json")
    assert datetime.fromisoformat(decided["due_at"]) == opens_at
    shown = (await api.get(f"/api/v1/calls/{waiting.call_id}")).json()
    assert shown["permission"] == permission.model_dump(mode="json")


async def test_an_event_that_cannot_be_decoded_is_shown_as_unreadable(
    api: httpx.AsyncClient, talking: Call, bus_client: Client
) -> None:
    ack = await bus_client.jetstream().publish(DialPlaced.subject_for(talking.call_id), b'{"attempt": 1}')

    shown = await api.get(f"/api/v1/calls/{talking.call_id}/events")
    call = await api.get(f"/api/v1/calls/{talking.call_id}")

    assert (shown.status_code, call.status_code) == (200, 200)
    event = shown.json()[-1]
    assert (event["sequence"], event["type"], event["data"]) == (ack.seq, "dial.placed", {})
    assert event["unreadable"] == ["call_id: Field required", "provider_call_id: Field required"]


async def test_the_reason_why_a_contact_was_refused_is_shown_in_place_of_its_events(
    api: httpx.AsyncClient, calls: EventLog
) -> None:
    call_id = call_id_of("spring:c-1")
    refused = ContactRefused(
        call_id=call_id, campaign_id="spring", contact_id="c-1", reason="listed", refused_at=datetime.now(UTC)
    )
    await calls.append(refused)

    [event] = (await api.get(f"/api/v1/calls/{call_id}/events")).json()

    assert (event["type"], event["data"]["reason"]) == ("contact.refused.v1", "listed")
    assert (await api.get(f"/api/v1/calls/{call_id}")).status_code == 404


async def test_an_unknown_call_is_answered_with_404(api: httpx.AsyncClient) -> None:
    unknown = uuid4()
    for path in (f"{unknown}", f"{unknown}/events", f"{unknown}/decisions", "by-request/unknown"):
        answer = await api.get(f"/api/v1/calls/{path}")

        assert answer.status_code == 404, path
        assert answer.json()["type"] == "urn:centralita:problem:unknown-call"


async def test_metrics_are_the_counters_of_campaign_stats(api: httpx.AsyncClient, bus_client: Client) -> None:
    async def count(message: Msg) -> None:
        query = CampaignStatisticsQuery.model_validate_json(message.data)
        counted = CampaignStatistics(
            campaign_id=query.campaign_id,
            total=7,
            completed=3,
            failed=2,
            no_answer=1,
            busy=1,
            average_duration_seconds=41.5,
            messages_whole=6,
            messages_withdrawn=2,
            contacts_refused=4,
            contacts_expired=5,
        )
        await message.respond(counted.model_dump_json().encode())

    await bus_client.subscribe(CampaignStatisticsQuery.subject, cb=count)

    assert (await api.get("/api/v1/calls/metrics", params={"campaign_id": "spring"})).json() == {
        "campaign_id": "spring",
        "total_calls": 7,
        "pending_calls": 0,
        "in_progress_calls": 0,
        "completed_calls": 3,
        "failed_calls": 2,
        "no_answer_calls": 1,
        "busy_calls": 1,
        "voicemail_calls": 0,
        "canceled_calls": 0,
        "expired_calls": 0,
        "avg_duration": 41.5,
        "messages_whole": 6,
        "messages_cut": 0,
        "messages_none": 0,
        "messages_withdrawn": 2,
        "contacts_refused": 4,
        "contacts_expired": 5,
    }
    assert (await api.get("/api/v1/calls/metrics")).json()["campaign_id"] is None


async def test_metrics_are_unavailable_without_campaign_stats(api: httpx.AsyncClient) -> None:
    answer = await api.get("/api/v1/calls/metrics?campaign_id=spring")

    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Retry-After"]
    assert "campaign-stats does not answer" in answer.json()["detail"]


async def test_metrics_are_unavailable_when_the_answer_is_invalid(api: httpx.AsyncClient, bus_client: Client) -> None:
    async def answer_nonsense(message: Msg) -> None:
        await message.respond(b'{"oops": true}')

    await bus_client.subscribe(CampaignStatisticsQuery.subject, cb=answer_nonsense)

    assert (await api.get("/api/v1/calls/metrics")).status_code == 503


async def test_metrics_of_an_invalid_campaign_id_are_refused(api: httpx.AsyncClient) -> None:
    answer = await api.get("/api/v1/calls/metrics", params={"campaign_id": "a.b"})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "campaign_id"
