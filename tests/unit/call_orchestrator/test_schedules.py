"""Schedules of a call: replicas set and clear them in any order, and the present deadline keeps its schedule."""

from datetime import timedelta
from itertools import accumulate, groupby
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from tests.builders.calls import NOW, a_call

from contracts import Call
from contracts.events.timers import schedule_subject


def state(minutes: int, command_sequence: int = 1, attempt: int = 0) -> Call:
    """Returns the call with a deadline in so many minutes; 0: it has ended."""
    deadline_at = NOW + timedelta(minutes=minutes) if minutes else None
    return a_call(deadline_at=deadline_at, command_sequence=command_sequence, attempt=attempt)


def is_possible(calls: list[Call]) -> bool:
    """Whether no deadline returns to an earlier instant, except after a command or with a new attempt."""
    subjects = [subject for subject, _ in groupby(map(schedule_subject, calls)) if subject]
    return len(subjects) == len(set(subjects))


def history(steps: list[tuple[int, int, int]]) -> list[Call]:
    """Returns a state for each step: minutes to the deadline, further commands, further attempts."""
    commands, attempts = (accumulate(step[index] for step in steps) for index in (1, 2))
    return [state(*each) for each in zip((step[0] for step in steps), commands, attempts, strict=True)]


STEPS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=8)
CALLS = STEPS.map(history).filter(is_possible)


def apply(stored: set[str], previous: Call | None, call: Call) -> None:
    """Does what the server does with the message that sets the timer of a call, or with the request that clears it."""
    before, after = previous and schedule_subject(previous), schedule_subject(call)
    if after != before:
        stored |= {after} if after else set()
        stored -= {before} if before else set()


@given(CALLS, st.integers())
def test_the_schedule_of_the_present_deadline_is_kept_in_any_order(calls: list[Call], seed: int) -> None:
    stored, steps = set[str](), list(zip([None, *calls[:-1]], calls, strict=True))
    Random(seed).shuffle(steps)
    for previous, call in steps:
        apply(stored, previous, call)
    assert schedule_subject(calls[-1]) in {None, *stored}


@given(CALLS)
def test_in_the_order_of_the_log_a_call_has_one_schedule_and_an_ended_one_has_none(calls: list[Call]) -> None:
    stored = set[str]()
    for previous, call in zip([None, *calls[:-1]], calls, strict=True):
        apply(stored, previous, call)
        assert stored == {subject for subject in [schedule_subject(call)] if subject}


def test_the_same_instant_has_another_schedule_after_a_command_and_in_another_attempt() -> None:
    calls = [state(1), state(1, command_sequence=2), state(1, attempt=1), state(2)]
    assert len({schedule_subject(call) for call in calls}) == len(calls)
    assert schedule_subject(state(1)) == schedule_subject(state(1).model_copy(update={"metadata": {"a": "b"}}))
