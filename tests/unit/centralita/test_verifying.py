"""Deciding again: what is equal, what is named as drift, and what cannot be judged."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from call_orchestrator.domain import machine
from centralita.replay.messages import Message
from centralita.replay.redeciding import decided, policy_of
from centralita.replay.scope import Scope
from centralita.replay.sources import Record
from centralita.replay.verifying import Verification, verify
from contracts import (
    AdmissionGranted,
    Call,
    CallDecision,
    CallRequested,
    DialRefused,
    Envelope,
    Event,
    TelephonyStatus,
    TelephonyStatusReported,
    TimerDue,
    call_id_of,
)
from contracts.examples import EXAMPLES
from contracts.streams import CALLS, REQUESTS

BEGUN = datetime(2026, 3, 2, 15, tzinfo=UTC)
REQUEST = EXAMPLES["call.requested"]
assert isinstance(REQUEST, CallRequested)
CALL_ID: UUID = call_id_of(REQUEST.request_id or "")
DAY = timedelta(days=1)


class Journal:
    """A log that is written by the rules of today, a second between two messages."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.call: Call | None = None

    def add(self, event: Event, *, cause: Envelope | None = None, stream: str = CALLS.name) -> Message:
        number = len(self.messages) + 1
        time = BEGUN + timedelta(seconds=number)
        envelope = Envelope.of(event, id=f"id-{number}", source="test", time=time, cause=cause)
        body = event.model_dump_json().encode()
        self.messages.append(Message(stream, number, time, event.subject, envelope.headers(), body))
        return self.messages[-1]

    async def tell(self, event: Event, *, stream: str = CALLS.name) -> CallDecision | None:
        """An input, and what follows from it now."""
        message = self.add(event, stream=stream)
        recorded = message.recorded()
        follows = await decided(self.call, recorded, policy_of(self.call, DAY), message.time)
        if follows:
            self.add(follows, cause=recorded.envelope)
            self.call = follows.call
        return follows

    def record(self, **changes: object) -> Record:
        handled = {CALLS.name: 10**6, REQUESTS.name: 10**6}
        return replace(Record(Scope(), self.messages, handled, ()), **changes)  # type: ignore[arg-type]


def reported(status: TelephonyStatus, attempt: int = 1) -> TelephonyStatusReported:
    return TelephonyStatusReported(call_id=CALL_ID, attempt=attempt, provider_call_id="CA1", status=status)


@pytest.fixture
async def journal() -> Journal:
    """A call that was dialled, rang, was reported twice, and was busy, so that it waits for its second attempt."""
    assert isinstance(REQUEST, CallRequested)
    journal = Journal()
    await journal.tell(REQUEST, stream=REQUESTS.name)
    assert journal.call
    assert journal.call.deadline_at
    await journal.tell(TimerDue(call_id=CALL_ID, deadline_at=journal.call.deadline_at))
    place = {
        "call_id": CALL_ID,
        "campaign_id": REQUEST.campaign_id,
        "attempt": 1,
        "due_sequence": 1,
        "replay_from_sequence": 1,
    }
    await journal.tell(AdmissionGranted.model_validate(place))
    await journal.tell(reported(TelephonyStatus.RINGING))
    assert await journal.tell(reported(TelephonyStatus.RINGING)) is None
    assert await journal.tell(reported(TelephonyStatus.BUSY))
    return journal


def with_body(message: Message, old: bytes, new: bytes) -> Message:
    assert old in message.body
    return replace(message, body=message.body.replace(old, new))


async def test_decisions_by_the_rules_of_today_are_what_was_recorded(journal: Journal) -> None:
    assert await verify(journal.record()) == Verification(1, 5, 1, 0, ())


async def test_a_changed_decision_is_named_with_both_versions(journal: Journal) -> None:
    busy = journal.messages[-1]
    journal.messages[-1] = with_body(busy, b'"reason":"busy"', b'"reason":"engaged"')
    found = await verify(journal.record())
    (drift,) = found.drifts
    assert (drift.call_id, drift.stream, drift.sequence) == (str(CALL_ID), CALLS.name, busy.sequence)
    assert drift.differences == (("reason", "engaged", "busy"), ("call.reason", "engaged", "busy"))


