"""The orchestrator carries out an input once, in races with other replicas and after redeliveries."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from tests.builders.calls import NOW, a_call
from tests.builders.events import an_envelope, call_created, campaign_paused, campaign_resumed, status_changed
from tests.fakes.event_log import FakeEventLog
from tests.fakes.orchestrator import FakeQueue, FakeRequests, FakeTimers

from call_orchestrator.application.call_inputs import DecidingEvent, call_input
from call_orchestrator.application.call_outcomes import MAX_CONFLICTS
from call_orchestrator.application.call_terms import Policy
from call_orchestrator.application.calls import CallService
from call_orchestrator.application.commands import EarlierRequestUndecided
from call_orchestrator.application.effects import Effects
from chassis.event_log import Conflict, StoredEvent
from contracts import (
    Call,
    CallCancelRequested,
    CallChangeRequested,
    CallCommand,
    CallCommandRefused,
    CallDecision,
    CallRequested,
    CallRetryRequested,
    CallStatus,
    CommandOutcome,
    Event,
    HangupReason,
    TelephonyStatus,
    TelephonyStatusReported,
    TimerDue,
    call_id_of,
)
from contracts.retry_policy import RequestedRetryPolicy
from contracts.vocabulary import RefusalCode

POLICY = Policy(
    call_timeout=timedelta(seconds=30),
    max_retries=3,
    retry_delay=timedelta(hours=1),
    max_talk=timedelta(minutes=10),
    dial_within=timedelta(days=1),
    allowed_countries=frozenset({"US"}),
)
REQUEST = CallRequested(
    request_id="request-1",
    campaign_id="reminders",
    contact_id="contact-1",
    phone_number="+12125550123",
    script_template="Hola {{name}}.\n\nConfirma la cita.",
    variables={"name": "Ana"},
)
CALL_ID = call_id_of("request-1")
NO_RULES = RequestedRetryPolicy()
EXPIRES_AT = NOW + POLICY.dial_within


@dataclass
class Orchestrator:
    """The service with fakes around it."""

    log: FakeEventLog = field(default_factory=FakeEventLog)
    timers: FakeTimers = field(default_factory=FakeTimers)
    queue: FakeQueue = field(default_factory=FakeQueue)
    requests: FakeRequests = field(default_factory=FakeRequests)
    positions: dict[str, int] = field(default_factory=dict)
    now: datetime = NOW

    async def handle(
        self, event: DecidingEvent, id: str = "cause-1", *, is_redelivered: bool = False
    ) -> CommandOutcome:
        """Handles a message. Its position in the stream REQUESTS follows from the order of first deliveries."""
        effects = Effects(self.timers, self.queue)
        service = CallService(self.log, self.requests, effects, POLICY, now=lambda: self.now)
        sequence = self.position(id)
        if isinstance(event, CallCommand):
            return await service.handle_command(command(event, id, sequence))
        return await service.handle(
            call_input(event, an_envelope(id), is_redelivered=is_redelivered, sequence=sequence)
        )

    def position(self, id: str) -> int:
        return self.positions.setdefault(id, len(self.positions) + 1)

    def store(self, event: CallCommand, id: str) -> None:
        """Stores a command that is not delivered yet."""
        self.requests.stored.append(command(event, id, self.position(id)))

    @property
    def decisions(self) -> list[CallDecision]:
        return [event for event in self.log.events() if isinstance(event, CallDecision)]

    @property
    def call(self) -> Call:
        return self.decisions[-1].call


def command(event: CallCommand, id: str, sequence: int) -> StoredEvent[CallCommand]:
    return StoredEvent(event, an_envelope(id), sequence, stored_at=datetime.now(UTC))


def orchestrator(*events: Event) -> Orchestrator:
    return Orchestrator(FakeEventLog.of(*events))


def with_status(status: CallStatus) -> Orchestrator:
    return orchestrator(call_created(a_call()), status_changed(a_call(status)))


def orchestrator_with_position(sequence: int) -> Orchestrator:
    return orchestrator(call_created(a_call(command_sequence=sequence)))


def reported(status: TelephonyStatus) -> TelephonyStatusReported:
    return TelephonyStatusReported(call_id=CALL_ID, attempt=1, provider_call_id="CA1", status=status)


def appended_first(log: FakeEventLog, *events: Event) -> Callable[[Event], None]:
    """Appends one of these events, as another replica would, before each of our decisions until all are used."""
    remaining = list(events)

    def append(event: Event) -> None:
        if remaining and isinstance(event, CallDecision):
            log.store(remaining.pop(0))

    return append


async def test_a_request_creates_the_call_queued_and_sets_its_timer() -> None:
    orchestrator = Orchestrator()
    outcome = await orchestrator.handle(REQUEST)
    assert (outcome.accepted, outcome.call_id, outcome.status) == (True, CALL_ID, CallStatus.PENDING)
    assert orchestrator.timers.deadlines == {CALL_ID: EXPIRES_AT}
    assert orchestrator.queue.joined == {CALL_ID: 1}
    assert len(orchestrator.log.stored) == 1, "the greeting follows from the call"


async def test_a_request_without_an_id_gets_the_id_of_its_message() -> None:
    orchestrator = Orchestrator()
    outcome = await orchestrator.handle(REQUEST.model_copy(update={"request_id": None}), "message-7")
    assert outcome.call_id == call_id_of("message-7")
    assert orchestrator.call.request_id == "message-7"


async def test_a_second_request_with_the_same_id_is_accepted_and_changes_nothing() -> None:
    orchestrator = Orchestrator()
    await orchestrator.handle(REQUEST, "message-1")
    outcome = await orchestrator.handle(REQUEST, "message-2")
    assert outcome.accepted
    assert [event.event_name for event in orchestrator.decisions] == ["call.created"]


async def test_a_new_request_is_decided_without_a_read_of_the_call() -> None:
    orchestrator = Orchestrator()
    await orchestrator.handle(REQUEST, "message-1")
    assert orchestrator.log.reads == []
    await orchestrator.handle(REQUEST, "message-1", is_redelivered=True)
    assert len(orchestrator.log.reads) == 1


async def test_a_repeated_request_that_would_be_refused_is_accepted_because_its_call_exists() -> None:
    orchestrator = Orchestrator()
    await orchestrator.handle(REQUEST, "message-1")
    elsewhere = REQUEST.model_copy(update={"phone_number": "+34612345678"})
    outcome = await orchestrator.handle(elsewhere, "message-2")
    assert (outcome.accepted, outcome.call_id) == (True, CALL_ID)
    another = elsewhere.model_copy(update={"request_id": "request-2"})
    refused = await orchestrator.handle(another, "message-3")
    assert not refused.accepted
    assert len(orchestrator.decisions) == 1


async def test_a_scheduled_call_joins_the_queue_with_the_sequence_of_its_due_event() -> None:
    orchestrator, scheduled_at = Orchestrator(), NOW + timedelta(hours=9)
    await orchestrator.handle(REQUEST.model_copy(update={"scheduled_at": scheduled_at}), "message-1")
    assert orchestrator.queue.joined == {}
    orchestrator.now = scheduled_at
    await orchestrator.handle(TimerDue(call_id=CALL_ID, deadline_at=scheduled_at), "timer-1")
    assert orchestrator.call.is_queued
    assert orchestrator.queue.joined == {CALL_ID: orchestrator.log.stored[-1].sequence}


async def test_an_early_timer_changes_nothing_and_is_set_again_at_the_deadline() -> None:
    orchestrator, scheduled_at = Orchestrator(), NOW + timedelta(hours=9)
    await orchestrator.handle(REQUEST.model_copy(update={"scheduled_at": scheduled_at}), "message-1")
    orchestrator.timers.deadlines.clear()  # the server deletes a schedule when it is due
    await orchestrator.handle(TimerDue(call_id=CALL_ID, deadline_at=scheduled_at), "timer-1")
    assert len(orchestrator.decisions) == 1
    assert orchestrator.timers.deadlines == {CALL_ID: scheduled_at}


async def queued(orchestrator: "Orchestrator") -> datetime:
    """Queues a call and returns its deadline, by which it would expire."""
    await orchestrator.handle(REQUEST, "message-1")
    assert orchestrator.call.deadline_at
    return orchestrator.call.deadline_at


async def test_during_a_pause_the_timer_of_a_waiting_call_is_set_again_without_an_event() -> None:
    orchestrator = Orchestrator()
    deadline_at = await queued(orchestrator)
    orchestrator.log.store(campaign_paused("reminders", at=NOW + timedelta(hours=1)))
    stored = len(orchestrator.log.stored)
    orchestrator.now = deadline_at
    for delivery in (1, 2):
        orchestrator.timers.deadlines.clear()
        timer = TimerDue(call_id=CALL_ID, deadline_at=deadline_at)
        await orchestrator.handle(timer, "timer-2", is_redelivered=delivery > 1)
        assert orchestrator.timers.deadlines[CALL_ID] >= deadline_at + timedelta(hours=23)
    assert len(orchestrator.log.stored) == stored


async def test_after_a_pause_a_call_expires_when_its_time_is_over() -> None:
    orchestrator = Orchestrator()
    deadline_at = await queued(orchestrator)
    orchestrator.log.store(campaign_paused("reminders", at=NOW + timedelta(hours=1)))
    orchestrator.log.store(campaign_resumed("reminders", at=NOW + timedelta(hours=3)))
    orchestrator.log.store(campaign_paused("another", at=NOW))
    orchestrator.now = deadline_at
    await orchestrator.handle(TimerDue(call_id=CALL_ID, deadline_at=deadline_at), "timer-2")
    expires_at = deadline_at + timedelta(hours=2)
    assert orchestrator.timers.deadlines == {CALL_ID: expires_at}
    assert orchestrator.call.is_queued
    orchestrator.now = expires_at
    await orchestrator.handle(TimerDue(call_id=CALL_ID, deadline_at=expires_at), "timer-3")
    assert orchestrator.call.status is CallStatus.EXPIRED


async def test_a_timer_is_set_only_when_the_deadline_changes_and_on_every_redelivery() -> None:
    orchestrator = with_status(CallStatus.DIALING)
    for id, status in (("ringing", TelephonyStatus.RINGING), ("ringing again", TelephonyStatus.RINGING)):
        await orchestrator.handle(reported(status), id)
    assert (orchestrator.call.status, orchestrator.timers.count) == (CallStatus.RINGING, 1)
    await orchestrator.handle(reported(TelephonyStatus.IN_PROGRESS), "answered")
    assert orchestrator.timers.deadlines == {CALL_ID: orchestrator.call.deadline_at}
    assert orchestrator.timers.count == 2
    await orchestrator.handle(reported(TelephonyStatus.RINGING), "ringing", is_redelivered=True)
    assert orchestrator.timers.count == 3


async def test_an_input_that_changes_nothing_neither_sets_a_timer_nor_joins_the_queue() -> None:
    orchestrator = Orchestrator()
    await queued(orchestrator)
    before = (orchestrator.timers.count, orchestrator.queue.joins)
    await orchestrator.handle(reported(TelephonyStatus.RINGING), "late-report")
    assert (orchestrator.timers.count, orchestrator.queue.joins) == before == (1, 1)
    await orchestrator.handle(reported(TelephonyStatus.RINGING), "late-report", is_redelivered=True)
    assert (orchestrator.timers.count, orchestrator.queue.joins) == (2, 2), "an earlier delivery may have died"


async def test_a_change_of_a_waiting_call_joins_the_queue_again_with_its_own_event() -> None:
    orchestrator = Orchestrator()
    await queued(orchestrator)
    await orchestrator.handle(CallChangeRequested(call_id=CALL_ID, metadata={"desk": "7"}), "change")
    assert orchestrator.queue.joined == {CALL_ID: 2}
    assert orchestrator.timers.deadlines == {CALL_ID: EXPIRES_AT}


async def test_an_ended_call_has_no_timer() -> None:
    orchestrator = with_status(CallStatus.IN_PROGRESS)
    orchestrator.timers.deadlines[CALL_ID] = NOW
    await orchestrator.handle(reported(TelephonyStatus.COMPLETED))
    assert orchestrator.call.status is CallStatus.COMPLETED
    assert orchestrator.timers.deadlines == {}


async def test_an_ended_call_keeps_the_reason_for_which_it_was_hung_up() -> None:
    orchestrator = with_status(CallStatus.IN_PROGRESS)
    await orchestrator.handle(CallCancelRequested(call_id=CALL_ID), "cancel")
    await orchestrator.handle(reported(TelephonyStatus.COMPLETED), "report")
    assert (orchestrator.call.status, orchestrator.call.hangup_reason) == (CallStatus.CANCELED, HangupReason.CANCELED)


async def test_after_a_conflict_the_input_is_decided_again_on_the_new_state() -> None:
    orchestrator = with_status(CallStatus.DIALING)
    answered = status_changed(a_call(CallStatus.IN_PROGRESS), previous=CallStatus.DIALING)
    orchestrator.log.before_append = appended_first(orchestrator.log, answered)
    await orchestrator.handle(reported(TelephonyStatus.BUSY))
    assert [event.call.status for event in orchestrator.decisions[-2:]] == [CallStatus.IN_PROGRESS, CallStatus.BUSY]
    assert orchestrator.call.ended_at == NOW, "a busy line would have been retried; an answered call ends"


async def test_after_a_conflict_an_input_that_became_obsolete_is_ignored() -> None:
    orchestrator = with_status(CallStatus.DIALING)
    answered = status_changed(a_call(CallStatus.IN_PROGRESS), previous=CallStatus.DIALING)
    orchestrator.log.before_append = appended_first(orchestrator.log, answered)
    outcome = await orchestrator.handle(reported(TelephonyStatus.RINGING))
    assert outcome.status is CallStatus.IN_PROGRESS
    assert orchestrator.log.events()[-1] == answered
    assert orchestrator.timers.deadlines == {CALL_ID: answered.call.deadline_at}


async def test_two_replicas_that_create_the_same_call_append_it_once() -> None:
    orchestrator = Orchestrator()
    orchestrator.log.before_append = appended_first(orchestrator.log, call_created(a_call()))
    outcome = await orchestrator.handle(REQUEST)
    assert outcome.accepted
    assert len(orchestrator.decisions) == 1


async def test_too_many_conflicts_are_raised() -> None:
    orchestrator = with_status(CallStatus.DIALING)
    others = [status_changed(a_call(CallStatus.DIALING))] * (MAX_CONFLICTS + 1)
    orchestrator.log.before_append = appended_first(orchestrator.log, *others)
    with pytest.raises(Conflict, match=f"{CALL_ID}: {MAX_CONFLICTS} conflicts"):
        await orchestrator.handle(reported(TelephonyStatus.BUSY))


async def test_an_input_is_decided_after_the_maximum_number_of_conflicts() -> None:
    orchestrator = with_status(CallStatus.DIALING)
    others = [status_changed(a_call(CallStatus.DIALING))] * (MAX_CONFLICTS - 1)
    orchestrator.log.before_append = appended_first(orchestrator.log, *others)
    await orchestrator.handle(reported(TelephonyStatus.BUSY))
    assert orchestrator.call.status is CallStatus.PENDING


async def test_a_redelivery_right_after_the_decision_only_repeats_the_effects() -> None:
    orchestrator = Orchestrator()
    await orchestrator.handle(REQUEST)
    orchestrator.timers.deadlines.clear()  # the replica died before it set the timer
    outcome = await orchestrator.handle(REQUEST, is_redelivered=True)
    assert outcome.accepted
    assert len(orchestrator.decisions) == 1
    assert orchestrator.timers.deadlines == {CALL_ID: EXPIRES_AT}


async def test_a_redelivered_change_is_not_decided_again_after_a_later_decision() -> None:
    change = CallChangeRequested(call_id=CALL_ID, max_retries=1)
    orchestrator = Orchestrator()
    await orchestrator.handle(REQUEST, "request")
    await orchestrator.handle(change, "change-1")
    await orchestrator.handle(change.model_copy(update={"max_retries": 2}), "change-2")
    await orchestrator.handle(change, "change-1", is_redelivered=True)
    assert orchestrator.call.max_retries == 2
    assert len(orchestrator.decisions) == 3


async def test_a_retry_policy_is_replaced_before_the_first_attempt_and_not_after_it() -> None:
    policies = [{"busy": {"max_retries": 1, "delay_seconds": 60}}, {"failed": {"max_retries": 2, "delay_seconds": 9}}]
    asked, other = (RequestedRetryPolicy.model_validate(policy) for policy in policies)
    orchestrator = Orchestrator()
    await orchestrator.handle(REQUEST.model_copy(update={"retry_policy": asked}), "request")
    assert orchestrator.call.retry_policy == asked.stored()
    change = CallChangeRequested(call_id=CALL_ID, retry_policy=other)
    assert (await orchestrator.handle(change, "change-1")).accepted
    assert orchestrator.call.retry_policy == other.stored()
    await orchestrator.handle(CallChangeRequested(call_id=CALL_ID, max_retries=1), "change-2")
    assert orchestrator.call.retry_policy == other.stored()
    assert (await orchestrator.handle(change.model_copy(update={"retry_policy": NO_RULES}), "change-3")).accepted
    assert orchestrator.call.retry_policy == NO_RULES.stored()
    orchestrator.log.store(status_changed(a_call(attempt=1, due_at=NOW, retry_policy=other.stored())))
    assert not (await orchestrator.handle(change, "change-4")).accepted
    assert orchestrator.call.retry_policy == other.stored()


async def test_a_retry_command_is_never_decided_twice_even_if_no_redelivery_is_reported() -> None:
    orchestrator = with_status(CallStatus.FAILED)
    retry = CallRetryRequested(call_id=CALL_ID)
    await orchestrator.handle(retry, "retry")
    orchestrator.log.store(status_changed(a_call(CallStatus.FAILED, attempt=2)))
    outcome = await orchestrator.handle(retry, "retry")
    assert outcome.status is CallStatus.FAILED
    assert orchestrator.call.status is CallStatus.FAILED


async def test_a_command_for_an_unknown_call_is_refused() -> None:
    outcome = await Orchestrator().handle(CallCancelRequested(call_id=CALL_ID))
    assert (outcome.accepted, outcome.reasons) == (False, ("there is no such call",))


async def test_a_change_after_which_the_script_lacks_a_variable_is_refused_and_changes_nothing() -> None:
    orchestrator = with_status(CallStatus.PENDING)
    before = orchestrator.call
    outcome = await orchestrator.handle(CallChangeRequested(call_id=CALL_ID, script_template="Hola {{surname}}."))
    assert not outcome.accepted
    assert "surname" in outcome.reasons[0]
    assert orchestrator.call == before.model_copy(update={"command_sequence": 1})


async def test_commands_that_overtook_their_request_are_decided_before_any_effect_of_it() -> None:
    orchestrator = Orchestrator()
    orchestrator.position("request")
    orchestrator.store(CallChangeRequested(call_id=CALL_ID, variables={"name": "Luz"}), "change")
    orchestrator.store(CallCancelRequested(call_id=CALL_ID), "cancel")
    outcome = await orchestrator.handle(REQUEST, "request")
    names = [event.event_name for event in orchestrator.log.events()]
    assert names == ["call.created", "call.changed", "call.status_changed"]
    assert (outcome.accepted, outcome.status) == (True, CallStatus.CANCELED)
    assert orchestrator.timers.deadlines == {}
    assert orchestrator.call.command_sequence == orchestrator.position("cancel")


async def test_a_request_that_is_delivered_again_after_a_crash_decides_the_commands_first() -> None:
    orchestrator = Orchestrator()
    await orchestrator.handle(REQUEST, "request")
    orchestrator.timers.deadlines.clear()  # the replica died before it set the timer
    orchestrator.store(CallCancelRequested(call_id=CALL_ID), "cancel")
    await orchestrator.handle(REQUEST, "request", is_redelivered=True)
    assert orchestrator.call.status is CallStatus.CANCELED
    assert orchestrator.timers.deadlines == {}


async def test_the_earlier_commands_of_a_call_are_decided_before_a_delivered_one() -> None:
    orchestrator = Orchestrator()
    await orchestrator.handle(REQUEST, "request")
    first, second = (CallChangeRequested(call_id=CALL_ID, max_retries=count) for count in (1, 2))
    orchestrator.store(first, "first")
    await orchestrator.handle(second, "second")
    outcome = await orchestrator.handle(first, "first")
    assert outcome.accepted
    assert [event.call.max_retries for event in orchestrator.decisions] == [3, 1, 2]


async def test_a_decided_command_keeps_its_outcome_when_it_is_delivered_again() -> None:
    orchestrator = Orchestrator()
    await orchestrator.handle(REQUEST, "request")
    retry = CallRetryRequested(call_id=CALL_ID)
    refused = await orchestrator.handle(retry, "retry")
    orchestrator.log.store(status_changed(a_call(CallStatus.FAILED, call_id=CALL_ID, command_sequence=2)))
    again = await orchestrator.handle(retry, "retry")
    assert (refused.accepted, again.accepted) == (False, False)
    assert again.reasons == refused.reasons
    assert orchestrator.call.status is CallStatus.FAILED, "now the retry would be accepted"
    event = orchestrator.decisions[1]
    assert isinstance(event, CallCommandRefused)
    assert (event.command, event.reason) == ("call.retry_requested", refused.reasons[0])


async def test_a_refused_command_of_a_queued_call_keeps_it_in_the_queue() -> None:
    orchestrator = Orchestrator()
    await orchestrator.handle(REQUEST, "request")
    await orchestrator.handle(TimerDue(call_id=CALL_ID, deadline_at=NOW), "timer")
    await orchestrator.handle(CallRetryRequested(call_id=CALL_ID), "retry")
    assert orchestrator.call.is_queued
    assert orchestrator.queue.joined == {CALL_ID: orchestrator.log.stored[-1].sequence}


async def test_a_command_that_was_stored_before_the_request_of_its_call_is_refused() -> None:
    orchestrator = Orchestrator()
    cancel = command(CallCancelRequested(call_id=CALL_ID), "cancel", orchestrator.position("cancel"))
    await orchestrator.handle(REQUEST, "request")
    effects = Effects(orchestrator.timers, orchestrator.queue)
    service = CallService(orchestrator.log, orchestrator.requests, effects, POLICY, now=lambda: NOW)
    outcome = await service.handle_command(cancel)
    assert (outcome.accepted, outcome.code) == (False, RefusalCode.NO_SUCH_CALL)
    assert orchestrator.call.status is CallStatus.PENDING


async def test_a_new_command_whose_position_an_import_made_smaller_is_decided() -> None:
    orchestrator = orchestrator_with_position(1_000)
    outcome = await orchestrator.handle(CallCancelRequested(call_id=CALL_ID), "cancel")
    assert (outcome.accepted, orchestrator.call.status) == (True, CallStatus.CANCELED)
    assert orchestrator.call.command_sequence == 1_000


async def test_a_command_that_was_stored_twice_is_decided_once() -> None:
    orchestrator = with_status(CallStatus.FAILED)
    retry = CallRetryRequested(call_id=CALL_ID)
    await orchestrator.handle(retry, "retry")
    orchestrator.log.store(status_changed(a_call(CallStatus.FAILED, attempt=2, command_sequence=1)))
    orchestrator.positions.clear()
    orchestrator.position("another")
    outcome = await orchestrator.handle(retry, "retry")
    assert outcome.accepted
    assert orchestrator.call.status is CallStatus.FAILED


async def test_a_command_without_a_call_waits_while_an_earlier_request_is_undecided() -> None:
    orchestrator = Orchestrator()
    orchestrator.requests.distance = 1
    with pytest.raises(EarlierRequestUndecided):
        await orchestrator.handle(CallCancelRequested(call_id=CALL_ID))


def test_the_wait_for_an_earlier_request_grows_and_is_unlimited() -> None:
    waits = [EarlierRequestUndecided(deliveries, 1) for deliveries in (1, 2, 3, 20, 1_000_000)]
    assert [wait.delay for wait in waits] == [0.1, 0.2, 0.4, 15, 15]
    waits += [EarlierRequestUndecided(1, distance) for distance in (50, 3_000, 10_000)]
    assert [wait.delay for wait in waits[5:]] == [0.1, 6, 15]
    assert all(wait.is_unlimited for wait in waits)
