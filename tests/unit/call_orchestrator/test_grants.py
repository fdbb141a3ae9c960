"""A grant leads to a dial, or its slot is released."""

from datetime import datetime, timedelta

import pytest
from tests.builders.calls import NOW, a_call
from tests.builders.events import an_envelope, call_created, campaign_paused, campaign_resumed, status_changed
from tests.fakes.event_log import FakeEventLog
from tests.fakes.orchestrator import FakeQueue, FakeRequests, FakeTimers

from call_orchestrator.application.call_terms import Policy
from call_orchestrator.application.calls import CallService
from call_orchestrator.application.effects import Effects
from call_orchestrator.application.grants import MAX_GRANT_SECONDS, Grants, StaleRead
from call_orchestrator.application.open_campaigns import OpenCampaigns
from call_orchestrator.domain.limits import Limits
from call_orchestrator.domain.slots import Slots
from call_orchestrator.ports import CampaignStates
from contracts import (
    AdmissionGranted,
    AdmissionReleased,
    Call,
    CallChanged,
    CallDecision,
    CallDue,
    CallStatus,
    Campaign,
    CampaignDecision,
    CampaignFinished,
    CampaignPaused,
    CampaignResumed,
    Event,
)
from contracts.filters import call_state_filter, campaign_state_filter

POLICY = Policy(
    call_timeout=timedelta(seconds=30),
    max_retries=3,
    retry_delay=timedelta(hours=1),
    max_talk=timedelta(minutes=10),
    dial_within=timedelta(days=1),
    allowed_countries=frozenset({"US"}),
)
QUEUED = a_call(is_queued=True, deadline_at=NOW + timedelta(days=1))
GRANT = AdmissionGranted(
    call_id=QUEUED.call_id, campaign_id="reminders", attempt=1, due_sequence=2, replay_from_sequence=1
)


def log_of(call: Call) -> FakeEventLog:
    """A log in which the call is due at sequence 2 and its slot is granted at sequence 3."""
    return FakeEventLog.of(call_created(a_call()), CallDue(call=call, occurred_at=NOW), GRANT)


async def carry_out(
    log: FakeEventLog,
    *,
    sequence: int = 3,
    is_redelivered: bool = False,
    timers: FakeTimers | None = None,
    queue: FakeQueue | None = None,
    at: datetime = NOW,
    campaigns: OpenCampaigns | None = None,
) -> None:
    """Carries the grant out. It was stored at `NOW`."""
    timers = timers or FakeTimers()
    effects = Effects(timers, queue or FakeQueue())
    calls = CallService(log, FakeRequests(), effects, POLICY, now=lambda: at, campaigns=campaigns)
    grants = Grants(calls, log, timers, lambda: at, campaigns)
    await grants.carry_out(GRANT, sequence=sequence, cause=an_envelope("grant-1"), is_redelivered=is_redelivered)


def statuses(log: FakeEventLog) -> list[CallStatus]:
    return [event.call.status for event in log.events() if isinstance(event, CallDecision)]


async def test_a_waiting_call_is_dialled_once_however_often_the_grant_is_delivered() -> None:
    log = log_of(QUEUED)
    await carry_out(log)
    await carry_out(log, is_redelivered=True)
    assert statuses(log) == [CallStatus.PENDING, CallStatus.PENDING, CallStatus.DIALING]


async def test_a_grant_reads_the_call_once_and_the_call_carries_its_sequence() -> None:
    log = log_of(QUEUED)
    await carry_out(log)
    assert log.reads == [call_state_filter(QUEUED.call_id)]
    dialing = log.stored[-1].event
    assert isinstance(dialing, CallDecision)
    assert dialing.call.granted_sequence == 3


async def test_the_slot_of_a_call_that_no_longer_waits_is_released_once() -> None:
    log = FakeEventLog.of(call_created(a_call()), status_changed(a_call(CallStatus.CANCELED)), GRANT)
    await carry_out(log)
    await carry_out(log, is_redelivered=True)
    released = [event for event in log.events() if isinstance(event, AdmissionReleased)]
    assert released == [AdmissionReleased(call_id=QUEUED.call_id, attempt=1, grant_sequence=3)]


async def test_a_live_call_keeps_its_slot() -> None:
    log = FakeEventLog.of(call_created(a_call()), status_changed(a_call(CallStatus.DIALING)), GRANT)
    await carry_out(log)
    assert not [event for event in log.events() if isinstance(event, AdmissionReleased)]


async def test_a_grant_is_retried_later_when_the_server_lags_behind_it() -> None:
    with pytest.raises(StaleRead):
        await carry_out(FakeEventLog.of(call_created(a_call()), GRANT), sequence=2)


async def test_a_grant_whose_slot_a_later_event_has_freed_does_not_dial() -> None:
    log = log_of(QUEUED)
    changed = log.store(CallChanged(call=QUEUED, occurred_at=NOW, changed=("metadata",)))
    await carry_out(log)
    assert (await log.last(call_state_filter(QUEUED.call_id))) == changed, "it is in the queue again"
    assert not log.events(AdmissionReleased), "the fold of the slots has freed the slot already"


