"""After the finish of a campaign, none of its calls begins an attempt, and its waiting calls end at once."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from tests.builders.calls import NOW, a_call
from tests.builders.events import an_envelope, call_created, status_changed
from tests.fakes.event_log import FakeEventLog
from tests.fakes.orchestrator import FakeQueue, FakeRequests, FakeTimers

from call_orchestrator.application.call_terms import Policy
from call_orchestrator.application.calls import CallService
from call_orchestrator.application.effects import Effects
from call_orchestrator.application.finished_campaigns import SETTLE, FinishedCampaigns, FinishNotKnown
from call_orchestrator.domain import inputs
from call_orchestrator.domain.decisions import CallDue, CallStatusChanged, Ignored, Refused
from call_orchestrator.domain.machine import decide
from call_orchestrator.domain.states import Dialing, Ended, Pending
from centralita.docs.state_machine import LATER, TERMS
from centralita.docs.state_machine import NOW as INSTANT
from chassis.event_log import StoredEvent
from contracts import CallCommandRefused, CallRetryRequested, Campaign, CampaignFinished, CampaignTerms
from contracts.vocabulary import CallStatus, TelephonyStatus

FINISHED = replace(TERMS, is_campaign_finished=True)
DIALING = Dialing(attempt=1, dialed_at=INSTANT, deadline_at=LATER)


@pytest.mark.parametrize("is_queued", [False, True])
def test_a_waiting_call_ends_at_its_timer(is_queued: bool) -> None:
    waiting = Pending(attempt=0, due_at=INSTANT, queue_expires_at=LATER if is_queued else None)
    timer = inputs.TimerDue(deadline_at=waiting.deadline_at)
    ended = decide(waiting, timer, FINISHED, waiting.deadline_at)
    assert isinstance(ended, CallStatusChanged)
    assert (ended.state.status, ended.reason) == (CallStatus.EXPIRED, "its campaign is finished")
    assert isinstance(decide(waiting, timer, TERMS, waiting.deadline_at), CallStatusChanged if is_queued else CallDue)


def test_a_busy_call_is_not_retried() -> None:
    busy = inputs.TelephonyStatusReported(attempt=1, status=TelephonyStatus.BUSY)
    ended, retried = decide(DIALING, busy, FINISHED, INSTANT), decide(DIALING, busy, TERMS, INSTANT)
    assert isinstance(ended, CallStatusChanged)
    assert isinstance(retried, CallStatusChanged)
    assert (ended.state.status, retried.state.status) == (CallStatus.BUSY, CallStatus.PENDING)


def test_an_undialled_attempt_is_not_repeated() -> None:
    refused = inputs.DialRefused(attempt=1, is_permanent=False, reason="the provider is overloaded")
    ended = decide(DIALING, refused, FINISHED, INSTANT)
    assert isinstance(ended, CallStatusChanged)
    assert (ended.state.status, ended.reason) == (CallStatus.EXPIRED, "its campaign is finished")


def test_a_call_whose_slot_was_granted_before_the_finish_is_not_dialled() -> None:
    waiting = Pending(attempt=0, due_at=INSTANT, queue_expires_at=LATER)
    grant = inputs.AdmissionGranted(attempt=1)
    assert isinstance(decide(waiting, grant, TERMS, INSTANT).state, Dialing)  # type: ignore[union-attr]
    ended = decide(waiting, grant, FINISHED, INSTANT)
    assert isinstance(ended, CallStatusChanged)
    assert (ended.state.status, ended.reason) == (CallStatus.EXPIRED, "its campaign is finished")


def test_a_call_whose_campaign_was_closed_after_the_grant_waits_on() -> None:
    waiting = Pending(attempt=0, due_at=INSTANT, queue_expires_at=LATER)
    grant = inputs.AdmissionGranted(attempt=1)
    closed = replace(TERMS, is_campaign_closed=True)
    assert decide(waiting, grant, closed, INSTANT) == CallDue(state=waiting)
    expired = decide(waiting, grant, closed, LATER + timedelta(seconds=1))
    assert isinstance(expired, CallStatusChanged)
    assert expired.state.status is CallStatus.EXPIRED


def test_a_retry_command_is_refused() -> None:
    ended = Ended(status=CallStatus.EXPIRED, attempt=1, ended_at=INSTANT)
    refused = decide(ended, inputs.CallRetryRequested(), FINISHED, INSTANT)
    assert isinstance(refused, Refused)
    assert refused.reason.startswith("campaign_id: ")


async def test_a_retry_command_is_refused_as_soon_as_the_leader_has_the_finish() -> None:
    call = a_call(CallStatus.FAILED)
    campaign = Campaign(campaign_id=call.campaign_id).created(NOW, CampaignTerms()).started(NOW)
    log = FakeEventLog.of(call_created(a_call()), status_changed(call))
    day = timedelta(days=1)
    policy = Policy(
        call_timeout=day, max_retries=3, retry_delay=day, max_talk=day, dial_within=day, allowed_countries=frozenset()
    )
    service = CallService(log, FakeRequests(), Effects(FakeTimers(), FakeQueue()), policy, now=lambda: NOW)
    log.store(CampaignFinished(campaign=campaign.finished(NOW), occurred_at=NOW))
    retry = StoredEvent(CallRetryRequested(call_id=call.call_id), an_envelope("retry"), 7)

    outcome = await service.handle_command(retry)

    assert (outcome.accepted, outcome.reasons[0].split(":")[0]) == (False, "campaign_id")
    assert isinstance(log.events()[-1], CallCommandRefused)


async def test_the_timers_of_its_waiting_calls_fire_early() -> None:
    waiting, scheduled, live, other = (a_call(call_id=uuid4()) for _ in range(4))
    live = live.model_copy(update={"status": CallStatus.DIALING})
    other = other.model_copy(update={"campaign_id": "other"})
    log, timers = FakeEventLog.of(*(call_created(call) for call in (waiting, scheduled, live, other))), FakeTimers()
    for call in (waiting, scheduled, live, other):
        await timers.set(call, NOW, previous=None, cause=an_envelope())
    campaign = Campaign(campaign_id=waiting.campaign_id).finished(NOW)
    finish = CampaignFinished(campaign=campaign, occurred_at=NOW)

    with pytest.raises(FinishNotKnown):
        await FinishedCampaigns(log, timers, lambda: NOW).end_waiting(finish, an_envelope())
    assert timers.woken == []
    await FinishedCampaigns(log, timers, lambda: NOW + SETTLE).end_waiting(finish, an_envelope())
    assert timers.woken == [waiting, scheduled]


@pytest.mark.parametrize("is_queued", [False, True])
def test_only_the_timer_of_the_present_wait_ends_a_call_early(is_queued: bool) -> None:
    waiting = Pending(attempt=0, due_at=LATER, queue_expires_at=LATER if is_queued else None)
    early = inputs.TimerDue(deadline_at=LATER, is_campaign_finished=True)
    for timer in (replace(early, is_campaign_finished=False), replace(early, deadline_at=INSTANT)):
        assert isinstance(decide(waiting, timer, TERMS, INSTANT), Ignored)
    ended = decide(waiting, early, TERMS, INSTANT)
    assert isinstance(ended, CallStatusChanged)
    assert (ended.state.status, ended.reason) == (CallStatus.EXPIRED, "its campaign is finished")
    assert isinstance(decide(DIALING, replace(early, deadline_at=DIALING.deadline_at), TERMS, INSTANT), Ignored)
