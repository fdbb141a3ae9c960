"""The message to a machine: when it is left, how much of it was left, and how its call ends."""

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.builders.calls import a_call

from call_orchestrator.application.decision_terms import MESSAGE_MARGIN, terms_of
from call_orchestrator.application.snapshots import call_after, state_of
from call_orchestrator.domain import inputs
from call_orchestrator.domain.decisions import (
    CallHangupRequested,
    CallMessageRequested,
    CallMessageStarted,
    CallMessageWithdrawn,
    CallStatusChanged,
    Decision,
    Event,
    Ignored,
    Refused,
)
from call_orchestrator.domain.machine import decide
from call_orchestrator.domain.retry_rules import RetryRule
from call_orchestrator.domain.states import Dialing, InProgress, Message, State
from centralita.docs.state_machine import LATER, MESSAGE_TERMS, NOW, RETRY_POLICY_TERMS, TERMS
from contracts.vocabulary import (
    AnsweredBy,
    CallStatus,
    Disposition,
    HangupReason,
    RetryOutcome,
    TelephonyStatus,
    VoicemailDelivery,
)
from contracts.voicemail import VoicemailPolicy

DIALING = Dialing(attempt=1, dialed_at=NOW, deadline_at=LATER)
TALKING = InProgress(attempt=1, dialed_at=NOW, deadline_at=NOW + TERMS.max_talk, answered_at=NOW)
MACHINE = inputs.AnswerClassified(attempt=1, answered_by=AnsweredBy.MACHINE)
AFTER_BEEP = replace(MACHINE, is_after_beep=True)
BEGINS = inputs.MessageReported(attempt=1, is_finished=False)
FINISHED = inputs.MessageReported(attempt=1, is_finished=True)
PERSON = inputs.PersonRecognized(attempt=1)
COMPLETED = inputs.TelephonyStatusReported(attempt=1, status=TelephonyStatus.COMPLETED)
ENDED = inputs.ConversationEnded(attempt=1, disposition=Disposition.ANSWERED, goodbye_seconds=2)


def after(*happened: inputs.Input, state: State = TALKING) -> State:
    """Returns the state after inputs that each lead to an event."""
    for input in happened:
        decision = decide(state, input, MESSAGE_TERMS, NOW)
        assert not isinstance(decision, Ignored | Refused), decision
        state = decision.state
    return state


def decided(state: State, input: inputs.Input) -> Decision:
    return decide(state, input, MESSAGE_TERMS, NOW)


@pytest.mark.parametrize("state", [DIALING, TALKING])
def test_a_machine_gets_the_message_within_a_deadline(state: Dialing | InProgress) -> None:
    requested = decided(state, AFTER_BEEP)
    assert isinstance(requested, CallMessageRequested)
    assert requested.state.message == Message(is_after_beep=True)
    assert MESSAGE_TERMS.message_time
    assert requested.state.deadline_at == NOW + MESSAGE_TERMS.message_time
    assert isinstance(decided(requested.state, AFTER_BEEP), Ignored)


def test_a_message_that_was_requested_before_the_report_of_the_answer_keeps_its_deadline() -> None:
    machine = after(AFTER_BEEP, state=DIALING)
    reported = [
        inputs.TelephonyStatusReported(attempt=1, status=status)
        for status in (TelephonyStatus.RINGING, TelephonyStatus.IN_PROGRESS)
    ]
    answered = after(*reported, state=machine)
    assert isinstance(answered, InProgress)
    assert (answered.message, answered.deadline_at) == (Message(is_after_beep=True), machine.deadline_at)


def test_a_machine_is_hung_up_without_a_message_and_after_a_concluded_conversation() -> None:
    assert isinstance(decide(TALKING, AFTER_BEEP, TERMS, NOW), CallHangupRequested)
    assert isinstance(decided(replace(TALKING, disposition=Disposition.CONFIRMED), AFTER_BEEP), CallHangupRequested)


def test_after_all_of_the_message_the_line_is_closed() -> None:
    closing = decided(after(AFTER_BEEP, BEGINS), FINISHED)
    assert isinstance(closing, CallHangupRequested)
    assert closing.reason is HangupReason.VOICEMAIL
    ended = decided(closing.state, COMPLETED)
    assert isinstance(ended, CallStatusChanged)
    assert (ended.state.status, ended.reason) == (CallStatus.VOICEMAIL, "a machine answered")
    assert isinstance(decided(closing.state, FINISHED), Ignored)


