"""The limit of calls that wait for a slot: which requests are refused, and how that is reported."""

from datetime import timedelta

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs
from tests.builders.calls import NOW, a_call
from tests.builders.events import an_envelope
from tests.fakes.event_log import FakeEventLog
from tests.fakes.orchestrator import FakeQueue, FakeRequests, FakeTimers
from tests.unit.call_orchestrator.test_call_service import POLICY, REQUEST

from call_orchestrator.application.backlog import MAX_REMEMBERED, Backlog
from call_orchestrator.application.call_inputs import call_input
from call_orchestrator.application.calls import CallService
from call_orchestrator.application.effects import Effects
from call_orchestrator.domain.limits import CampaignLimits, Limits
from call_orchestrator.domain.slot_events import Waiting
from call_orchestrator.domain.slots import Slots
from contracts import Call, CallRequested, CommandOutcome, call_id_of
from contracts.vocabulary import RefusalCode


def slots_with(*names: str, campaign_id: str = "reminders") -> Slots:
    """Returns slots for which calls with these names wait."""
    slots = Slots(Limits(max_live=1, max_live_per_campaign=None, max_unclaimed=10))
    join(slots, *names, campaign_id=campaign_id)
    return slots


def join(slots: Slots, *names: str, campaign_id: str = "reminders") -> None:
    for sequence, name in enumerate(names, start=1):
        waiting = Waiting(
            call_id=str(call_id_of(name)),
            campaign_id=campaign_id,
            attempt=1,
            due_at=NOW,
            due_sequence=sequence,
            queue_sequence=sequence,
        )
        slots.join(waiting)


FULL = Backlog(1, slots_with("other"))


def service(log: FakeEventLog, backlog: Backlog) -> CallService:
    effects = Effects(FakeTimers(), FakeQueue())
    return CallService(log, FakeRequests(), effects, POLICY, lambda: NOW, backlog)


async def handle(calls: CallService, request: CallRequested, id: str = "cause-1") -> CommandOutcome:
    return await calls.handle(call_input(request, an_envelope(id), sequence=1))


async def test_a_request_is_refused_while_the_backlog_is_full_and_nothing_is_appended() -> None:
    log = FakeEventLog()
    refused = REGISTRY.get_sample_value("centralita_refused_requests_total", {"reason": "backlog_full"}) or 0
    outcome = await handle(service(log, FULL), REQUEST)
    assert REGISTRY.get_sample_value("centralita_refused_requests_total", {"reason": "backlog_full"}) == refused + 1
    assert (outcome.accepted, outcome.code) == (False, RefusalCode.BACKLOG_FULL)
    assert "MAX_BACKLOG" in outcome.reasons[0]
    assert log.events() == []


async def test_a_request_for_later_is_accepted_while_the_backlog_is_full() -> None:
    later = REQUEST.model_copy(update={"scheduled_at": NOW + timedelta(hours=1)})
    assert (await handle(service(FakeEventLog(), FULL), later)).accepted


async def test_a_repeated_request_of_an_existing_call_is_accepted_while_the_backlog_is_full() -> None:
    log = FakeEventLog()
    assert (await handle(service(log, Backlog(1)), REQUEST)).accepted
    assert (await handle(service(log, FULL), REQUEST, "cause-2")).accepted


def test_calls_that_were_just_created_count_until_they_wait() -> None:
    now, slots = [0.0], slots_with()
    backlog = Backlog(2, slots, lambda: now[0])
    for name in ("a", "b"):
        assert backlog.check(queued(name), None) is None
        backlog.note_created(queued(name))
    assert backlog.check(queued("c"), None) is not None
    join(slots, "a")
    assert backlog.check(queued("d"), None) is not None, "one waits and one was just created"
    now[0] = 2.0
    assert backlog.check(queued("d"), None) is None, "the other one never waited"


async def test_a_repeated_request_of_an_existing_call_takes_no_place() -> None:
    log, backlog = FakeEventLog(), Backlog(2, slots_with())
    calls = service(log, backlog)
    for number in range(5):
        assert (await handle(calls, REQUEST, f"cause-{number}")).accepted
    another = REQUEST.model_copy(update={"request_id": "another"})
    assert (await handle(calls, another)).accepted


@pytest.mark.parametrize("campaign_id", ["reminders", "paused", "also-paused"])
def test_calls_of_a_paused_campaign_count_for_its_own_requests_only(campaign_id: str) -> None:
    slots = slots_with("a", "b", campaign_id="paused")
    slots.update_campaigns(dict.fromkeys(("paused", "also-paused"), CampaignLimits(is_open=False)))
    backlog = Backlog(2, slots)
    is_refused = backlog.check(queued("c", campaign_id), None) is not None
    assert is_refused == (campaign_id == "paused")
    backlog.note_created(queued("c", campaign_id))
    backlog.note_created(queued("d", campaign_id))
    assert backlog.check(queued("e", campaign_id), None) is not None, "calls of its own wait"


def queued(name: str, campaign_id: str = "reminders") -> Call:
    return a_call(request_id=name, campaign_id=campaign_id, is_queued=True, due_at=NOW)


def test_refusals_are_counted_in_one_log_line_for_ten_seconds() -> None:
    now = [0.0]
    backlog = Backlog(1, slots_with("other"), lambda: now[0])
    with capture_logs() as lines:
        for sequence in range(5):
            backlog.report_refusal(sequence)
        now[0] = 10.0
        backlog.report_refusal(5)
    assert [(line["event"], line["refused"]) for line in lines] == [("backlog_full", 1), ("backlog_full", 5)]


async def test_a_refused_request_that_is_delivered_again_is_refused_again_and_counted_once() -> None:
    slots, log = slots_with("other"), FakeEventLog()
    calls = service(log, Backlog(1, slots))
    assert not (await handle(calls, REQUEST)).accepted
    refused = REGISTRY.get_sample_value("centralita_refused_requests_total", {"reason": "backlog_full"})
    slots.leave(slots.waiting[str(call_id_of("other"))])
    assert (await handle(calls, REQUEST)).code is RefusalCode.BACKLOG_FULL
    assert REGISTRY.get_sample_value("centralita_refused_requests_total", {"reason": "backlog_full"}) == refused
    repeated = await calls.handle(call_input(REQUEST, an_envelope("cause-2"), sequence=2))
    assert repeated.accepted, "the requester has published it again"


def test_a_bounded_number_of_refused_requests_is_remembered() -> None:
    backlog = Backlog(1, slots_with())
    for sequence in range(MAX_REMEMBERED + 1):
        backlog.report_refusal(sequence)
    assert backlog.check(queued("a"), 0) is None, "the first one was forgotten"
    assert backlog.check(queued("b"), 1) is not None
