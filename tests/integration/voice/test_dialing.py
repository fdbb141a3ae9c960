"""Dialling: at most one request an attempt, whatever happens around it."""

import asyncio

import pytest
from nats.aio.client import Client
from tests.fakes.providers import provider
from tests.integration.voice.conftest import StartCall

from chassis.event_log import Conflict, EventLog, Guard, StoredEvent
from contracts import (
    CallStatus,
    CallStatusChanged,
    DialClaimed,
    DialPlaced,
    DialRefused,
    DialUnknown,
    Envelope,
    Event,
    HangupReason,
)
from contracts.streams import CALLS
from simulators.faults import FaultRule
from simulators.server import Simulators
from voice.adapters import twilio
from voice.adapters.clips import ObjectStoreClips
from voice.adapters.elevenlabs import ElevenLabs
from voice.adapters.twilio import Twilio
from voice.application.speech.greetings import Greetings
from voice.application.speech.synthesis import SpeechSynthesis
from voice.application.telephony.attempts import StillDialing
from voice.application.telephony.dialing import Dialing


def cause_of(event: CallStatusChanged) -> Envelope:
    return Envelope.of(event, id=f"cause/{event.call_id}", source="test", time=event.occurred_at)


async def dial_facts(calls: EventLog, event: CallStatusChanged) -> list[Event]:
    return [recorded.event for recorded in await calls.read((f"dial.*.{event.call_id}",))]


@pytest.fixture
def greetings(calls: EventLog, speech: ElevenLabs, clips: ObjectStoreClips) -> Greetings:
    return Greetings(calls, SpeechSynthesis([speech], clips, calls))


@pytest.fixture
def dialing(calls: EventLog, telephony: Twilio, greetings: Greetings) -> Dialing:
    return Dialing(calls, telephony, greetings)


async def test_a_call_is_dialled_as_it_was_asked_for(
    dialing: Dialing, start_call: StartCall, calls: EventLog, simulators: Simulators, edge_url: str
) -> None:
    event = await start_call()
    await dialing.dial(event, cause_of(event))
    [dialled] = simulators.ledger.calls
    assert (dialled.to, dialled.from_) == ("+12125550123", "+12125550100")
    assert dialled.url is not None
    assert dialled.url.startswith(f"{edge_url}/twilio/voice/{event.call_id}/1")
    placed = DialPlaced(call_id=event.call_id, attempt=1, provider_call_id=dialled.sid)
    assert await dial_facts(calls, event) == [DialClaimed(call_id=event.call_id, attempt=1), placed]


async def test_two_replicas_with_the_same_message_send_one_request(
    telephony: Twilio,
    greetings: Greetings,
    start_call: StartCall,
    bus_client: Client,
    simulators: Simulators,
    calls: EventLog,
) -> None:
    event = await start_call()
    replicas = [Dialing(EventLog(bus_client, CALLS.name, source="voice"), telephony, greetings) for _ in range(8)]
    results = await asyncio.gather(
        *(replica.dial(event, cause_of(event)) for replica in replicas), return_exceptions=True
    )
    assert all(result is None or isinstance(result, StillDialing) for result in results)
    await asyncio.gather(*(replica.dial(event, cause_of(event)) for replica in replicas))
    assert len(simulators.ledger.calls) == 1
    assert [type(fact) for fact in await dial_facts(calls, event)] == [DialClaimed, DialPlaced]