@pytest.mark.parametrize("happened", [[AFTER_BEEP], [AFTER_BEEP, BEGINS]], ids=["not begun", "being played"])
def test_a_line_that_closes_before_the_end_of_the_message_was_a_voicemail(happened: list[inputs.Input]) -> None:
    ended = decided(after(*happened), COMPLETED)
    assert isinstance(ended, CallStatusChanged)
    assert (ended.state.status, ended.reason) == (CallStatus.VOICEMAIL, "a machine answered")


def test_a_message_that_takes_too_long_is_hung_up() -> None:
    playing = after(AFTER_BEEP, BEGINS)
    assert playing.deadline_at
    closing = decide(playing, inputs.TimerDue(deadline_at=playing.deadline_at), MESSAGE_TERMS, playing.deadline_at)
    assert isinstance(closing, CallHangupRequested)
    assert closing.reason is HangupReason.VOICEMAIL


def test_a_message_begins_once_and_only_if_it_is_awaited() -> None:
    assert isinstance(decided(after(AFTER_BEEP), BEGINS), CallMessageStarted)
    assert isinstance(decided(after(AFTER_BEEP, BEGINS), BEGINS), Ignored)
    assert isinstance(decided(TALKING, BEGINS), Ignored)
    assert isinstance(decided(TALKING, FINISHED), Ignored)


@pytest.mark.parametrize("happened", [[MACHINE], [MACHINE, BEGINS]], ids=["not begun", "being played"])
def test_a_person_who_was_taken_for_a_machine_continues_the_conversation(happened: list[inputs.Input]) -> None:
    withdrawn = decided(after(*happened), PERSON)
    assert isinstance(withdrawn, CallMessageWithdrawn)
    assert withdrawn.state == TALKING, "with all of its talk time"
    concluded = after(ENDED, COMPLETED, state=withdrawn.state)
    assert concluded.status is CallStatus.COMPLETED


def test_after_the_beep_speech_withdraws_no_message() -> None:
    assert isinstance(decided(after(AFTER_BEEP), PERSON), Ignored)
    assert isinstance(decided(TALKING, PERSON), Ignored)
    assert isinstance(decided(after(MACHINE, BEGINS, FINISHED), PERSON), Ignored)


def test_a_conversation_with_a_machine_has_no_result() -> None:
    assert isinstance(decided(after(MACHINE), ENDED), Ignored)


def test_a_voicemail_is_retried_only_by_a_rule_whether_its_message_was_left_or_not() -> None:
    terms = replace(RETRY_POLICY_TERMS, message_time=MESSAGE_TERMS.message_time)
    for happened in ([AFTER_BEEP], [AFTER_BEEP, BEGINS], [AFTER_BEEP, BEGINS, FINISHED]):
        for agreed, status in ((terms, CallStatus.PENDING), (MESSAGE_TERMS, CallStatus.VOICEMAIL)):
            ended = decide(after(*happened), COMPLETED, agreed, NOW)
            assert isinstance(ended, CallStatusChanged)
            assert ended.state.status is status
    assert isinstance(RETRY_POLICY_TERMS.retry_rules[RetryOutcome.VOICEMAIL], RetryRule)


@pytest.mark.parametrize(
    ("happened", "delivery"),
    [
        ([COMPLETED], None),
        ([AFTER_BEEP, COMPLETED], VoicemailDelivery.NONE),
        ([AFTER_BEEP, BEGINS, COMPLETED], VoicemailDelivery.CUT),
        ([AFTER_BEEP, BEGINS, FINISHED, COMPLETED], VoicemailDelivery.WHOLE),
        ([MACHINE, BEGINS, PERSON, COMPLETED], None),
    ],
)
def test_a_call_records_how_much_of_its_message_was_left(
    happened: list[inputs.Input], delivery: VoicemailDelivery | None
) -> None:
    call = a_call(CallStatus.IN_PROGRESS, max_retries=0).model_copy(
        update={"voicemail": VoicemailPolicy(message="Hello {{name}}.")}
    )
    terms = terms_of(call, timedelta(days=1))
    assert terms.message_time == MESSAGE_MARGIN + timedelta(seconds=1)
    for input in happened:
        decision = decide(state_of(call), input, terms, call.status_changed_at)
        assert isinstance(decision, Event), decision
        call = call_after(call, decision, call.status_changed_at)
    assert call.voicemail_delivery is delivery