async def test_a_grant_that_is_delivered_again_sets_the_timer_of_its_call_before_it_decides() -> None:
    log, timers = log_of(QUEUED), FakeTimers()

    def fail(_: Event) -> None:
        raise ConnectionError

    log.before_append = fail
    with pytest.raises(ConnectionError):
        await carry_out(log, timers=timers)
    assert not timers.deadlines, "the first delivery sets the timer once it has decided"
    with pytest.raises(ConnectionError):
        await carry_out(log, timers=timers, is_redelivered=True)
    assert timers.deadlines == {QUEUED.call_id: QUEUED.deadline_at}


async def test_a_grant_that_is_ignored_sets_the_timer_of_its_call() -> None:
    log, timers = log_of(QUEUED.model_copy(update={"attempt": 1})), FakeTimers()
    await carry_out(log, timers=timers)
    assert statuses(log)[-1] is CallStatus.PENDING
    assert timers.deadlines == {QUEUED.call_id: QUEUED.deadline_at}


CAMPAIGN = Campaign(campaign_id="reminders")
PAUSED = campaign_paused("reminders")
FINISHED = CampaignFinished(campaign=CAMPAIGN.finished(NOW), occurred_at=NOW)
LATE = NOW + timedelta(seconds=MAX_GRANT_SECONDS + 1)


@pytest.mark.parametrize(
    ("is_redelivered", "at"),
    [(True, NOW), (True, NOW + timedelta(seconds=30)), (False, LATE), (False, NOW + timedelta(hours=12))],
    ids=["delivered again", "of a replica that died", "delivered late", "after all replicas were stopped"],
)
async def test_after_a_pause_a_late_grant_dials_no_person_and_its_call_waits_on(
    is_redelivered: bool, at: datetime
) -> None:
    log, queue, timers = log_of(QUEUED), FakeQueue(), FakeTimers()
    log.store(PAUSED)
    for _ in range(2):
        await carry_out(log, is_redelivered=is_redelivered, at=at, queue=queue, timers=timers)
    waits_on = log.stored[-1]
    assert waits_on.event == CallDue(call=QUEUED, occurred_at=at), "one event, which frees the slot"
    assert queue.joined == {QUEUED.call_id: waits_on.sequence}
    assert timers.deadlines == {QUEUED.call_id: QUEUED.deadline_at}
    assert not log.events(AdmissionReleased), "the fold of the slots has freed the slot already"


async def test_a_late_grant_of_a_finished_campaign_ends_its_call() -> None:
    log = log_of(QUEUED)
    log.store(FINISHED)
    await carry_out(log, is_redelivered=True)
    assert statuses(log)[-1] is CallStatus.EXPIRED


async def test_a_late_grant_of_a_campaign_that_runs_again_is_dialled() -> None:
    log = log_of(QUEUED)
    log.store(PAUSED)
    log.store(campaign_resumed("reminders"))
    await carry_out(log, at=LATE)
    assert statuses(log)[-1] is CallStatus.DIALING


def following(log: FakeEventLog) -> OpenCampaigns:
    """The campaigns of a replica that has received all events of the log."""
    campaigns = OpenCampaigns(Slots(Limits(max_live=1, max_live_per_campaign=None, max_unclaimed=1)), lambda: NOW)
    known = {one.campaign_id: one.campaign for one in log.events() if isinstance(one, CampaignDecision)}
    campaigns.update(CampaignStates(campaigns=known, sequence=len(log.stored)))
    return campaigns


@pytest.mark.parametrize(("closing", "status"), [(PAUSED, CallStatus.PENDING), (FINISHED, CallStatus.EXPIRED)])
async def test_a_grant_is_not_dialled_by_a_replica_that_knows_that_its_campaign_is_closed(
    closing: CampaignPaused | CampaignFinished, status: CallStatus
) -> None:
    log = log_of(QUEUED)
    log.store(closing)
    await carry_out(log, campaigns=following(log))
    assert statuses(log)[-1] is status


async def test_a_replica_that_receives_a_resumption_late_dials_a_grant() -> None:
    log = log_of(QUEUED)
    log.store(PAUSED)
    campaigns = following(log)
    log.store(CampaignResumed(campaign=CAMPAIGN.resumed(NOW), occurred_at=NOW))
    await carry_out(log, campaigns=campaigns)
    assert statuses(log)[-1] is CallStatus.DIALING


async def test_only_a_late_grant_costs_a_read_of_its_campaign() -> None:
    log = log_of(QUEUED)
    await carry_out(log, campaigns=following(log))
    assert campaign_state_filter("reminders") not in log.filters_read
    await carry_out(log, at=LATE)
    assert campaign_state_filter("reminders") in log.filters_read
