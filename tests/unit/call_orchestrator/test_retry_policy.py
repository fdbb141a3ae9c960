"""A retry policy has a rule per outcome: how often a call is dialled again after it, and after which delays."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import assert_never

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders.calls import a_call

from call_orchestrator.application.decision_terms import terms_of
from call_orchestrator.application.snapshots import call_after, state_of
from call_orchestrator.domain import inputs
from call_orchestrator.domain.decisions import CallStatusChanged, Ignored
from call_orchestrator.domain.inputs import ConversationEnded, TelephonyStatusReported
from call_orchestrator.domain.machine import decide
from call_orchestrator.domain.retry_rules import RetryRule
from call_orchestrator.domain.states import Dialing, Ended, InProgress, Live, Pending, Ringing, State, Terms, dials
from centralita.docs.state_machine import LATER, NOW, TERMS
from contracts.retry_policy import RetryPolicy
from contracts.vocabulary import CallStatus, Disposition, HangupReason, RetryOutcome, TelephonyStatus

BUSY, NO_ANSWER, FAILED, VOICEMAIL, EARLY, GOAL_MISSED = RetryOutcome
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
DIALING = Dialing(attempt=1, dialed_at=NOW, deadline_at=LATER)
TALKING = InProgress(attempt=1, dialed_at=NOW, deadline_at=LATER, answered_at=NOW)


def rule(max_retries: int = 1, delay: timedelta = MINUTE, **limits: float) -> RetryRule:
    backoff, max_delay_seconds = limits.get("backoff", 1), limits.get("max_delay_seconds", 604_800)
    return RetryRule(
        max_retries=max_retries, delay=delay, backoff=backoff, max_delay=timedelta(seconds=max_delay_seconds)
    )


def terms(*outcomes: RetryOutcome) -> Terms:
    """Returns terms with a rule of one retry after a minute for each of these outcomes."""
    return replace(TERMS, max_retries=10, retry_rules=dict.fromkeys(outcomes, rule()))


def reported(status: TelephonyStatus, attempt: int = 1, **outcome: object) -> TelephonyStatusReported:
    return TelephonyStatusReported(attempt=attempt, status=status, **outcome)  # type: ignore[arg-type]


def after(state: State, input: inputs.Input, terms: Terms) -> State:
    decision = decide(state, input, terms, NOW)
    assert isinstance(decision, CallStatusChanged), decision
    return decision.state


def ending_with(outcome: RetryOutcome, attempt: int, retries: object) -> tuple[Live, TelephonyStatusReported]:
    """Returns a state of the attempt, and a report of the network after which it has this outcome."""
    changes = {"attempt": attempt, "retries": retries}
    dialing, talking = replace(DIALING, **changes), replace(TALKING, **changes)  # type: ignore[arg-type]
    match outcome:
        case RetryOutcome.BUSY | RetryOutcome.NO_ANSWER | RetryOutcome.FAILED:
            return dialing, reported(TelephonyStatus(outcome.value), attempt)
        case RetryOutcome.VOICEMAIL:
            heard = replace(talking, hangup_reason=HangupReason.VOICEMAIL)
            return heard, reported(TelephonyStatus.COMPLETED, attempt)
        case RetryOutcome.HUNG_UP_EARLY:
            return talking, reported(TelephonyStatus.COMPLETED, attempt, duration_seconds=3)
        case RetryOutcome.GOAL_MISSED:
            return replace(talking, disposition=Disposition.ANSWERED), reported(TelephonyStatus.COMPLETED, attempt)
        case _:
            assert_never(outcome)


FINAL = {
    BUSY: CallStatus.BUSY,
    NO_ANSWER: CallStatus.NO_ANSWER,
    FAILED: CallStatus.FAILED,
    VOICEMAIL: CallStatus.VOICEMAIL,
    EARLY: CallStatus.COMPLETED,
    GOAL_MISSED: CallStatus.COMPLETED,
}
RULES = st.builds(
    RetryRule,
    max_retries=st.integers(0, 4),
    delay=st.integers(0, 604_800).map(lambda seconds: timedelta(seconds=seconds)),
    backoff=st.sampled_from([1, 1.5, 2, 10]),
    max_delay=st.integers(0, 604_800).map(lambda seconds: timedelta(seconds=seconds)),
)


@given(
    rules=st.dictionaries(st.sampled_from(list(RetryOutcome)), RULES),
    outcomes=st.lists(st.sampled_from(list(RetryOutcome)), min_size=1, max_size=12),
    max_retries=st.integers(0, 10),
    delay=st.timedeltas(timedelta(), DAY),
)
def test_each_outcome_has_its_own_maximum_and_delays_and_max_retries_limits_their_sum(
    rules: dict[RetryOutcome, RetryRule], outcomes: list[RetryOutcome], max_retries: int, delay: timedelta
) -> None:
    goal = Disposition.CONFIRMED
    agreed = replace(TERMS, max_retries=max_retries, retry_rules=rules, retry_delay=delay, goal=goal)
    counted: Counter[RetryOutcome] = Counter()
    retries: object = {}
    for attempt, outcome in enumerate(outcomes, start=1):
        state, report = ending_with(outcome, attempt, retries)
        ended = after(state, report, agreed)

        # What the policy means, written down a second time: one list of delays for each outcome.
        if outcome in rules:
            one = rules[outcome]
            growing = [one.delay.total_seconds() * one.backoff**number for number in range(one.max_retries)]
            delays = [timedelta(seconds=round(min(seconds, one.max_delay.total_seconds()))) for seconds in growing]
        else:
            delays = [delay] * 20 if outcome in (BUSY, NO_ANSWER, FAILED) else []
        if attempt > max_retries or counted[outcome] >= len(delays):
            final = FINAL[outcome]
            assert (type(ended), ended.status) == (Ended, final)
            return
        assert isinstance(ended, Pending)
        assert ended.due_at == NOW + delays[counted[outcome]]
        counted[outcome] += 1
        assert ended.retries == {name: counted[name] for name in rules if counted[name]}
        assert dials(ended) <= max_retries
        retries = ended.retries


def test_the_delay_grows_by_its_factor_up_to_its_maximum() -> None:
    growing = rule(max_retries=4, backoff=3, max_delay_seconds=600)
    delays = [growing.next_delay(retries) for retries in range(5)]
    assert delays == [MINUTE, 3 * MINUTE, 9 * MINUTE, 10 * MINUTE, None]


@pytest.mark.parametrize(
    ("state", "report"),
    [
        (TALKING, reported(TelephonyStatus.COMPLETED, duration_seconds=10)),
        (replace(TALKING, answered_at=NOW - timedelta(seconds=10)), reported(TelephonyStatus.COMPLETED)),
        (Ringing(attempt=1, dialed_at=NOW, deadline_at=LATER), reported(TelephonyStatus.COMPLETED, duration_seconds=2)),
        (TALKING, inputs.DialLookedUp(attempt=1, status=TelephonyStatus.COMPLETED, duration_seconds=4)),
    ],
    ids=["billed", "measured", "its answer was not reported", "looked up"],
)
def test_a_callee_who_hangs_up_early_is_called_again(state: Live, report: inputs.Input) -> None:
    decision = decide(state, report, terms(EARLY), NOW)
    assert isinstance(decision, CallStatusChanged)
    assert decision.state == Pending(attempt=1, due_at=NOW + MINUTE, retries={"hung_up_early": 1})
    assert decision.reason == "the callee hung up early"


@pytest.mark.parametrize(
    ("state", "report", "status"),
    [
        (TALKING, reported(TelephonyStatus.COMPLETED, duration_seconds=11), CallStatus.COMPLETED),
        (replace(TALKING, answered_at=NOW - timedelta(seconds=11)), reported(TelephonyStatus.COMPLETED), None),
        (DIALING, reported(TelephonyStatus.COMPLETED), None),
        (replace(TALKING, disposition=Disposition.OPT_OUT), reported(TelephonyStatus.COMPLETED), None),
        (replace(TALKING, hangup_reason=HangupReason.TOO_LONG), reported(TelephonyStatus.COMPLETED), None),
        (
            replace(TALKING, hangup_reason=HangupReason.CANCELED),
            reported(TelephonyStatus.COMPLETED),
            CallStatus.CANCELED,
        ),
        (replace(TALKING, hangup_reason=HangupReason.FAX), reported(TelephonyStatus.COMPLETED), CallStatus.FAILED),
        (TALKING, reported(TelephonyStatus.BUSY), CallStatus.BUSY),
        (DIALING, reported(TelephonyStatus.BUSY, is_permanent=True), CallStatus.BUSY),
        (replace(DIALING, disposition=Disposition.DECLINED), reported(TelephonyStatus.BUSY), CallStatus.BUSY),
        (DIALING, reported(TelephonyStatus.CANCELED), CallStatus.CANCELED),
    ],
)
def test_no_rule_applies_to_any_other_end(state: Live, report: inputs.Input, status: CallStatus | None) -> None:
    ended = after(state, report, terms(*RetryOutcome))
    assert (type(ended), ended.status) == (Ended, status or CallStatus.COMPLETED)


@pytest.mark.parametrize("disposition", [Disposition.OPT_OUT, Disposition.TECHNICAL_FAILURE])
def test_a_disposition_that_is_found_after_an_early_hangup_ends_the_call(disposition: Disposition) -> None:
    waiting = after(TALKING, reported(TelephonyStatus.COMPLETED, duration_seconds=3), terms(EARLY))
    late = ConversationEnded(attempt=1, disposition=disposition, goodbye_seconds=2)
    ended = after(waiting, late, terms(EARLY))
    status = CallStatus.COMPLETED if disposition is Disposition.OPT_OUT else CallStatus.FAILED
    assert ended == Ended(status=status, attempt=1, ended_at=NOW, disposition=disposition, retries={"hung_up_early": 1})


def test_the_talk_time_of_a_call_is_that_of_all_its_attempts() -> None:
    """The second attempt reports none, and a retry command follows the third."""
    talks: list[int | None] = []
    call, early = a_call(), terms(EARLY, BUSY)
    early = replace(early, retry_rules=dict.fromkeys(early.retry_rules, rule(max_retries=5)))
    for attempt, report in enumerate(
        [
            reported(TelephonyStatus.COMPLETED, 1, duration_seconds=3),
            reported(TelephonyStatus.BUSY, 2),
            reported(TelephonyStatus.COMPLETED, 3, duration_seconds=40),
            reported(TelephonyStatus.COMPLETED, 4, duration_seconds=60),
        ],
        start=1,
    ):
        steps: list[State] = [
            replace(DIALING, attempt=attempt),
            replace(TALKING, attempt=attempt),
        ]
        for state in steps:
            call = call_after(call, CallStatusChanged(state=state), NOW)
            talks.append(call.duration_seconds)
        decision = decide(state_of(call), report, early, NOW)
        assert isinstance(decision, CallStatusChanged)
        call = call_after(call, decision, NOW)
        talks.append(call.duration_seconds)
    assert talks == [None, None, 3, 3, 3, 3, 3, 3, 43, 43, 43, 103]


def test_the_talk_time_stays_if_the_conversation_had_a_result_after_an_early_hangup() -> None:
    ended = decide(TALKING, reported(TelephonyStatus.COMPLETED, duration_seconds=3), terms(EARLY), NOW)
    assert isinstance(ended, CallStatusChanged)
    call = call_after(a_call(CallStatus.IN_PROGRESS), ended, NOW)
    assert (call.status, call.duration_seconds) == (CallStatus.PENDING, 3)
    late = ConversationEnded(attempt=1, disposition=Disposition.OPT_OUT, goodbye_seconds=2)
    concluded = decide(state_of(call), late, terms(EARLY), NOW)
    assert isinstance(concluded, CallStatusChanged)
    call = call_after(call, concluded, NOW)
    assert (call.status, call.duration_seconds) == (CallStatus.COMPLETED, 3)


@pytest.mark.parametrize(
    "waiting",
    [Pending(attempt=1, due_at=LATER), Pending(attempt=2, due_at=LATER, retries={"hung_up_early": 1})],
    ids=["after another outcome", "of an earlier attempt"],
)
def test_the_end_of_another_conversation_does_not_end_a_waiting_call(waiting: Pending) -> None:
    ending = ConversationEnded(attempt=1, disposition=Disposition.OPT_OUT, goodbye_seconds=2)
    assert isinstance(decide(waiting, ending, terms(EARLY), NOW), Ignored)


@pytest.mark.parametrize(
    ("state", "input"),
    [
        (Pending(attempt=1, due_at=NOW, queue_expires_at=LATER), inputs.AdmissionGranted(attempt=2)),
        (Pending(attempt=1, due_at=LATER), inputs.CallChangeRequested(scheduled_at=NOW)),
        (Pending(attempt=1, due_at=LATER), inputs.CallCancelRequested()),
        (DIALING, reported(TelephonyStatus.RINGING)),
        (DIALING, reported(TelephonyStatus.IN_PROGRESS)),
        (DIALING, inputs.DialRefused(attempt=1, is_permanent=False, reason="429")),
        (replace(DIALING, dial_expires_at=NOW), inputs.DialRefused(attempt=1, is_permanent=False, reason="429")),
        (TALKING, reported(TelephonyStatus.COMPLETED)),
        (Ended(status=CallStatus.BUSY, attempt=1, ended_at=NOW), inputs.CallRetryRequested()),
    ],
)
def test_the_counts_are_kept_by_every_other_decision_and_in_the_snapshot(state: State, input: inputs.Input) -> None:
    counts = {"busy": 2, "voicemail": 1}
    decision = decide(replace(state, retries=counts), input, TERMS, NOW)
    assert not isinstance(decision, Ignored)
    assert decision.state.retries == counts  # type: ignore[union-attr]
    call = call_after(a_call(), decision, NOW)  # type: ignore[arg-type]
    assert state_of(type(call).model_validate_json(call.model_dump_json())).retries == counts


def test_the_terms_of_a_call_have_the_rules_of_its_policy() -> None:
    every = {"max_retries": 2, "delay_seconds": 60, "backoff": 1.5, "max_delay_seconds": 300}
    policy = {**{outcome.value: every for outcome in RetryOutcome}, "hung_up_early": {**every, "early_seconds": 4}}
    agreed = terms_of(a_call(retry_policy=RetryPolicy.model_validate(policy)), DAY)
    assert agreed.retry_rules == dict.fromkeys(RetryOutcome, rule(2, backoff=1.5, max_delay_seconds=300))
    assert agreed.early_hangup == timedelta(seconds=4)
    assert terms_of(a_call(), DAY).retry_rules == {}


def test_a_stored_policy_of_another_build_is_readable() -> None:
    stored = {"busy": {"max_retries": 99, "delay_seconds": -1, "jitter": 3}, "engaged": {"max_retries": 1}}
    call = type(a_call()).model_validate({**a_call().model_dump(), "retry_policy": stored, "outcome_retries": {"x": 1}})
    assert state_of(call).retries == {"x": 1}
    assert call.retry_policy
    assert call.retry_policy.model_dump(exclude_unset=True) == stored


@pytest.mark.parametrize("disposition", list(Disposition))
@pytest.mark.parametrize("goal", [None, Disposition.CONFIRMED, Disposition.RESCHEDULED])
def test_only_a_missed_goal_after_which_a_call_may_continue_is_retried(
    disposition: Disposition, goal: Disposition | None
) -> None:
    agreed = replace(terms(GOAL_MISSED), goal=goal)
    concluded = replace(TALKING, disposition=disposition, hangup_reason=HangupReason.CONCLUDED)

    ended = after(concluded, reported(TelephonyStatus.COMPLETED), agreed)

    may_continue = disposition in {"rescheduled", "callback_requested", "answered", "unresponsive", "technical_failure"}
    assert isinstance(ended, Pending) is (goal is not None and disposition != goal and may_continue)


def test_a_canceled_call_is_not_retried_for_its_goal() -> None:
    canceled = replace(TALKING, disposition=Disposition.ANSWERED, hangup_reason=HangupReason.CANCELED)
    agreed = replace(terms(GOAL_MISSED), goal=Disposition.CONFIRMED)
    assert isinstance(after(canceled, reported(TelephonyStatus.COMPLETED), agreed), Ended)
