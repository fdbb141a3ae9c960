"""Dialling with an event log in memory: which process may send the request, and the recorded outcome."""

from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from tests.builders.calls import a_call
from tests.builders.events import an_envelope, status_changed
from tests.fakes.event_log import FakeEventLog
from tests.fakes.voice import FakeClips, FakeTelephony

from chassis.event_log import EventLog, StoredEvent
from contracts import (
    CallStatus,
    DialClaimed,
    DialLookedUp,
    DialPlaced,
    DialRefused,
    DialUnknown,
    Envelope,
    Event,
    HangupReason,
)
from contracts.filters import call_state_filter
from telephony.dial_failures import DialFailed, FailureClass
from voice.application.speech.prepared_clips import PreparedClips
from voice.application.speech.synthesis import SpeechSynthesis
from voice.application.telephony.attempts import MAX_PENDING_SECONDS, AttemptInProgress, record_undialled
from voice.application.telephony.dialing import Dialing

ORDER = status_changed(a_call(CallStatus.DIALING))
CLAIM = DialClaimed.of(ORDER.call, 1)


def dialing(log: FakeEventLog, telephony: FakeTelephony) -> Dialing:
    calls = cast("EventLog", log)
    return Dialing(calls, telephony, PreparedClips(SpeechSynthesis([], FakeClips(), calls)))


def dial_events(log: FakeEventLog) -> list[Event]:
    return [event for event in log.events() if event.event_name.startswith("dial.")]


def store_claim(log: FakeEventLog, *, age_seconds: float) -> None:
    time = log.now() - timedelta(seconds=age_seconds)
    envelope = Envelope.of(id="claim-of-another", source="voice", time=time)
    log.stored.append(StoredEvent(CLAIM, envelope, len(log.stored) + 1))


async def test_an_order_is_claimed_and_then_sent_once() -> None:
    log, telephony = FakeEventLog.of(ORDER), FakeTelephony()
    for _ in range(2):
        await dialing(log, telephony).dial(ORDER, an_envelope())
    assert len(telephony.orders) == 1
    placed = DialPlaced(call_id=ORDER.call_id, attempt=1, provider="fake", provider_call_id="call-1")
    assert dial_events(log) == [CLAIM, placed]


async def test_the_first_delivery_of_a_first_attempt_reads_the_call_once() -> None:
    log, telephony = FakeEventLog.of(ORDER), FakeTelephony()
    await dialing(log, telephony).dial(ORDER, an_envelope())
    assert len(telephony.orders) == 1
    assert log.filters_read == [call_state_filter(ORDER.call_id)]


async def test_a_redelivered_order_of_a_past_attempt_claims_nothing() -> None:
    log, telephony = FakeEventLog.of(ORDER, status_changed(a_call(CallStatus.PENDING))), FakeTelephony()
    await dialing(log, telephony).dial(ORDER, an_envelope(), is_redelivered=True)
    assert telephony.orders == []
    assert dial_events(log) == []


async def test_an_order_of_a_past_attempt_that_was_not_claimed_is_called_off() -> None:
    log, telephony = FakeEventLog.of(ORDER, status_changed(a_call(CallStatus.FAILED))), FakeTelephony()
    await dialing(log, telephony).dial(ORDER, an_envelope())
    assert telephony.orders == []
    assert [type(event) for event in dial_events(log)] == [DialClaimed, DialRefused]


async def test_a_process_whose_claim_conflicts_sends_nothing() -> None:
    log, telephony = FakeEventLog.of(ORDER), FakeTelephony()

    def claim_first(event: Event) -> None:
        if isinstance(event, DialClaimed) and not log.events(DialClaimed):
            store_claim(log, age_seconds=0)

    log.before_append = claim_first
    with pytest.raises(AttemptInProgress):
        await dialing(log, telephony).dial(ORDER, an_envelope())
    assert telephony.orders == []
    assert dial_events(log) == [CLAIM]


async def test_the_age_of_a_claim_is_measured_by_the_clock_of_the_log() -> None:
    log, telephony = FakeEventLog.of(ORDER), FakeTelephony()
    log.now = lambda: datetime.now(UTC) - timedelta(hours=1)  # this machine is ahead of the server
    store_claim(log, age_seconds=0)
    with pytest.raises(AttemptInProgress):
        await dialing(log, telephony).dial(ORDER, an_envelope(), is_redelivered=True)
    assert dial_events(log) == [CLAIM]


async def test_an_old_claim_without_an_outcome_is_unknown_and_never_sent() -> None:
    log, telephony = FakeEventLog.of(ORDER), FakeTelephony()
    store_claim(log, age_seconds=MAX_PENDING_SECONDS + 1)
    for _ in range(2):
        await dialing(log, telephony).dial(ORDER, an_envelope())
    assert telephony.orders == []
    assert [event.event_name for event in dial_events(log)] == ["dial.claimed", "dial.unknown"]


@pytest.mark.parametrize(
    "outcome",
    [
        DialPlaced(call_id=ORDER.call_id, attempt=1, provider_call_id="CA1"),
        DialRefused(call_id=ORDER.call_id, attempt=1, is_permanent=False, reason="busy"),
        DialUnknown(call_id=ORDER.call_id, attempt=1, reason="no answer"),
        DialLookedUp(call_id=ORDER.call_id, attempt=1),
    ],
    ids=lambda outcome: outcome.event_name,
)
async def test_an_attempt_with_an_outcome_is_left_unchanged(outcome: Event) -> None:
    log, telephony = FakeEventLog.of(ORDER), FakeTelephony()
    store_claim(log, age_seconds=MAX_PENDING_SECONDS + 1)
    log.store(outcome)
    await dialing(log, telephony).dial(ORDER, an_envelope())
    assert telephony.orders == []
    assert dial_events(log) == [CLAIM, outcome]


@pytest.mark.parametrize("failure", [failure for failure in FailureClass if failure is not FailureClass.RATE_LIMITED])
async def test_a_failed_request_is_not_repeated(failure: FailureClass) -> None:
    log, telephony = FakeEventLog.of(ORDER), FakeTelephony(failures=[DialFailed(failure, "reason")])
    await dialing(log, telephony).dial(ORDER, an_envelope())
    assert len(telephony.orders) == 1
    outcome = dial_events(log)[-1]
    if failure is FailureClass.UNKNOWN:
        assert isinstance(outcome, DialUnknown)
    else:
        assert isinstance(outcome, DialRefused)
        assert outcome.is_permanent is failure.is_permanent


async def test_a_call_that_is_canceled_between_order_and_claim_is_not_dialled() -> None:
    log, telephony = FakeEventLog.of(ORDER), FakeTelephony()
    canceled = a_call(CallStatus.DIALING, hangup_reason=HangupReason.CANCELED)

    def cancel(event: Event) -> None:
        if isinstance(event, DialClaimed):
            log.store(status_changed(canceled))

    log.before_append = cancel
    await dialing(log, telephony).dial(ORDER, an_envelope())
    assert telephony.orders == []
    assert [type(event) for event in dial_events(log)] == [DialClaimed, DialRefused]


async def test_an_attempt_that_was_recorded_as_undialled_is_never_sent() -> None:
    log, telephony = FakeEventLog.of(ORDER), FakeTelephony()
    await record_undialled(cast("EventLog", log), ORDER.call, an_envelope(), "not dialled in time")
    await dialing(log, telephony).dial(ORDER, an_envelope())
    assert telephony.orders == []
    assert [type(event) for event in dial_events(log)] == [DialClaimed, DialRefused]
