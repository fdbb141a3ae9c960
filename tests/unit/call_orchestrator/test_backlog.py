"""The limit of calls that wait for a slot: which requests are refused, and how that is reported."""

from datetime import timedelta

from prometheus_client import REGISTRY
from structlog.testing import capture_logs
from tests.builders.calls import NOW
from tests.builders.events import an_envelope
from tests.fakes.event_log import FakeEventLog
from tests.fakes.orchestrator import FakeQueue, FakeRequests, FakeTimers
from tests.unit.call_orchestrator.test_call_service import POLICY, REQUEST

from call_orchestrator.application.backlog import MAX_REMEMBERED, Backlog
from call_orchestrator.application.call_inputs import call_input
from call_orchestrator.application.calls import CallService
from call_orchestrator.application.effects import Effects
from contracts import CallRequested, CommandOutcome
from contracts.vocabulary import RefusalCode

FULL = Backlog(1, waiting=lambda: {"other"})


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
    now, waiting = [0.0], set[str]()
    backlog = Backlog(2, lambda: waiting, lambda: now[0])
    assert [backlog.admit(call_id, None) is None for call_id in ("a", "b", "c")] == [True, True, False]
    waiting |= {"a"}
    assert backlog.admit("d", None) is not None, "one waits and one was just created"
    now[0] = 2.0
    assert backlog.admit("d", None) is None, "the other one never waited"


def test_refusals_are_counted_in_one_log_line_for_ten_seconds() -> None:
    now = [0.0]
    backlog = Backlog(1, lambda: {"other"}, lambda: now[0])
    with capture_logs() as lines:
        for sequence in range(5):
            backlog.report_refusal(sequence)
        now[0] = 10.0
        backlog.report_refusal(5)
    assert [(line["event"], line["refused"]) for line in lines] == [("backlog_full", 1), ("backlog_full", 5)]


async def test_a_refused_request_that_is_delivered_again_is_refused_again_and_counted_once() -> None:
    waiting, log = {"other"}, FakeEventLog()
    calls = service(log, Backlog(1, lambda: waiting))
    assert not (await handle(calls, REQUEST)).accepted
    refused = REGISTRY.get_sample_value("centralita_refused_requests_total", {"reason": "backlog_full"})
    waiting.clear()
    assert (await handle(calls, REQUEST)).code is RefusalCode.BACKLOG_FULL
    assert REGISTRY.get_sample_value("centralita_refused_requests_total", {"reason": "backlog_full"}) == refused
    repeated = await calls.handle(call_input(REQUEST, an_envelope("cause-2"), sequence=2))
    assert repeated.accepted, "the requester has published it again"


def test_a_bounded_number_of_refused_requests_is_remembered() -> None:
    waiting = {"other"}
    backlog = Backlog(1, lambda: waiting)
    for sequence in range(MAX_REMEMBERED + 1):
        backlog.report_refusal(sequence)
    waiting.clear()
    assert backlog.admit("a", 0) is None, "the first one was forgotten"
    assert backlog.admit("b", 1) is not None
