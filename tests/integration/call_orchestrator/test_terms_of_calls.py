"""What the calls of a declared campaign take from its terms, on a real nats-server with two replicas."""

from datetime import timedelta

from nats.aio.client import Client
from tests.builders.policies import ANY_TIME_POLICY
from tests.integration.call_orchestrator.conftest import call_of, end, outcome_of, running, until, until_dialing

from centralita.replay.record import from_streams
from centralita.replay.scope import Scope
from centralita.replay.verifying import verify
from chassis.event_log import EventLog
from contracts import (
    CallChangeRequested,
    CallRequested,
    CampaignCreateRequested,
    CampaignStartRequested,
    RequestedTerms,
    VoicemailPolicy,
)

LIMITS = {"max_concurrent_calls": 0, "twilio_calls_per_second": 100, "retry_delay_minutes": 60}
TERMS = {
    "script_template": "Hello {{name}}, this is {{company}}.",
    "variables": {"company": "Acme"},
    "language": "en",
    "retry_policy": {"busy": {"max_retries": 2, "delay_seconds": 0}},
    "call_timeout_seconds": 20,
    "max_attempts": 3,
    "max_attempts_per_day": 2,
}


def request(request_id: str, **fields: object) -> CallRequested:
    given = {"campaign_id": "spring", "contact_id": "c-1", "phone_number": "+12125550123", **fields}
    return CallRequested.model_validate({**given, "request_id": request_id})


async def test_a_call_takes_what_its_request_leaves_out_and_verify_decides_the_same(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    async with running(nats_url, 2, **LIMITS):
        terms = RequestedTerms.model_validate(TERMS)
        assert (await outcome_of(bus_client, CampaignCreateRequested(campaign_id="spring", terms=terms))).accepted
        accepted = await outcome_of(bus_client, request("r-1", variables={"name": "Ada"}))
        refused = [
            await outcome_of(bus_client, request("r-2")),
            await outcome_of(bus_client, request("r-3", variables={"name": "Ada"}, max_retries=3)),
            await outcome_of(bus_client, request("r-4").model_copy(update={"campaign_id": "undeclared"})),
        ]
        assert accepted.call_id, accepted.reasons
        call = await call_of(calls, accepted.call_id)
        assert call
        assert (call.script_template, call.variables) == (TERMS["script_template"], {"company": "Acme", "name": "Ada"})
        assert (call.language, call.call_timeout_seconds, call.max_retries) == ("en", 20, 2)
        assert [one.reasons[0].partition(":")[0] for one in refused] == [
            "script_template asks for name",
            "max_retries",
            "script_template",
        ]

        assert (await outcome_of(bus_client, CampaignStartRequested(campaign_id="spring"))).accepted
        await until_dialing(calls, [call.call_id], 1)
        await end(calls, call.call_id)

        async def is_dialled_again() -> bool:
            present = await call_of(calls, accepted.call_id) if accepted.call_id else None
            return present is not None and (present.attempt, present.status) == (2, "dialing")

        await until(is_dialled_again)
        await end(calls, call.call_id, attempt=2)

        async def waits_for_the_next_day() -> bool:
            present = await call_of(calls, accepted.call_id) if accepted.call_id else None
            return present is not None and (present.attempt, present.status) == (2, "pending")

        await until(waits_for_the_next_day)
        waiting = await call_of(calls, call.call_id)
        assert waiting
        assert waiting.due_at
        assert waiting.permission
        assert waiting.permission.rule == "attempts_per_day"
        assert waiting.due_at - waiting.recent_dials[0] == timedelta(hours=24)
    verification = await verify(await from_streams(bus_client, Scope()), calling_policy=ANY_TIME_POLICY)
    assert (verification.drifts, verification.doubts) == ((), ())
    assert verification.decisions >= 4


async def test_a_waiting_call_gets_another_message_for_machines_and_verify_decides_the_same(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    async with running(nats_url, 2, **LIMITS):
        terms = RequestedTerms.model_validate(TERMS)
        await outcome_of(bus_client, CampaignCreateRequested(campaign_id="spring", terms=terms))
        created = await outcome_of(bus_client, request("r-1", variables={"name": "Ada"}, company="Acme"))
        messages = ("Hello {{name}}, please call us.", "Hello {{surname}}.")
        outcomes = [
            await outcome_of(
                bus_client,
                CallChangeRequested.model_validate({"call_id": created.call_id, "voicemail": {"message": message}}),
            )
            for message in messages
        ]
    assert created.call_id
    assert [one.accepted for one in outcomes] == [True, False]
    assert "voicemail.message: asks for surname" in outcomes[1].reasons[0]
    call = await call_of(calls, created.call_id)
    assert call
    assert call.voicemail == VoicemailPolicy(message=messages[0])
    assert call.message_characters == len("Hello Ada, please call us.")
    assert (call.message_disclosure or "").startswith("This is Acme, ")
    verification = await verify(await from_streams(bus_client, Scope()), calling_policy=ANY_TIME_POLICY)
    assert (verification.drifts, verification.doubts) == ((), ())
