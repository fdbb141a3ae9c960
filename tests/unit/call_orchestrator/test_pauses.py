"""A pause of the campaign stops the clock of a waiting call: it has as much time after the pause as it had left."""

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from call_orchestrator.application.stored import pauses_of
from call_orchestrator.domain import inputs
from call_orchestrator.domain.decisions import CallDue, CallStatusChanged, Decision, Ignored
from call_orchestrator.domain.machine import decide
from call_orchestrator.domain.pauses import NO_PAUSES, Pause, Pauses
from call_orchestrator.domain.states import Dialing, Pending
from centralita.docs.state_machine import LATER, NOW, TERMS
from contracts import Campaign, CampaignChanged, CampaignCreated, CampaignFinished, CampaignStarted, CampaignTerms
from contracts.vocabulary import CallStatus

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WITHIN = TERMS.dial_within
QUEUED = Pending(attempt=0, due_at=NOW, queue_expires_at=NOW + WITHIN)
OPEN = Pauses((Pause(NOW + HOUR),))
OVER = Pauses((Pause(NOW + HOUR, NOW + 3 * DAY),))
GRANT = inputs.AdmissionGranted(attempt=1)


def timer(state: Pending, now: datetime, pauses: Pauses) -> Decision:
    return decide(state, inputs.TimerDue(deadline_at=now), TERMS, now, pauses)


def is_expired(decision: Decision) -> bool:
    return isinstance(decision, CallStatusChanged) and decision.state.status is CallStatus.EXPIRED


def test_a_waiting_call_does_not_expire_during_a_pause() -> None:
    for days in (1, 2, 30, 400):
        ignored = timer(QUEUED, NOW + days * DAY, OPEN)
        assert isinstance(ignored, Ignored)
        assert ignored.timer_at
        assert ignored.timer_at >= NOW + days * DAY + timedelta(hours=23), "the time that was left at its beginning"


def test_after_a_pause_a_call_has_the_time_that_it_had_left() -> None:
    expires_at = NOW + 3 * DAY + (WITHIN - HOUR)
    early = timer(QUEUED, expires_at - HOUR, OVER)
    assert early == Ignored("a pause has given the call more time", timer_at=expires_at)
    assert is_expired(timer(QUEUED, expires_at, OVER))
    dialled = decide(QUEUED, GRANT, TERMS, expires_at, OVER)
    assert isinstance(dialled, CallStatusChanged)
    assert isinstance(dialled.state, Dialing)
    assert is_expired(decide(QUEUED, GRANT, TERMS, expires_at + timedelta(seconds=1), OVER))


def test_a_call_that_became_due_during_a_pause_has_all_of_its_time_after_it() -> None:
    pauses = Pauses((Pause(NOW - 5 * DAY, NOW + 2 * DAY),))
    assert isinstance(timer(QUEUED, NOW + 2 * DAY + WITHIN - HOUR, pauses), Ignored)
    assert is_expired(timer(QUEUED, NOW + 2 * DAY + WITHIN, pauses))


def test_a_call_whose_due_timer_was_late_joins_the_queue_during_a_pause() -> None:
    pending = Pending(attempt=0, due_at=NOW)
    assert is_expired(timer(pending, NOW + WITHIN + HOUR, NO_PAUSES))
    assert isinstance(timer(pending, NOW + WITHIN + HOUR, OPEN), CallDue)


def test_pauses_before_the_due_time_and_later_ones_do_not_count() -> None:
    elsewhere = Pauses((Pause(NOW - 3 * DAY, NOW - DAY), Pause(NOW + WITHIN + HOUR)))
    assert is_expired(timer(QUEUED, NOW + WITHIN, elsewhere))


def test_a_pause_of_months_costs_a_waiting_call_few_timers() -> None:
    now, fired = NOW + WITHIN, 0
    while now <= NOW + 64 * DAY:
        ignored = timer(QUEUED, now, Pauses((Pause(NOW),)))
        assert isinstance(ignored, Ignored)
        assert ignored.timer_at
        now, fired = ignored.timer_at, fired + 1
    assert fired == 7


def test_an_undialled_attempt_is_not_final_during_a_pause_and_a_pause_extends_its_expiry() -> None:
    dialing = Dialing(attempt=1, dialed_at=NOW, deadline_at=LATER, dial_expires_at=NOW)
    refused = inputs.DialRefused(attempt=1, is_permanent=False, reason="HTTP 401")
    assert is_expired(decide(dialing, refused, TERMS, NOW))
    began = NOW - HOUR
    for pauses in (Pauses((Pause(began),)), Pauses((Pause(began, NOW - HOUR / 2),))):
        postponed = decide(dialing, refused, TERMS, NOW, pauses)
        assert isinstance(postponed, CallStatusChanged)
        assert isinstance(postponed.state, Pending)
        assert postponed.state.dial_expires_at == NOW, "the pauses are counted once, whenever they are asked"
        due = timer(postponed.state, postponed.state.due_at, pauses)
        assert isinstance(due, CallDue)
        assert isinstance(timer(due.state, due.state.deadline_at + timedelta(minutes=1), pauses), Ignored)


