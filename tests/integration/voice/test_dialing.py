"""Dialling: at most one request for each attempt."""

import asyncio

import pytest
from nats.aio.client import Client
from tests.fakes.providers import provider
from tests.integration.voice.conftest import OTHER_CALLER, StartCall, cause_of, dial_events

from chassis.event_log import Conflict, EventLog, Guard, StoredEvent
from contracts import (
    CallStatus,
    DialClaimed,
    DialPlaced,
    DialRefused,
    Envelope,
    Event,
    HangupReason,
)
from contracts.streams import CALLS
from simulators.faults import FaultRule
from simulators.server import Simulators
from voice.adapters import twilio
from voice.adapters.clips import StoredClips
from voice.adapters.elevenlabs import ElevenLabs
from voice.adapters.twilio import Twilio
from voice.application.speech.prepared_clips import PreparedClips
from voice.application.speech.synthesis import SpeechSynthesis
from voice.application.telephony.attempts import AttemptInProgress
from voice.application.telephony.dialing import Dialing


@pytest.fixture
def prepared(calls: EventLog, speech: ElevenLabs, clips: StoredClips) -> PreparedClips:
    return PreparedClips(SpeechSynthesis([speech], clips, calls))


@pytest.fixture
def dialing(calls: EventLog, telephony: Twilio, prepared: PreparedClips) -> Dialing:
    return Dialing(calls, telephony, prepared)


async def test_a_call_is_dialled_with_its_number_and_its_callback_urls(
    dialing: Dialing, start_call: StartCall, calls: EventLog, simulators: Simulators, edge_url: str
) -> None:
    event = await start_call()
    await dialing.dial(event, cause_of(event))
    [dialled] = simulators.ledger.calls
    assert (dialled.to, dialled.from_) == ("+12125550123", "+12125550100")
    assert dialled.url is not None
    assert dialled.url.startswith(f"{edge_url}/twilio/voice/{event.call_id}/1")
    placed = DialPlaced(call_id=event.call_id, attempt=1, provider_call_id=dialled.sid)
    assert await dial_events(calls, event) == [DialClaimed.of(event.call, 1), placed]


async def test_a_call_is_dialled_from_the_number_of_its_campaign(
    dialing: Dialing, start_call: StartCall, simulators: Simulators
) -> None:
    event = await start_call(caller_id=OTHER_CALLER)
    await dialing.dial(event, cause_of(event))
    [dialled] = simulators.ledger.calls
    assert dialled.from_ == OTHER_CALLER