async def test_a_changed_rule_is_found_where_it_first_decided(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "ANSWER_MARGIN", timedelta(seconds=1))
    found = await verify(journal.record())
    first = found.drifts[0]
    assert first.reason == "from admission.granted call.status_changed was decided, now another"
    assert [name for name, _, _ in first.differences] == ["call.deadline_at"]


async def test_a_decision_whose_cause_is_missing_is_drift_in_a_whole_log(journal: Journal) -> None:
    whole = [message for message in journal.messages if message.stream == CALLS.name]
    (drift,) = (await verify(journal.record(messages=whole))).drifts
    assert drift.reason == "the message id-1 that caused it is not in the record"


async def test_what_a_span_of_time_does_not_hold_whole_is_not_judged(journal: Journal) -> None:
    part = [message for message in journal.messages if message.stream == CALLS.name]
    found = await verify(journal.record(messages=part, scope=Scope(since=BEGUN)))
    assert found.drifts == ()
    assert (found.decisions, found.without_effect, found.unjudged) == (4, 0, 2)


async def test_how_long_a_refused_call_may_still_be_dialled_stands_in_the_log(journal: Journal) -> None:
    assert journal.call
    place = {
        "call_id": CALL_ID,
        "campaign_id": journal.call.campaign_id,
        "attempt": 2,
        "due_sequence": 1,
        "replay_from_sequence": 1,
    }
    assert journal.call.deadline_at
    await journal.tell(TimerDue(call_id=CALL_ID, deadline_at=journal.call.deadline_at))
    await journal.tell(AdmissionGranted.model_validate(place))
    refused = DialRefused(call_id=CALL_ID, attempt=2, is_permanent=False, reason="HTTP 401")
    assert await journal.tell(refused)
    assert journal.call.undialled_attempts == 1
    assert await verify(journal.record(), dial_within=timedelta(seconds=1)) == Verification(1, 8, 1, 0, ())


async def test_an_input_that_came_to_nothing_and_would_not_now_is_a_doubt(journal: Journal) -> None:
    rang = next(place for place, one in enumerate(journal.messages) if one.subject.endswith(".ringing"))
    del journal.messages[rang:]
    found = await verify(journal.record())
    (doubt,) = found.doubts
    assert found.drifts == ()
    assert doubt.reason == "from telephony.status_reported nothing was decided, now call.status_changed (ringing)"


async def test_an_input_that_nobody_has_acknowledged_yet_is_not_judged(journal: Journal) -> None:
    journal.add(reported(TelephonyStatus.IN_PROGRESS))
    waiting = journal.messages[-1]
    found = await verify(journal.record(handled={CALLS.name: waiting.sequence - 1, REQUESTS.name: 1}))
    assert (found.doubts, found.unjudged) == ((), 1)


async def test_an_input_that_was_given_up_on_is_not_judged(journal: Journal) -> None:
    request = REQUEST.model_copy(update={"request_id": "another"})
    lost = journal.add(request, stream=REQUESTS.name)
    assert (await verify(journal.record())).doubts[0].sequence == lost.sequence
    given_up = (f"{REQUESTS.name}/{lost.sequence}",)
    assert (await verify(journal.record(given_up=given_up))).doubts == ()


async def test_a_field_that_came_into_the_contract_later_says_nothing_of_then(journal: Journal) -> None:
    busy = journal.messages[-1]
    assert b'"settlement_checks":0' in busy.body
    journal.messages[-1] = with_body(busy, b',"settlement_checks":0', b"")
    assert (await verify(journal.record())).drifts == ()


async def test_a_field_that_this_program_does_not_know_is_passed_over(journal: Journal) -> None:
    busy = journal.messages[-1]
    journal.messages[-1] = with_body(busy, b'{"call":{', b'{"added":1,"call":{"added":2,')
    assert (await verify(journal.record())).drifts == ()