def test_pauses_are_folded_from_a_history() -> None:
    changes = [(False, NOW), (True, NOW + HOUR), (True, NOW + 2 * HOUR), (False, NOW + 3 * HOUR), (True, NOW + DAY)]
    assert Pauses.of(changes) == Pauses((Pause(NOW + HOUR, NOW + 3 * HOUR), Pause(NOW + DAY)))
    assert Pauses.of([]) == NO_PAUSES


def test_the_clock_also_stops_before_the_start_and_the_period_of_a_campaign_and_runs_after_both() -> None:
    draft = Campaign(campaign_id="a").created(NOW, CampaignTerms(starts_at=NOW + 5 * HOUR, ends_at=NOW + 6 * HOUR))
    created = CampaignCreated(campaign=draft, occurred_at=NOW)
    assert pauses_of([created]) == Pauses((Pause(NOW),))
    early = CampaignStarted(campaign=draft.started(NOW + HOUR), occurred_at=NOW + HOUR)
    assert pauses_of([created, early]) == Pauses((Pause(NOW, NOW + 5 * HOUR),))
    late = CampaignStarted(campaign=draft.started(NOW + 7 * HOUR), occurred_at=NOW + 7 * HOUR)
    assert pauses_of([created, late]) == Pauses((Pause(NOW, NOW + 7 * HOUR),))
    finished = CampaignFinished(campaign=draft.started(NOW).finished(NOW + 3 * HOUR), occurred_at=NOW + 3 * HOUR)
    assert pauses_of([created, early, finished]) == Pauses((Pause(NOW, NOW + 3 * HOUR),))
    postponed = draft.started(NOW + HOUR).changed(CampaignTerms(starts_at=NOW + 9 * HOUR))
    changed = CampaignChanged(campaign=postponed, occurred_at=NOW + 6 * HOUR)
    periods = (Pause(NOW, NOW + 5 * HOUR), Pause(NOW + 6 * HOUR, NOW + 9 * HOUR))
    assert pauses_of([created, early, changed]) == Pauses(periods)


MINUTES = st.lists(st.integers(min_value=-3 * 1440, max_value=6 * 1440), unique=True, max_size=8).map(sorted)


@given(minutes=MINUTES)
def test_a_call_expires_exactly_when_it_has_waited_for_its_time_outside_of_the_pauses(minutes: list[int]) -> None:
    changes = [(number % 2 == 0, NOW + timedelta(minutes=minute)) for number, minute in enumerate(minutes)]
    pauses = Pauses.of(changes)
    edges = [(NOW - 4 * DAY, False), *((at, is_paused) for is_paused, at in changes), (NOW + 60 * DAY, False)]
    waited, expires_at = timedelta(), None
    for (begin, is_paused), (end, _) in pairwise(edges):
        span = max(end - max(begin, NOW), timedelta())
        if not is_paused and waited + span >= WITHIN:
            expires_at = max(begin, NOW) + WITHIN - waited
            break
        waited += timedelta() if is_paused else span
    now = NOW + WITHIN
    for _ in range(50):
        decision = timer(QUEUED, now, pauses)
        if is_expired(decision):
            break
        assert isinstance(decision, Ignored)
        assert decision.timer_at
        assert decision.timer_at > now
        assert expires_at is None or now < expires_at or pauses.paused_since(now)
        now = decision.timer_at
        if now > NOW + 60 * DAY:
            return
    assert expires_at
    assert now >= expires_at
    late = decide(QUEUED, GRANT, TERMS, expires_at + timedelta(seconds=1), pauses)
    assert is_expired(late) or pauses.paused_since(expires_at + timedelta(seconds=1))
    dialled = decide(QUEUED, GRANT, TERMS, expires_at, pauses)
    assert isinstance(dialled, CallStatusChanged)
    assert isinstance(dialled.state, Dialing)


@pytest.mark.parametrize("pauses", [NO_PAUSES, OPEN, OVER])
def test_pauses_change_only_decisions_by_which_the_call_would_expire(pauses: Pauses) -> None:
    for now in (NOW, NOW + HOUR, NOW + WITHIN, NOW + 2 * DAY):
        for input in (GRANT, inputs.TimerDue(deadline_at=now), inputs.CallCancelRequested()):
            without = decide(QUEUED, input, TERMS, now)
            assert is_expired(without) or decide(QUEUED, input, TERMS, now, pauses) == without