async def test_no_request_names_a_caller_id_that_the_account_may_not_use(
    dialing: Dialing, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    event = await start_call(caller_id="+12125550102")
    await dialing.dial(event, cause_of(event))
    assert simulators.ledger.calls == []
    reason = "the caller id is not among CALLER_IDS of voice"
    refused = DialRefused(call_id=event.call_id, attempt=1, is_permanent=False, reason=reason)
    assert await dial_events(calls, event) == [DialClaimed.of(event.call, 1), refused]


async def test_replicas_with_the_same_order_send_one_request(
    telephony: Twilio,
    prepared: PreparedClips,
    start_call: StartCall,
    bus_client: Client,
    simulators: Simulators,
    calls: EventLog,
) -> None:
    event = await start_call()
    replicas = [Dialing(EventLog(bus_client, CALLS.name, source="voice"), telephony, prepared) for _ in range(8)]
    results = await asyncio.gather(
        *(replica.dial(event, cause_of(event)) for replica in replicas), return_exceptions=True
    )
    assert all(result is None or isinstance(result, AttemptInProgress) for result in results)
    await asyncio.gather(*(replica.dial(event, cause_of(event)) for replica in replicas))
    assert len(simulators.ledger.calls) == 1
    assert [type(one) for one in await dial_events(calls, event)] == [DialClaimed, DialPlaced]


async def test_after_a_crash_between_claim_and_request_the_outcome_is_unknown_and_nothing_is_dialled(
    telephony: Twilio, prepared: PreparedClips, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    event = await start_call()
    await calls.append(DialClaimed(call_id=event.call_id, attempt=1))
    after = Dialing(calls, telephony, prepared, max_pending_seconds=0)
    await after.dial(event, cause_of(event))
    await after.dial(event, cause_of(event))
    assert simulators.ledger.calls == []
    assert [one.event_name for one in await dial_events(calls, event)] == ["dial.claimed", "dial.unknown"]


async def test_a_recent_claim_of_another_process_is_awaited(
    dialing: Dialing, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    event = await start_call()
    await calls.append(DialClaimed(call_id=event.call_id, attempt=1))
    with pytest.raises(AttemptInProgress):
        await dialing.dial(event, cause_of(event))
    assert simulators.ledger.calls == []
    assert [type(one) for one in await dial_events(calls, event)] == [DialClaimed]


class ConflictingLog(EventLog):
    """Stores a claim and raises Conflict, as if a second append of it conflicted with the first."""

    async def append(
        self,
        event: Event,
        *,
        cause: Envelope | None = None,
        guard: Guard | None = None,
        event_id: str | None = None,
        ttl_seconds: int | None = None,
        person: str | None = None,
    ) -> StoredEvent:
        stored = await super().append(
            event, cause=cause, guard=guard, event_id=event_id, ttl_seconds=ttl_seconds, person=person
        )
        if isinstance(event, DialClaimed):
            raise Conflict(event.subject)
        return stored


async def test_a_claim_whose_acknowledgement_was_lost_still_counts(
    telephony: Twilio, prepared: PreparedClips, start_call: StartCall, bus_client: Client, simulators: Simulators
) -> None:
    event = await start_call()
    await Dialing(ConflictingLog(bus_client, CALLS.name, source="voice"), telephony, prepared).dial(
        event, cause_of(event)
    )
    assert len(simulators.ledger.calls) == 1


@pytest.mark.parametrize(
    ("status", "code", "is_permanent"),
    [
        (400, 21211, True),  # the number
        (403, 21216, True),  # blocked
        (400, 21215, False),  # not allowed to call this country, for now
        (401, 20003, False),  # the account, for now
        (400, 10004, False),  # for now
    ],
)
async def test_a_refusal_is_recorded_with_its_code_and_whether_it_is_permanent(
    status: int,
    code: int,
    is_permanent: bool,
    dialing: Dialing,
    start_call: StartCall,
    calls: EventLog,
    simulators: Simulators,
) -> None:
    body = {"code": code, "message": "no", "more_info": "", "status": status}
    simulators.faults.rules = [FaultRule(target="twilio", method="POST", kind="status", status=status, body=body)]
    event = await start_call()
    await dialing.dial(event, cause_of(event))
    [_, refused] = await dial_events(calls, event)
    assert isinstance(refused, DialRefused)
    assert (refused.is_permanent, refused.code) == (is_permanent, code)
    assert "+1212" not in refused.reason


@pytest.mark.parametrize(
    "rule",
    [
        FaultRule(target="twilio", method="POST", kind="status", status=500),
        FaultRule(target="twilio", method="POST", kind="status", status=503),
        FaultRule(target="twilio", method="POST", kind="reset"),
    ],
    ids=["500", "503", "reset"],
)
async def test_a_request_without_a_clear_answer_is_unknown_and_not_repeated(
    rule: FaultRule, dialing: Dialing, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    # One fault only: if the request were sent again, it would be dialled.
    simulators.faults.rules = [rule.model_copy(update={"remaining": 1})]
    event = await start_call()
    await dialing.dial(event, cause_of(event))
    assert [one.event_name for one in await dial_events(calls, event)] == ["dial.claimed", "dial.unknown"]
    assert simulators.ledger.calls == []


async def test_a_late_answer_is_unknown(
    dialing: Dialing, start_call: StartCall, calls: EventLog, simulators: Simulators, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twilio, "DEADLINE_SECONDS", 0.1)
    simulators.faults.rules = [FaultRule(target="twilio", method="POST", kind="latency", seconds=1, remaining=1)]
    event = await start_call()
    await dialing.dial(event, cause_of(event))
    assert [one.event_name for one in await dial_events(calls, event)] == ["dial.claimed", "dial.unknown"]


async def test_an_unreachable_provider_is_a_refusal(
    prepared: PreparedClips, start_call: StartCall, calls: EventLog, unused_tcp_port: int
) -> None:
    event = await start_call()
    nowhere = f"http://127.0.0.1:{unused_tcp_port}"
    async with twilio.connect(
        account_sid="AC" + "0" * 32,
        auth_token="t",
        base_url=nowhere,
        number="+12125550100",
        callbacks=nowhere,
        provider=provider("nowhere", max_failures=1),
    ) as telephony:
        await Dialing(calls, telephony, prepared).dial(event, cause_of(event))
        [_, refused] = await dial_events(calls, event)
        assert isinstance(refused, DialRefused)
        assert not refused.is_permanent
        later = await start_call()
        await Dialing(calls, telephony, prepared).dial(later, cause_of(later))
    [_, not_sent] = await dial_events(calls, later)
    assert isinstance(not_sent, DialRefused)
    assert (not_sent.is_permanent, not_sent.reason) == (False, "not sent: breaker_open")


async def test_a_request_is_repeated_after_a_429(
    dialing: Dialing, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    simulators.faults.rules = [
        FaultRule(target="twilio", method="POST", kind="status", status=429, retry_after=0.1, remaining=1)
    ]
    event = await start_call()
    await dialing.dial(event, cause_of(event))
    assert len(simulators.ledger.calls) == 1
    assert [type(one) for one in await dial_events(calls, event)] == [DialClaimed, DialPlaced]


@pytest.mark.parametrize(
    ("request_window_seconds", "retry_after"), [(0.6, None), (20, 3600)], ids=["a short window", "a long wait"]
)
async def test_429_beyond_the_request_window_is_a_temporary_refusal(
    request_window_seconds: float,
    retry_after: float | None,
    telephony: Twilio,
    prepared: PreparedClips,
    start_call: StartCall,
    calls: EventLog,
    simulators: Simulators,
) -> None:
    simulators.faults.rules = [
        FaultRule(target="twilio", method="POST", kind="status", status=429, retry_after=retry_after)
    ]
    event = await start_call()
    await Dialing(calls, telephony, prepared, request_window_seconds=request_window_seconds).dial(
        event, cause_of(event)
    )
    [_, refused] = await dial_events(calls, event)
    assert isinstance(refused, DialRefused)
    assert (refused.is_permanent, refused.code) == (False, 20429)


@pytest.mark.parametrize(
    "now",
    [{"status": CallStatus.CANCELED}, {"status": CallStatus.PENDING}, {"attempt": 2}],
    ids=["canceled", "pending again", "the next attempt"],
)
async def test_an_order_for_a_past_attempt_dials_nothing(
    now: dict[str, object], dialing: Dialing, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    event = await start_call()
    await start_call(call_id=event.call_id, **now)
    await dialing.dial(event, cause_of(event), is_redelivered=True)
    assert simulators.ledger.calls == []
    assert await dial_events(calls, event) == []


async def test_a_call_that_was_canceled_before_its_dial_is_called_off(
    dialing: Dialing, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    event = await start_call(hangup_reason=HangupReason.CANCELED)
    await dialing.dial(event, cause_of(event))
    [_, refused] = await dial_events(calls, event)
    assert isinstance(refused, DialRefused)
    assert simulators.ledger.calls == []


async def test_the_next_attempt_is_claimed_and_dialled_again(
    dialing: Dialing, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    first = await start_call()
    await dialing.dial(first, cause_of(first))
    second = await start_call(call_id=first.call_id, attempt=2)
    await dialing.dial(second, cause_of(second))
    await dialing.dial(first, cause_of(first))
    assert len(simulators.ledger.calls) == 2
