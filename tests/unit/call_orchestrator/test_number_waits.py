"""Calls that wait for a number are woken when it is free, the first of each campaign."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.builders.events import an_envelope, status_changed
from tests.unit.call_orchestrator.test_number_claims import LONGEST_ATTEMPT, NOON, System, busy

from call_orchestrator.application.call_inputs import call_input
from call_orchestrator.domain import inputs
from call_orchestrator.domain.decisions import CallDue, Ignored
from call_orchestrator.domain.machine import decide
from call_orchestrator.domain.states import Pending
from centralita.docs.state_machine import LATER, TERMS
from centralita.docs.state_machine import NOW as INSTANT
from chassis.event_log import StoredEvent
from contracts import (
    Call,
    CallCancelRequested,
    CallChangeRequested,
    CallCommand,
    CallRetryRequested,
    CallStatus,
    Event,
)
from contracts.number_state import MAX_WAITING, NumberState, WaitingCall


async def waiting_behind(system: System, dialing: Call, *campaigns: str) -> list[Call]:
    """Returns calls that were put off because of `dialing`."""
    calls = [system.waiting_call(campaign_id=campaign) for campaign in campaigns]
    waiting = [await system.grant(call.call_id) for call in calls]
    assert all(call.permission and call.permission.rule == "number_in_use" for call in waiting)
    assert [one.call_id for one in (await system.number()).waiting] == [call.call_id for call in waiting]
    assert dialing.status is CallStatus.DIALING
    return waiting


async def wake(system: System, call: Call) -> Call:
    """Lets the timer of a woken call fire."""
    timer = next(timer for timer in reversed(system.timers.early) if timer.call_id == call.call_id)
    await system.replicas[0].handle(call_input(timer, system.log.store(timer).envelope))
    return await system.call(call.call_id)


async def test_the_end_of_an_attempt_wakes_the_first_call_of_each_campaign() -> None:
    system = System()
    dialing = await system.grant(system.waiting_call().call_id)
    first, second, other = await waiting_behind(system, dialing, "spring", "spring", "autumn")
    system.now += timedelta(seconds=20)
    await system.report(busy(dialing))
    assert [call.call_id for call in system.timers.woken] == [first.call_id, other.call_id]

    woken = await wake(system, first)
    assert (woken.is_queued, woken.due_at) == (True, system.now)
    dialing = await system.grant(first.call_id)
    assert dialing.status is CallStatus.DIALING
    assert [one.call_id for one in (await system.number()).waiting] == [second.call_id, other.call_id]
    await system.report(busy(dialing))
    assert [call.call_id for call in system.timers.woken][2:] == [second.call_id, other.call_id]


async def test_a_further_call_is_put_off_for_longer() -> None:
    system = System()
    dialing = await system.grant(system.waiting_call().call_id)
    waiting = await waiting_behind(system, dialing, "spring", "spring", "spring")
    assert [call.due_at for call in waiting] == [NOON + number * LONGEST_ATTEMPT for number in (1, 2, 3)]


async def test_a_call_that_is_put_off_after_the_release_is_woken_at_once() -> None:
    system = System()
    dialing = await system.grant(system.waiting_call().call_id)
    [call] = await waiting_behind(system, dialing, "spring")
    await system.report(busy(dialing))
    system.timers.woken.clear()
    await system.replicas[1]._claims.wait(call, an_envelope())  # type: ignore[union-attr]
    assert system.timers.woken == [call]


async def test_a_call_that_is_noted_after_the_end_of_the_attempt_is_woken_at_once() -> None:
    """The end of the attempt found no waiting call, so it has not released the number."""
    system = System()
    dialing, call = await system.grant(system.waiting_call().call_id), system.waiting_call()

    def end_attempt(_: Event) -> None:
        system.numbers.before_append = lambda _: None
        system.log.store(status_changed(dialing.model_copy(update={"status": CallStatus.BUSY, "deadline_at": None})))

    system.numbers.before_append = end_attempt
    put_off = await system.grant(call.call_id)
    assert [one.call_id for one in system.timers.woken] == [call.call_id]
    assert (await wake(system, put_off)).is_queued
    assert (await system.grant(call.call_id)).status is CallStatus.DIALING


async def test_a_woken_call_that_may_not_be_dialled_passes_its_turn_on() -> None:
    system = System()
    dialing = await system.grant(system.waiting_call().call_id)
    first, second = await waiting_behind(system, dialing, "spring", "spring")
    await system.report(busy(dialing))
    await wake(system, first)
    system.now = NOON.replace(hour=4)  # before the calling hours
    put_off = await system.grant(first.call_id)
    assert put_off.permission
    assert put_off.permission.rule == "calling_hours"
    assert [call.call_id for call in system.timers.woken] == [first.call_id, second.call_id]
    assert [one.call_id for one in (await system.number()).waiting] == [second.call_id]


async def test_a_woken_call_that_is_canceled_passes_its_turn_on() -> None:
    system = System()
    dialing = await system.grant(system.waiting_call().call_id)
    first, second = await waiting_behind(system, dialing, "spring", "spring")
    await system.report(busy(dialing))
    await wake(system, first)
    cancel = StoredEvent(CallCancelRequested(call_id=first.call_id), an_envelope("cancel"), sequence=1)
    await system.replicas[1].handle_command(cancel)
    assert [call.call_id for call in system.timers.woken] == [first.call_id, second.call_id]


async def test_a_call_that_no_longer_waits_is_not_woken() -> None:
    system = System()
    dialing = await system.grant(system.waiting_call().call_id)
    first, second = await waiting_behind(system, dialing, "spring", "spring")
    ended = {"status": CallStatus.CANCELED, "deadline_at": None, "due_at": None, "permission": None}
    system.log.store(status_changed(first.model_copy(update=ended)))
    await system.report(busy(dialing))
    assert [call.call_id for call in system.timers.woken] == [second.call_id]
    assert [one.call_id for one in (await system.number()).waiting] == [second.call_id]


@pytest.mark.parametrize(
    "command",
    [
        lambda call: CallRetryRequested(call_id=call.call_id),
        lambda call: CallChangeRequested(call_id=call.call_id, metadata={"order": "17"}),
        lambda call: CallChangeRequested(call_id=call.call_id, max_retries=0),
    ],
    ids=["a refused retry", "new metadata", "a new term"],
)
async def test_a_command_that_leaves_its_due_time_does_not_cost_a_call_its_wake_up(
    command: Callable[[Call], CallCommand],
) -> None:
    system = System()
    dialing = await system.grant(system.waiting_call().call_id)
    [call] = await waiting_behind(system, dialing, "spring")
    await system.replicas[0].handle_command(StoredEvent(command(call), an_envelope("command"), sequence=1))
    assert (await system.call(call.call_id)).permission is None, "the command led to an event"
    system.now += timedelta(seconds=20)
    await system.report(busy(dialing))
    assert [woken.call_id for woken in system.timers.woken] == [call.call_id]
    woken = await wake(system, call)
    assert (woken.is_queued, woken.due_at) == (True, system.now)


async def test_a_call_that_was_changed_to_another_time_is_not_woken() -> None:
    system = System()
    dialing = await system.grant(system.waiting_call().call_id)
    [call] = await waiting_behind(system, dialing, "spring")
    change = CallChangeRequested(call_id=call.call_id, scheduled_at=system.now + timedelta(hours=3))
    await system.replicas[0].handle_command(StoredEvent(change, an_envelope("change"), sequence=1))
    await system.report(busy(dialing))
    assert system.timers.woken == []
    assert (await system.number()).waiting == ()


async def test_a_call_that_an_older_build_noted_is_woken() -> None:
    system = System()
    dialing = await system.grant(system.waiting_call().call_id)
    [call] = await waiting_behind(system, dialing, "spring")
    number = await system.number()
    noted = WaitingCall(call_id=call.call_id, campaign_id=call.campaign_id)
    system.store_number(live=number.live, waiting=(noted,))
    await system.report(busy(dialing), replica=1)
    assert [woken.call_id for woken in system.timers.woken] == [call.call_id]


@pytest.mark.parametrize("is_queued", [False, True])
def test_only_the_timer_of_the_present_wait_queues_a_call_early(is_queued: bool) -> None:
    waiting = Pending(attempt=0, due_at=LATER, dial_expires_at=LATER + timedelta(hours=1))
    early = inputs.TimerDue(deadline_at=LATER, is_number_free=True)
    if is_queued:
        waiting = replace(waiting, queue_expires_at=LATER)
    for timer in (replace(early, is_number_free=False), replace(early, deadline_at=INSTANT)):
        assert isinstance(decide(waiting, timer, TERMS, INSTANT), Ignored)
    decision = decide(waiting, early, TERMS, INSTANT)
    if is_queued:
        assert isinstance(decision, Ignored)
    else:
        expires_at = INSTANT + timedelta(hours=1)
        expected = replace(waiting, due_at=INSTANT, dial_expires_at=expires_at, queue_expires_at=expires_at)
        assert decision == CallDue(state=expected), "the time that the call need not wait prolongs nothing"


def test_a_number_names_a_bounded_number_of_waiting_calls() -> None:
    calls = [WaitingCall.model_validate({"call_id": f"{number:032x}", "campaign_id": "c"}) for number in range(100)]
    number = NumberState(number_digest="d")
    for call in (*calls, *calls):
        number = number.with_waiting(call)
    assert number.waiting == tuple(calls[:MAX_WAITING])
    assert number.place_of(calls[3].call_id) == 3
    assert number.without_waiting([calls[0].call_id]).place_of(calls[3].call_id) == 2
    later = calls[3].model_copy(update={"due_at": INSTANT})
    assert number.with_waiting(later).waiting[3] == later, "a call that is put off again keeps its place"
