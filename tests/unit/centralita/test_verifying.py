"""Verification: equal decisions, drifts with both versions, doubts, and messages that are not judged."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from tests.builders.events import campaign_paused, campaign_resumed

from call_orchestrator.domain import machine
from call_orchestrator.domain.calling_policy import CallingPolicy
from campaign_stats.projection import project, statistics
from centralita.replay.decisions import decide_again, policy_of, terms_in
from centralita.replay.record import Record
from centralita.replay.scope import Scope
from centralita.replay.verifying import Verification, verify
from contracts import (
    AdmissionGranted,
    AnswerClassified,
    AnsweredBy,
    Call,
    CallDecision,
    CallDue,
    CallRequested,
    CallStatus,
    Campaign,
    CampaignChanged,
    CampaignFinished,
    CampaignPaused,
    CampaignStarted,
    CampaignTerms,
    DialRefused,
    Envelope,
    Event,
    MessageReported,
    OptOutKeyPressed,
    PersonRecognized,
    Purpose,
    RequestedVoicemail,
    TelephonyStatus,
    TelephonyStatusReported,
    TimerDue,
    VoicemailDelivery,
    call_id_of,
)
from contracts.dial_terms import OpenHours
from contracts.examples import EXAMPLES
from contracts.retry_policy import RequestedRetryPolicy
from contracts.streams import CALLS, MIN_BACKLOG_LIMIT, REQUESTS
from contracts.turn_taking import TurnTakingTerms
from contracts.vocabulary import ConversationMode
from records.messages import Message

STARTED_AT = datetime(2026, 3, 2, 15, tzinfo=UTC)
_EXAMPLE = EXAMPLES["call.requested"]
assert isinstance(_EXAMPLE, CallRequested)
REQUEST = _EXAMPLE.model_copy(update={"consent_at": STARTED_AT - timedelta(days=1), "company": "Acme"})
"""It meets what the shipped rules require."""
CALL_ID: UUID = call_id_of(REQUEST.request_id or "")
DAY = timedelta(days=1)
US = frozenset({"US"})
WROTE_ALL = {"ce-specversion": "1.0", "ce-subject": "x"}
WROTE_DEFAULTS = {"ce-specversion": "1.0"}
"""Headers by which the builds are recognized that wrote nulls, and those that wrote other defaults."""


class LogWriter:
    """Writes a log with the decisions of the present rules, one second between two messages."""

    def __init__(self, calling_policy: CallingPolicy | None = None) -> None:
        self.calling_policy = calling_policy
        self.messages: list[Message] = []
        self.call: Call | None = None
        self.waited = timedelta()

    async def pass_deadline(self, *, is_campaign_finished: bool = False) -> CallDecision | None:
        """Adds the timer of the call at its deadline, and the decision on it."""
        assert self.call
        assert self.call.deadline_at
        self.waited = max(self.waited, self.call.deadline_at - STARTED_AT)
        timer = TimerDue(call_id=CALL_ID, deadline_at=self.call.deadline_at)
        return await self.decide(timer, is_campaign_finished=is_campaign_finished)

    def add(self, event: Event, *, cause: Envelope | None = None, stream: str = CALLS.name) -> Message:
        number = len(self.messages) + 1
        time = STARTED_AT + self.waited + timedelta(seconds=number)
        envelope = Envelope.of(id=f"id-{number}", source="test", time=time, cause=cause)
        body = event.body()
        self.messages.append(Message(stream, number, time, event.subject, envelope.headers(), body))
        return self.messages[-1]

    async def decide(
        self,
        event: Event,
        *,
        stream: str = CALLS.name,
        is_campaign_finished: bool = False,
        late_campaign: Campaign | None = None,
    ) -> CallDecision | None:
        """Adds an input and the decision on it, if there is one, and returns the decision."""
        message = self.add(event, stream=stream)
        stored = message.stored_event()
        campaign_events = [one.stored_event().event for one in self.messages if one.subject.startswith("campaign.")]
        policy, is_finished = policy_of(self.call, DAY, US, self.calling_policy), is_campaign_finished
        decision = decide_again(
            self.call,
            stored,
            policy,
            message.time,
            campaign_events,
            is_campaign_finished=is_finished,
            late_campaign=late_campaign,
        )
        if decision:
            self.add(decision, cause=stored.envelope)
            self.call = decision.call
        return decision

    def record(self, **changes: object) -> Record:
        acknowledged = {CALLS.name: 10**6, REQUESTS.name: 10**6}
        return replace(Record(Scope(), self.messages, acknowledged, ()), **changes)  # type: ignore[arg-type]


def grant_of(campaign_id: str, *, attempt: int) -> AdmissionGranted:
    return AdmissionGranted(
        call_id=CALL_ID, campaign_id=campaign_id, attempt=attempt, due_sequence=1, replay_from_sequence=1
    )


def reported(status: TelephonyStatus, attempt: int = 1) -> TelephonyStatusReported:
    return TelephonyStatusReported(call_id=CALL_ID, attempt=attempt, provider_call_id="CA1", status=status)


@pytest.fixture
async def log() -> LogWriter:
    """A log with one call: dialled, ringing (reported twice), busy, and waiting for its second attempt."""
    log = LogWriter()
    await log.decide(REQUEST, stream=REQUESTS.name)
    grant = grant_of(REQUEST.campaign_id, attempt=1)
    await log.decide(grant)
    await log.decide(reported(TelephonyStatus.RINGING))
    assert await log.decide(reported(TelephonyStatus.RINGING)) is None
    assert await log.decide(reported(TelephonyStatus.BUSY))
    return log


def replace_in_body(message: Message, old: bytes, new: bytes) -> Message:
    assert old in message.body
    return replace(message, body=message.body.replace(old, new))


async def test_decisions_of_the_present_rules_have_no_drift(log: LogWriter) -> None:
    assert await verify(log.record()) == Verification(1, 4, 1, 0, ())


async def test_the_decisions_of_a_retry_policy_have_no_drift() -> None:
    rule = {"max_retries": 2, "delay_seconds": 90, "backoff": 2}
    policy = RequestedRetryPolicy.model_validate(dict.fromkeys(("busy", "voicemail", "hung_up_early"), rule))
    log = LogWriter()
    await log.decide(REQUEST.model_copy(update={"retry_policy": policy}), stream=REQUESTS.name)
    machine_found = AnswerClassified(call_id=CALL_ID, attempt=2, provider_call_id="CA2", answered_by=AnsweredBy.MACHINE)
    attempts: tuple[list[Event], ...] = (
        [reported(TelephonyStatus.BUSY)],
        [reported(TelephonyStatus.IN_PROGRESS, 2), machine_found, reported(TelephonyStatus.COMPLETED, 2)],
        [reported(TelephonyStatus.IN_PROGRESS, 3), reported(TelephonyStatus.COMPLETED, 3)],
    )
    for attempt, ends in enumerate(attempts, start=1):
        assert await log.decide(grant_of(REQUEST.campaign_id, attempt=attempt))
        for end in ends:
            assert await log.decide(end)
        decision = await log.pass_deadline()
        assert decision
        assert decision.call.is_queued
    assert decision
    assert decision.call.outcome_retries == {"busy": 1, "voicemail": 1, "hung_up_early": 1}
    found = await verify(log.record())
    assert (found.drifts, found.doubts) == ((), ())


async def test_the_decisions_about_a_message_to_a_machine_have_no_drift() -> None:
    log, voicemail = LogWriter(), RequestedVoicemail(message="Hello {{name}}.")
    await log.decide(REQUEST.model_copy(update={"voicemail": voicemail}), stream=REQUESTS.name)
    machine_found = AnswerClassified(call_id=CALL_ID, attempt=1, provider_call_id="CA1", answered_by=AnsweredBy.MACHINE)
    begins = MessageReported(call_id=CALL_ID, attempt=1, provider_call_id="CA1")
    happened: tuple[Event, ...] = (
        grant_of(REQUEST.campaign_id, attempt=1),
        reported(TelephonyStatus.IN_PROGRESS),
        machine_found,
        PersonRecognized(call_id=CALL_ID, attempt=1, turn=1),
        machine_found,
        begins,
        begins.model_copy(update={"is_finished": True}),
        reported(TelephonyStatus.COMPLETED),
    )
    for event in happened:
        assert await log.decide(event), event
    assert log.call
    assert (log.call.status, log.call.voicemail_delivery) == (CallStatus.VOICEMAIL, VoicemailDelivery.WHOLE)
    found = await verify(log.record())
    assert (found.drifts, found.doubts) == ((), ())
    log.messages[0] = replace_in_body(log.messages[0], b',"voicemail":{"message":"Hello {{name}}."}', b"")
    found = await verify(log.record())
    assert (found.drifts, found.doubts) == ((), ()), "the same with the message of its campaign"


async def test_a_decision_by_the_shipped_rules_of_an_older_build_is_judged_by_them() -> None:
    former = CallingPolicy.shipped().of_version("c793daee47db")
    night = STARTED_AT + timedelta(hours=12)
    log = LogWriter(former)
    requested = REQUEST.model_copy(update={"consent_at": None, "company": None, "purpose": Purpose.SALES})
    created = await log.decide(requested.model_copy(update={"scheduled_at": night}), stream=REQUESTS.name)
    assert created
    assert created.call.permission
    found = await verify(log.record())
    assert (found.decisions, found.unjudged, found.drifts, found.doubts) == (1, 0, (), ())
    log.messages[1] = replace_in_body(log.messages[1], b'"rule":"calling_hours"', b'"rule":"holiday"')
    assert len((await verify(log.record())).drifts) == 1


async def test_talk_time_is_that_of_all_attempts_also_in_statistics_and_older_logs_have_no_drift() -> None:
    """The callee hangs up early in the first attempt, and talks in the second."""
    rules = RequestedRetryPolicy.model_validate({"hung_up_early": {"max_retries": 1, "delay_seconds": 60}})
    log = LogWriter()
    await log.decide(REQUEST.model_copy(update={"retry_policy": rules}), stream=REQUESTS.name)
    for attempt, seconds in ((1, 5), (2, 40)):
        await log.decide(grant_of(REQUEST.campaign_id, attempt=attempt))
        await log.decide(reported(TelephonyStatus.IN_PROGRESS, attempt))
        over = reported(TelephonyStatus.COMPLETED, attempt).model_copy(update={"duration_seconds": seconds})
        assert await log.decide(over)
        if attempt == 1:
            assert await log.pass_deadline()
    assert log.call
    assert (log.call.status, log.call.duration_seconds) == (CallStatus.COMPLETED, 45)
    assert (await verify(log.record())).drifts == ()
    events = [(number, one.stored_event().event) for number, one in enumerate(log.messages, start=1)]
    increments = project({}, events).increments[REQUEST.campaign_id]
    answer = statistics(REQUEST.campaign_id, increments)
    assert (answer.duration_seconds, answer.average_duration_seconds) == (45, 45)

    def by_an_older_build() -> list[Message]:
        """Returns the log with the talk time of the last attempt alone, and none while another one begins."""
        found = []
        for one in log.messages:
            event = one.stored_event().event
            if isinstance(event, CallDecision) and event.call.attempt == 2:
                seconds = 40 if event.call.status is CallStatus.COMPLETED else None
                call = event.call.model_copy(update={"duration_seconds": seconds})
                found.append(replace(one, body=event.model_copy(update={"call": call}).body()))
            else:
                found.append(one)
        return found

    found = await verify(log.record(messages=by_an_older_build()))
    assert (found.drifts, found.doubts, found.unjudged) == ((), (), 0)
    log.messages[-1] = replace_in_body(log.messages[-1], b'"duration_seconds":45', b'"duration_seconds":46')
    assert len((await verify(log.record())).drifts) == 1


async def test_a_dial_of_an_older_build_that_does_not_say_until_when_it_was_permitted_is_no_drift() -> None:
    log = LogWriter(CallingPolicy.shipped())
    assert await log.decide(REQUEST, stream=REQUESTS.name)
    dialled = await log.decide(grant_of(REQUEST.campaign_id, attempt=1))
    assert dialled
    assert dialled.call.permission
    assert dialled.call.permission.until
    assert (await verify(log.record())).drifts == ()
    until = f',"until":"{dialled.call.permission.until:%Y-%m-%dT%H:%M:%SZ}"'.encode()
    recorded = log.messages[-1]
    log.messages[-1] = replace_in_body(recorded, until, b"")
    assert (await verify(log.record())).drifts == ()
    log.messages[-1] = replace_in_body(recorded, until, b',"until":"2026-03-02T15:00:00Z"')
    assert len((await verify(log.record())).drifts) == 1


@pytest.mark.parametrize(("number", "doubts"), [("+12125550188", 0), ("+12125550199", 1)])
async def test_a_request_that_a_key_pressed_in_a_call_may_have_refused_is_no_doubt(number: str, doubts: int) -> None:
    log = LogWriter()
    await log.decide(REQUEST.model_copy(update={"phone_number": "+12125550188"}), stream=REQUESTS.name)
    await log.decide(grant_of(REQUEST.campaign_id, attempt=1))
    await log.decide(reported(TelephonyStatus.IN_PROGRESS))
    assert await log.decide(OptOutKeyPressed(call_id=CALL_ID, attempt=1, key="9"))
    log.add(REQUEST.model_copy(update={"request_id": "refused", "phone_number": number}), stream=REQUESTS.name)
    found = await verify(log.record())
    assert (len(found.drifts), len(found.doubts)) == (0, doubts)


async def test_after_a_key_that_no_decision_names_no_refused_request_is_a_doubt(log: LogWriter) -> None:
    log.add(REQUEST.model_copy(update={"request_id": "refused"}), stream=REQUESTS.name)
    assert len((await verify(log.record())).doubts) == 1
    assert await log.decide(OptOutKeyPressed(call_id=CALL_ID, attempt=1, key="9")) is None
    assert (await verify(log.record())).doubts == ()


async def test_a_drift_names_both_versions_of_the_decision(log: LogWriter) -> None:
    busy = log.messages[-1]
    log.messages[-1] = replace_in_body(busy, b'"reason":"busy"', b'"reason":"engaged"')
    found = await verify(log.record())
    (drift,) = found.drifts
    assert (drift.call_id, drift.stream, drift.sequence) == (str(CALL_ID), CALLS.name, busy.sequence)
    assert drift.differences == (("reason", "engaged", "busy"), ("call.reason", "engaged", "busy"))


async def test_a_changed_rule_is_found_at_its_first_decision(log: LogWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "ANSWER_MARGIN", timedelta(seconds=1))
    found = await verify(log.record())
    first = found.drifts[0]
    assert first.reason == "admission.granted led to call.status_changed; now the decision is different"
    assert [name for name, _, _ in first.differences] == ["call.deadline_at"]


async def test_a_decision_without_its_cause_is_a_drift_in_a_whole_log(log: LogWriter) -> None:
    report = next(one for one in log.messages if one.subject.startswith("telephony."))
    log.messages.remove(report)
    (drift,) = (await verify(log.record())).drifts
    assert drift.reason == f"the message {report.identity} that caused it is not in the record"


@pytest.mark.parametrize(("number", "doubts"), [("+34612345678", 0), ("+12125550124", 1)])
async def test_a_request_without_a_call_is_a_doubt_only_if_its_country_was_called(
    log: LogWriter, number: str, doubts: int
) -> None:
    log.add(REQUEST.model_copy(update={"request_id": "another", "phone_number": number}), stream=REQUESTS.name)

    assert len((await verify(log.record())).doubts) == doubts


async def test_in_a_time_range_messages_without_their_cause_or_decision_are_not_judged(log: LogWriter) -> None:
    part = [message for message in log.messages if message.stream == CALLS.name]
    found = await verify(log.record(messages=part, scope=Scope(since=STARTED_AT)))
    assert found.drifts == ()
    assert (found.decisions, found.without_effect, found.unjudged) == (3, 0, 2)


async def test_the_time_within_which_a_refused_call_may_be_dialled_is_read_from_the_log(log: LogWriter) -> None:
    assert log.call
    grant = grant_of(log.call.campaign_id, attempt=2)
    await log.pass_deadline()
    await log.decide(grant)
    refused = DialRefused(call_id=CALL_ID, attempt=2, is_permanent=False, reason="HTTP 401")
    assert await log.decide(refused)
    assert log.call.undialled_attempts == 1
    assert await verify(log.record(), dial_within=timedelta(seconds=1)) == Verification(1, 7, 1, 0, ())


async def test_the_pauses_of_the_campaign_are_read_from_the_record(log: LogWriter) -> None:
    assert log.call
    campaign_id = log.call.campaign_id
    await log.pass_deadline()
    log.add(campaign_paused(campaign_id, at=STARTED_AT + log.waited))
    assert await log.pass_deadline() is None, "it would have expired"
    log.waited += DAY
    log.add(campaign_resumed(campaign_id, at=STARTED_AT + log.waited))
    dialled = await log.decide(grant_of(campaign_id, attempt=2))
    assert dialled
    assert dialled.call.status is CallStatus.DIALING
    assert await verify(log.record()) == Verification(1, 6, 2, 0, ())
    calls_own = [message for message in log.messages if not message.subject.startswith("campaign.")]
    alone = await verify(log.record(messages=calls_own, scope=Scope(call_id=CALL_ID)))
    assert alone == Verification(1, 5, 1, 2, ()), "without the pauses, an expiry is not judged"


async def test_an_ignored_input_that_would_lead_to_a_decision_now_is_a_doubt(log: LogWriter) -> None:
    ringing = next(index for index, one in enumerate(log.messages) if one.subject.endswith(".ringing"))
    del log.messages[ringing:]
    found = await verify(log.record())
    (doubt,) = found.doubts
    assert found.drifts == ()
    assert doubt.reason == "telephony.status_reported led to no decision; now it leads to call.status_changed (ringing)"


async def test_an_input_that_is_not_acknowledged_is_not_judged(log: LogWriter) -> None:
    log.add(reported(TelephonyStatus.IN_PROGRESS))
    waiting = log.messages[-1]
    found = await verify(log.record(acknowledged={CALLS.name: waiting.sequence - 1, REQUESTS.name: 1}))
    assert (found.doubts, found.unjudged) == ((), 1)


async def test_an_input_that_is_a_dead_letter_is_not_judged(log: LogWriter) -> None:
    request = REQUEST.model_copy(update={"request_id": "another"})
    lost = log.add(request, stream=REQUESTS.name)
    assert (await verify(log.record())).doubts[0].sequence == lost.sequence
    dead_letters = (f"{REQUESTS.name}/{lost.sequence}",)
    assert (await verify(log.record(dead_letters=dead_letters))).doubts == ()


async def test_a_field_that_the_recorded_event_does_not_have_is_not_compared(log: LogWriter) -> None:
    busy = log.messages[-1]
    changed = replace_in_body(busy, b',"reason":"busy"', b"")
    log.messages[-1] = replace(changed, headers={**busy.headers, **WROTE_ALL})
    assert (await verify(log.record())).drifts == ()


@pytest.mark.parametrize(
    ("headers", "differences"),
    [
        (WROTE_ALL, []),
        (WROTE_DEFAULTS, [("reason", None)]),
        ({}, [("reason", None), ("call.undialled_attempts", 0)]),
    ],
)
async def test_a_missing_field_has_the_value_that_the_build_left_out(
    log: LogWriter, headers: dict[str, str], differences: list[tuple[str, object]]
) -> None:
    busy_index = len(log.messages) - 1
    assert await log.pass_deadline()
    await log.decide(grant_of(REQUEST.campaign_id, attempt=2))
    assert await log.decide(DialRefused(call_id=CALL_ID, attempt=2, is_permanent=False, reason="no credit"))
    for index, field in ((busy_index, b',"reason":"busy"'), (-1, b',"undialled_attempts":1')):
        changed = replace_in_body(log.messages[index], field, b"")
        log.messages[index] = replace(changed, headers={**changed.headers, **headers})
    found = [difference[:2] for drift in (await verify(log.record())).drifts for difference in drift.differences]
    assert [one for one in found if one[0] in ("reason", "call.undialled_attempts")] == differences


async def test_an_unknown_field_of_the_recorded_event_is_not_compared(log: LogWriter) -> None:
    busy = log.messages[-1]
    log.messages[-1] = replace_in_body(busy, b'{"call":{', b'{"added":1,"call":{"added":2,')
    assert (await verify(log.record())).drifts == ()


@pytest.mark.parametrize(("waiting", "doubts"), [(MIN_BACKLOG_LIMIT - 1, 1), (MIN_BACKLOG_LIMIT, 0)])
async def test_a_request_without_a_call_is_a_doubt_unless_the_backlog_may_have_been_full(
    waiting: int, doubts: int
) -> None:
    log = LogWriter()
    for number in range(waiting):
        request = REQUEST.model_copy(update={"request_id": f"r-{number}"})
        log.call = None
        created = await log.decide(request, stream=REQUESTS.name)
        assert created
        if not created.call.is_queued:
            queued = created.call.model_copy(update={"is_queued": True})
            log.add(CallDue(call=queued, occurred_at=log.messages[-1].time))
    log.add(REQUEST.model_copy(update={"request_id": "refused"}), stream=REQUESTS.name)
    assert len((await verify(log.record())).doubts) == doubts
    for part in (Scope(call_id=call_id_of("refused")), Scope(campaign_id=REQUEST.campaign_id)):
        found = await verify(log.record(scope=part))
        assert (found.doubts, found.unjudged) == ((), 1), "the record lacks other waiting calls"


@pytest.mark.parametrize(
    ("terms", "is_finished", "doubts"),
    [(CampaignTerms(), False, 1), (CampaignTerms(), True, 0), (CampaignTerms(max_attempts=1), False, 0)],
)
async def test_a_request_without_a_call_is_a_doubt_unless_its_campaign_may_have_refused_it(
    terms: CampaignTerms, is_finished: bool, doubts: int
) -> None:
    log = LogWriter()
    assert await log.decide(REQUEST, stream=REQUESTS.name)
    running = Campaign(campaign_id=REQUEST.campaign_id).created(STARTED_AT, terms).started(STARTED_AT)
    log.add(CampaignStarted(campaign=running, occurred_at=STARTED_AT))
    if is_finished:
        log.add(CampaignFinished(campaign=running.finished(STARTED_AT), occurred_at=STARTED_AT))
    for scheduled_at in (None, STARTED_AT + DAY):
        refused = REQUEST.model_copy(update={"request_id": "refused", "scheduled_at": scheduled_at})
        log.add(refused, stream=REQUESTS.name)
        assert len((await verify(log.record())).doubts) == doubts
        log.messages.remove(log.messages[-1])


@pytest.mark.parametrize("knows_finish", [False, True])
async def test_a_decision_after_the_finish_of_its_campaign_may_be_that_of_a_replica_that_did_not_know_it(
    log: LogWriter, knows_finish: bool
) -> None:
    assert log.call
    running = Campaign(campaign_id=log.call.campaign_id).created(STARTED_AT, CampaignTerms()).started(STARTED_AT)
    finished = CampaignFinished(campaign=running.finished(STARTED_AT), occurred_at=STARTED_AT)
    log.add(finished)
    decided = await log.pass_deadline(is_campaign_finished=knows_finish)
    assert decided
    assert decided.call.status is (CallStatus.EXPIRED if knows_finish else CallStatus.PENDING)
    assert (await verify(log.record())).drifts == ()
    log.messages = [one for one in log.messages if not one.subject.startswith("campaign.")]
    assert len((await verify(log.record())).drifts) == knows_finish


@pytest.mark.parametrize("state", ["paused", "finished", "with other hours"])
@pytest.mark.parametrize("is_late", [False, True])
async def test_a_grant_may_be_decided_on_its_campaign_as_it_was_later(state: str, is_late: bool) -> None:
    log = LogWriter(CallingPolicy.shipped())
    await log.decide(REQUEST, stream=REQUESTS.name)
    campaign_id = REQUEST.campaign_id
    running = Campaign(campaign_id=campaign_id).created(STARTED_AT, CampaignTerms()).started(STARTED_AT)
    log.add(CampaignStarted(campaign=running, occurred_at=STARTED_AT))
    hours = OpenHours(days=("sun",), opens_at="09:00", closes_at="10:00")
    events = {
        "paused": CampaignPaused(campaign=running.paused(STARTED_AT, None), occurred_at=STARTED_AT),
        "finished": CampaignFinished(campaign=running.finished(STARTED_AT), occurred_at=STARTED_AT),
        "with other hours": CampaignChanged(
            campaign=running.changed(CampaignTerms(weekly_hours=(hours,))), occurred_at=STARTED_AT
        ),
    }
    closing = events[state]
    log.add(closing)
    late_campaign = closing.campaign if is_late else None
    decided = await log.decide(grant_of(campaign_id, attempt=1), late_campaign=late_campaign)
    assert decided
    late = {"paused": "call.due", "finished": "call.status_changed", "with other hours": "call.put_off"}
    assert decided.event_name == (late[state] if is_late else "call.status_changed")
    assert decided.call.status.is_live is not is_late
    assert (await verify(log.record())).drifts == ()
    log.messages = [one for one in log.messages if not one.subject.startswith(closing.event_name)]
    assert len((await verify(log.record())).drifts) == is_late, "no state of the campaign leads to this decision"
    assert (await verify(log.record(scope=Scope(call_id=CALL_ID)))).drifts == (), "one call has no campaigns"


def test_a_call_carries_what_it_took_from_its_campaign() -> None:
    """A term that a call has, and that verification leaves out, is a drift of each call of such a campaign."""
    created = EXAMPLES["call.created"]
    assert isinstance(created, CallDecision)
    turn_taking = TurnTakingTerms(silence_seconds=30)
    call = created.call.model_copy(
        update={"turn_taking": turn_taking, "mode": ConversationMode.LIVE, "max_attempts": 7}
    )
    terms = terms_in(call)
    shared = (CampaignTerms.model_fields.keys() & Call.model_fields.keys()) - {"purpose"}
    assert {name: getattr(terms, name) for name in shared} == {name: getattr(call, name) for name in shared}
