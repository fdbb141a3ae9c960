"""Twilio's webhooks: only authentic ones are stored, before they are answered, and once."""

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest
from nats.aio.client import Client
from prometheus_client import REGISTRY
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from chassis.event_log import EventLog, StoredEvent
from contracts import AnswerClassified, AnsweredBy, Call, TelephonyStatus, TelephonyStatusReported
from contracts.filters import call_filters

if TYPE_CHECKING:
    from tests.integration.edge.conftest import Twilio

PUBLIC_URL = "https://calls.example.com"
AUTH_TOKEN = "0123456789abcdef0123456789abcdef"
SID = "CA00000000000000000000000000000001"
SAMPLES = {
    "initiated": {"CallStatus": "initiated", "SequenceNumber": "0"},
    "ringing": {"CallStatus": "ringing", "SequenceNumber": "1", "ToCity": "São Paulo"},
    "answered": {"CallStatus": "in-progress", "SequenceNumber": "2"},
    "completed": {"CallStatus": "completed", "SequenceNumber": "3", "CallDuration": "49", "Duration": "1"},
    "busy": {"CallStatus": "busy", "SequenceNumber": "2", "CallDuration": "0", "SipResponseCode": "486"},
    "failed": {"CallStatus": "failed", "SequenceNumber": "1", "CallDuration": "0", "SipResponseCode": "404"},
}


async def telephony_events(calls: EventLog, call: Call) -> list[StoredEvent]:
    """Returns the stored `telephony.*` events of the call."""
    return [r for r in await calls.read(call_filters(call.call_id)) if r.event.event_name.startswith("telephony.")]


def webhooks_counted(kind: str, result: str) -> float:
    return REGISTRY.get_sample_value("centralita_webhooks_total", {"kind": kind, "result": result}) or 0


@pytest.mark.parametrize(
    ("sample", "status", "sequence", "duration", "permanent", "reason"),
    [
        ("initiated", TelephonyStatus.INITIATED, 0, None, False, None),
        ("ringing", TelephonyStatus.RINGING, 1, None, False, None),
        ("answered", TelephonyStatus.IN_PROGRESS, 2, None, False, None),
        ("completed", TelephonyStatus.COMPLETED, 3, 49, False, None),
        ("busy", TelephonyStatus.BUSY, 2, 0, False, "SIP 486"),
        ("failed", TelephonyStatus.FAILED, 1, 0, True, "SIP 404"),
    ],
)
async def test_a_status_callback_is_stored_as_an_event(
    twilio: "Twilio",
    talking: Call,
    calls: EventLog,
    sample: str,
    status: TelephonyStatus,
    sequence: int,
    duration: int | None,
    permanent: bool,
    reason: str | None,
) -> None:
    answer = await twilio(f"/twilio/status/{talking.call_id}/1", **SAMPLES[sample])

    assert (answer.status_code, answer.content) == (204, b"")
    event = TelephonyStatusReported(
        call_id=talking.call_id,
        attempt=1,
        provider_call_id=SID,
        status=status,
        sequence_number=sequence,
        duration_seconds=duration,
        is_permanent=permanent,
        reason=reason,
    )
    [stored] = await telephony_events(calls, talking)
    assert stored.event == event
    assert stored.envelope.source == "edge"
    assert stored.envelope.causation_id is None


async def test_a_repeated_callback_is_stored_once(twilio: "Twilio", talking: Call, calls: EventLog) -> None:
    target = f"/twilio/status/{talking.call_id}/1"

    again = await asyncio.gather(*(twilio(target, **SAMPLES["completed"]) for _ in range(3)))
    await twilio(target, **SAMPLES["ringing"])

    assert [answer.status_code for answer in again] == [204, 204, 204]
    assert len(await telephony_events(calls, talking)) == 2