async def test_a_crash_after_the_claim_leaves_the_outcome_unknown_and_nothing_is_dialled(
    telephony: Twilio, greetings: Greetings, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    event = await start_call()
    await calls.append(DialClaimed(call_id=event.call_id, attempt=1))
    after = Dialing(calls, telephony, greetings, patience=0)
    await after.dial(event, cause_of(event))
    await after.dial(event, cause_of(event))
    assert simulators.ledger.calls == []
    facts = await dial_facts(calls, event)
    assert [type(fact) for fact in facts] == [DialClaimed, DialUnknown]


async def test_a_claim_of_a_moment_ago_may_be_at_work_and_is_left_to_it(
    dialing: Dialing, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    event = await start_call()
    await calls.append(DialClaimed(call_id=event.call_id, attempt=1))
    with pytest.raises(StillDialing):
        await dialing.dial(event, cause_of(event))
    assert simulators.ledger.calls == []
    assert [type(fact) for fact in await dial_facts(calls, event)] == [DialClaimed]


class ForgetfulLog(EventLog):
    """Stores a claim, loses the acknowledgement, sends it again and is told that it lost the race to itself."""

    async def append(
        self,
        event: Event,
        *,
        cause: Envelope | None = None,
        guard: Guard | None = None,
        event_id: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> StoredEvent:
        stored = await super().append(event, cause=cause, guard=guard, event_id=event_id, headers=headers)
        if isinstance(event, DialClaimed):
            raise Conflict(event.subject)
        return stored


async def test_a_claim_whose_acknowledgement_was_lost_is_still_ours(
    telephony: Twilio, greetings: Greetings, start_call: StartCall, bus_client: Client, simulators: Simulators
) -> None:
    event = await start_call()
    await Dialing(ForgetfulLog(bus_client, CALLS.name, source="voice"), telephony, greetings).dial(
        event, cause_of(event)
    )
    assert len(simulators.ledger.calls) == 1


@pytest.mark.parametrize(
    ("status", "code", "permanent"),
    [
        (400, 21211, True),  # the number
        (403, 21216, True),  # blocked
        (400, 21215, False),  # not allowed to call this country, for now
        (401, 20003, False),  # the account, for now
        (400, 10004, False),  # for now
    ],
)
async def test_a_refusal_is_said_with_its_code_and_whether_it_is_final(
    status: int,
    code: int,
    permanent: bool,
    dialing: Dialing,
    start_call: StartCall,
    calls: EventLog,
    simulators: Simulators,
) -> None:
    body = {"code": code, "message": "no", "more_info": "", "status": status}
    simulators.faults.rules = [FaultRule(target="twilio", method="POST", kind="status", status=status, body=body)]
    event = await start_call()
    await dialing.dial(event, cause_of(event))
    [_, refused] = await dial_facts(calls, event)
    assert isinstance(refused, DialRefused)
    assert (refused.is_permanent, refused.code) == (permanent, code)
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
async def test_a_request_without_a_clear_answer_is_unknown_and_is_not_repeated(
    rule: FaultRule, dialing: Dialing, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    # One fault only: if the request were sent again, it would be dialled.
    simulators.faults.rules = [rule.model_copy(update={"remaining": 1})]
    event = await start_call()
    await dialing.dial(event, cause_of(event))
    assert [type(fact) for fact in await dial_facts(calls, event)] == [DialClaimed, DialUnknown]
    assert simulators.ledger.calls == []


async def test_an_answer_that_does_not_come_in_time_is_unknown(
    dialing: Dialing, start_call: StartCall, calls: EventLog, simulators: Simulators, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twilio, "DEADLINE_SECONDS", 0.1)
    simulators.faults.rules = [FaultRule(target="twilio", method="POST", kind="latency", seconds=1, remaining=1)]
    event = await start_call()
    await dialing.dial(event, cause_of(event))
    assert [type(fact) for fact in await dial_facts(calls, event)] == [DialClaimed, DialUnknown]


async def test_a_provider_that_cannot_be_reached_has_not_dialled(
    greetings: Greetings, start_call: StartCall, calls: EventLog, unused_tcp_port: int
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
        await Dialing(calls, telephony, greetings).dial(event, cause_of(event))
        [_, refused] = await dial_facts(calls, event)
        assert isinstance(refused, DialRefused)
        assert not refused.is_permanent
        later = await start_call()
        await Dialing(calls, telephony, greetings).dial(later, cause_of(later))
    [_, not_sent] = await dial_facts(calls, later)
    assert isinstance(not_sent, DialRefused)
    assert (not_sent.is_permanent, not_sent.reason) == (False, "not sent: breaker_open")


async def test_too_many_requests_is_repeated_within_the_claim(
    dialing: Dialing, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    simulators.faults.rules = [
        FaultRule(target="twilio", method="POST", kind="status", status=429, retry_after=0.1, remaining=1)
    ]
    event = await start_call()
    await dialing.dial(event, cause_of(event))
    assert len(simulators.ledger.calls) == 1
    assert [type(fact) for fact in await dial_facts(calls, event)] == [DialClaimed, DialPlaced]


@pytest.mark.parametrize(("budget", "retry_after"), [(0.6, None), (20, 3600)], ids=["no time", "a long wait"])
async def test_too_many_requests_for_too_long_is_a_refusal_for_now(
    budget: float,
    retry_after: float | None,
    telephony: Twilio,
    greetings: Greetings,
    start_call: StartCall,
    calls: EventLog,
    simulators: Simulators,
) -> None:
    simulators.faults.rules = [
        FaultRule(target="twilio", method="POST", kind="status", status=429, retry_after=retry_after)
    ]
    event = await start_call()
    await Dialing(calls, telephony, greetings, budget=budget).dial(event, cause_of(event))
    [_, refused] = await dial_facts(calls, event)
    assert isinstance(refused, DialRefused)
    assert (refused.is_permanent, refused.code) == (False, 20429)


@pytest.mark.parametrize(
    "now",
    [{"status": CallStatus.CANCELED}, {"status": CallStatus.PENDING}, {"attempt": 2}],
    ids=["canceled", "pending again", "the next attempt"],
)
async def test_a_message_about_an_attempt_that_is_past_dials_nothing(
    now: dict[str, object], dialing: Dialing, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    event = await start_call()
    await start_call(call_id=event.call_id, **now)
    await dialing.dial(event, cause_of(event))
    assert simulators.ledger.calls == []
    assert await dial_facts(calls, event) == []


async def test_a_call_that_was_canceled_before_it_was_dialled_is_called_off(
    dialing: Dialing, start_call: StartCall, calls: EventLog, simulators: Simulators
) -> None:
    event = await start_call(hangup_reason=HangupReason.CANCELED)
    await dialing.dial(event, cause_of(event))
    [_, refused] = await dial_facts(calls, event)
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