async def test_another_attempt_has_callbacks_of_its_own(twilio: "Twilio", talking: Call, calls: EventLog) -> None:
    await twilio(f"/twilio/status/{talking.call_id}/1", **SAMPLES["ringing"])
    await twilio(f"/twilio/status/{talking.call_id}/2", CallSid="CA2", **SAMPLES["ringing"])

    events = [stored.event for stored in await telephony_events(calls, talking)]
    assert [event.attempt for event in events if isinstance(event, TelephonyStatusReported)] == [1, 2]


@pytest.mark.parametrize(
    ("word", "answered_by"),
    [
        ("human", AnsweredBy.HUMAN),
        ("machine_start", AnsweredBy.MACHINE),
        ("machine_end_beep", AnsweredBy.MACHINE),
        ("machine_end_silence", AnsweredBy.MACHINE),
        ("fax", AnsweredBy.FAX),
        ("unknown", AnsweredBy.UNKNOWN),
        ("a_word_to_come", AnsweredBy.UNKNOWN),
    ],
)
async def test_the_result_of_machine_detection_is_stored_as_an_event(
    twilio: "Twilio", talking: Call, calls: EventLog, word: str, answered_by: AnsweredBy
) -> None:
    target = f"/twilio/amd/{talking.call_id}/1"

    answers = [await twilio(target, AnsweredBy=word, MachineDetectionDuration="2900") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [204, 204]
    [stored] = await telephony_events(calls, talking)
    assert stored.event == AnswerClassified(
        call_id=talking.call_id,
        attempt=1,
        provider_call_id=SID,
        answered_by=answered_by,
        is_after_beep=word == "machine_end_beep",
    )


@pytest.mark.parametrize(
    "form",
    [{"CallStatus": "dancing"}, {"SequenceNumber": "1"}, {"CallStatus": "ringing", "CallSid": ""}],
)
async def test_an_invalid_callback_is_refused_and_counted(
    twilio: "Twilio", talking: Call, calls: EventLog, form: dict[str, str]
) -> None:
    before = webhooks_counted("status", "invalid")

    answer = await twilio(f"/twilio/status/{talking.call_id}/1", **form)

    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert await telephony_events(calls, talking) == []
    assert webhooks_counted("status", "invalid") == before + 1


@pytest.mark.parametrize("path", ["status/{}/1", "amd/{}/1"])
async def test_a_report_about_an_unknown_call_is_stored_without_a_read(
    twilio: "Twilio", calls: EventLog, path: str
) -> None:
    call_id = uuid4()

    answer = await twilio("/twilio/" + path.format(call_id), CallStatus="ringing", AnsweredBy="human")

    assert answer.status_code == 204
    assert len(await calls.read(call_filters(call_id))) == 1


@pytest.mark.parametrize("path", ["voice/{}/1", "gather/{}/1/1", "say/{}/1/1?from=1"])
async def test_a_webhook_that_asks_for_an_instruction_of_an_unknown_call_is_not_found_and_logged(
    twilio: "Twilio", calls: EventLog, path: str
) -> None:
    call_id = uuid4()
    kind = path.partition("/")[0]
    before = webhooks_counted(kind, "unknown_call")
    with capture_logs(processors=[merge_contextvars]) as lines:
        answer = await twilio(
            "/twilio/" + path.format(call_id), CallStatus="ringing", AnsweredBy="human", To="+12125550123"
        )

    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:centralita:problem:unknown-call"
    assert await calls.last(f"speech.heard.{call_id}") is None
    assert webhooks_counted(kind, "unknown_call") == before + 1
    assert [(line["event"], line["call_id"]) for line in lines] == [("webhook_for_unknown_call", str(call_id))]
    assert "+12125550123" not in str(lines)


@pytest.mark.parametrize("path", ["voice/{}/1", "gather/{}/1/1", "say/{}/1/1?from=1", "status/{}/1", "amd/{}/1"])
async def test_a_forged_webhook_is_forbidden_and_nothing_is_stored(
    twilio: "Twilio", anyone: httpx.AsyncClient, talking: Call, calls: EventLog, path: str
) -> None:
    target = "/twilio/" + path.format(talking.call_id)
    kind = path.partition("/")[0]
    before = webhooks_counted(kind, "forged")
    form = {"CallSid": SID, "CallStatus": "ringing", "AnsweredBy": "human"}
    signature_of_another_token = RequestValidator("another-token").compute_signature(PUBLIC_URL + target, form)

    refused = [
        await anyone.post(target, data=form),
        await anyone.post(target, data=form, headers={"X-Twilio-Signature": ""}),
        await anyone.post(target, data=form, headers={"X-Twilio-Signature": signature_of_another_token}),
        await anyone.post(target, json=form, headers={"X-Twilio-Signature": "forged"}),
        await anyone.post(target, files={"CallSid": b"CA1"}, headers={"X-Twilio-Signature": "forged"}),
    ]

    assert [answer.status_code for answer in refused] == [403] * 5
    assert refused[0].headers["Content-Type"] == "application/problem+json"
    assert await calls.last(f"*.*.{talking.call_id}") is None
    assert webhooks_counted(kind, "forged") == before + 5


async def test_a_signature_is_valid_for_one_form_and_one_target(
    anyone: httpx.AsyncClient, talking: Call, calls: EventLog
) -> None:
    target = f"/twilio/status/{talking.call_id}/1"
    form = {"CallSid": SID, **SAMPLES["ringing"]}
    signed = {"X-Twilio-Signature": RequestValidator(AUTH_TOKEN).compute_signature(PUBLIC_URL + target, form)}

    changed = await anyone.post(target, data={**form, "CallStatus": "completed"}, headers=signed)
    moved = await anyone.post(f"/twilio/status/{talking.call_id}/2", data=form, headers=signed)
    extended = await anyone.post(f"{target}?x=1", data=form, headers=signed)

    assert [changed.status_code, moved.status_code, extended.status_code] == [403, 403, 403]
    assert (await anyone.post(target, data=form, headers=signed)).status_code == 204


async def test_the_signed_url_is_the_public_one_with_its_query_even_behind_a_proxy(
    anyone: httpx.AsyncClient, twilio: "Twilio", talking: Call
) -> None:
    target = f"/twilio/status/{talking.call_id}/1?tenant=a%20b&empty="
    form = {"CallSid": SID, **SAMPLES["ringing"]}
    internal_signature = RequestValidator(AUTH_TOKEN).compute_signature(f"http://edge.internal:8000{target}", form)
    proxied = {"Host": "attacker.example", "X-Forwarded-Host": "attacker.example", "X-Forwarded-Proto": "http"}

    assert (await twilio(target, **SAMPLES["ringing"])).status_code == 204
    refused = await anyone.post(target, data=form, headers={"X-Twilio-Signature": internal_signature})
    assert refused.status_code == 403
    public = RequestValidator(AUTH_TOKEN).compute_signature(PUBLIC_URL + target, form)
    accepted = await anyone.post(target, data=form, headers={"X-Twilio-Signature": public, **proxied})
    assert accepted.status_code == 204


async def test_without_nats_webhooks_are_answered_with_503(twilio: "Twilio", talking: Call, bus_client: Client) -> None:
    before = webhooks_counted("status", "unavailable")
    await bus_client.close()

    for path in ("status/{}/1", "voice/{}/1", "gather/{}/1/1", "amd/{}/1"):
        answer = await twilio("/twilio/" + path.format(talking.call_id), CallStatus="ringing", AnsweredBy="human")

        assert answer.status_code == 503, path
        assert answer.headers["Content-Type"] == "application/problem+json"
    assert webhooks_counted("status", "unavailable") == before + 1


async def test_an_event_that_could_not_be_stored_is_not_acknowledged(
    twilio: "Twilio", talking: Call, bus_client: Client
) -> None:
    js = bus_client.jetstream()
    config = (await js.stream_info("CALLS")).config
    config.max_msg_size = 100
    await js.update_stream(config)

    answer = await twilio(f"/twilio/status/{talking.call_id}/1", **SAMPLES["ringing"])

    assert answer.status_code == 503
