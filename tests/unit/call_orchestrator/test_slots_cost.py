"""The fold of the slots equals its simple model, and costs the same with any number of campaigns, calls and ends."""

import sys
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from types import FrameType
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.call_orchestrator.simple_slots import SimpleSlots

from call_orchestrator.domain import priorities, slots
from call_orchestrator.domain.limits import CampaignLimits, Limits
from call_orchestrator.domain.slot_events import Begun, Claimed, Decided, Granted, Released, Waiting
from call_orchestrator.domain.slots import Slots
from centralita.docs.state_machine import NOW

LIMITS = st.builds(
    Limits,
    max_live=st.sampled_from([None, 1, 2, 5]),
    max_live_per_campaign=st.sampled_from([None, 1, 2]),
    max_unclaimed=st.sampled_from([1, 3, 100]),
)
CALLS = [f"{campaign}{number}" for campaign in "abcd" for number in range(4)]
ACTS = st.tuples(
    st.sampled_from(["join", "join again", "leave", "grant", "claim", "end", "decide", "release", "close", "open"]),
    st.sampled_from(CALLS),
    st.integers(min_value=0, max_value=3),
)


def waiting(call_id: str, due_sequence: int, minutes: int = 0) -> Waiting:
    return Waiting(
        call_id=call_id,
        campaign_id=call_id[0],
        attempt=1,
        due_at=NOW + timedelta(minutes=minutes),
        due_sequence=due_sequence,
        queue_sequence=due_sequence,
    )


class Pair:
    """The fold and its model, which get the same events and must give the same answers."""

    def __init__(self, limits: Limits) -> None:
        self.fold, self.model, self.sequence = Slots(limits), SimpleSlots(limits), 0
        self.fold.apply(Begun(0))
        self.fold.update_campaigns({})

    def act(self, act: str, call_id: str, number: int) -> None:
        self.sequence += 1
        slot = self.model.occupied.get(call_id)
        known = self.model.waiting.get(call_id)
        match act:
            case "join":
                self.both(lambda one: one.join(waiting(call_id, self.sequence, number)))
            case "join again" if known:
                self.both(lambda one: one.join(replace(known, due_sequence=known.due_sequence - number)))
            case "leave" if known:
                self.both(lambda one: one.leave(known if number else replace(known, attempt=2)))
            case "grant" if call := self.model.next_call():
                self.both(lambda one: one.apply(Granted(self.sequence, call.call_id, call.campaign_id)))
            case "claim":
                self.both(lambda one: one.apply(Claimed(call_id)))
            case "end" | "decide":
                decided = Decided(self.sequence - number, call_id, is_live=act == "decide")
                self.both(lambda one: one.apply(decided))
            case "release" if slot:
                self.both(lambda one: one.apply(Released(call_id, slot.grant_sequence - (number == 0))))
            case "close" | "open":
                limits = CampaignLimits(is_open=act == "open", max_live=number % 3 or None)
                self.fold.update_campaigns({call_id[0]: limits})
                self.model.campaigns[call_id[0]] = limits

    def both(self, act: Callable[[Any], object]) -> None:
        assert act(self.fold) == act(self.model)

    def check(self) -> None:
        fold, model = self.fold, self.model
        assert fold.next_call() == model.next_call()
        assert fold.grantable() == len(model.eligible())
        assert fold.waiting_in(fold.closed or ()) == model.waiting_in_closed()
        assert (dict(fold.occupied), fold.waiting) == (model.occupied, model.waiting)
        assert fold.replay_from_sequence == model.replay_from_sequence()
        for call_id in CALLS[::3]:
            is_next = fold.may_use_slot(call_id, call_id[0]) and not fold.grantable()
            assert is_next == self.would_be_next(call_id)

    def would_be_next(self, call_id: str) -> bool:
        """Whether the call would be next if it began to wait now, and no other is."""
        joined, call = deepcopy(self.model), waiting(call_id, self.sequence + 1)
        return (
            not self.model.eligible()
            and call_id not in joined.occupied
            and joined.join(call)
            and (joined.next_call() == call)
        )


@given(LIMITS, st.lists(ACTS, max_size=80))
@settings(max_examples=200, deadline=None)
def test_the_fold_answers_as_its_model_after_any_events(limits: Limits, acts: list[tuple[str, str, int]]) -> None:
    pair = Pair(limits)
    for act in acts:
        pair.act(*act)
        pair.check()


class Counted(int):
    """A sequence that counts its comparisons, also those in `heapq`."""

    comparisons: ClassVar[int] = 0

    def __lt__(self, other: int) -> bool:
        Counted.comparisons += 1
        return int(self) < int(other)

    def __eq__(self, other: object) -> bool:
        Counted.comparisons += 1
        return int(self) == other

    __hash__ = int.__hash__


@contextmanager
def counted() -> Iterator[Callable[[], int]]:
    """Counts the lines that the fold executes and the comparisons of sequences."""
    lines, files = 0, {slots.__file__, priorities.__file__}
    Counted.comparisons = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal lines
        if frame.f_code.co_filename not in files:
            return None
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield lambda: lines + Counted.comparisons
    finally:
        sys.settrace(before)


def operations(campaigns: int, calls_of_each: int, rounds: int = 200) -> float:
    """Returns the operations of a call from its grant to its end, while these calls wait and each end lets one join."""
    fold, sequence = Slots(Limits(max_live=20, max_live_per_campaign=None, max_unclaimed=20)), 1
    fold.apply(Begun(0))
    fold.update_campaigns({f"{number}": CampaignLimits(is_open=number % 10 != 0) for number in range(campaigns)})
    for number in range(campaigns * calls_of_each):
        sequence += 1
        fold.join(replace(waiting(f"c{number}", Counted(sequence)), campaign_id=f"{number % campaigns}"))
    with counted() as count:
        for _ in range(rounds):
            call = fold.next_call()
            assert call
            sequence += 4
            fold.apply(Granted(Counted(sequence), call.call_id, call.campaign_id))
            fold.apply(Claimed(call.call_id))
            fold.apply(Decided(sequence + 1, f"unknown{sequence}", is_live=False))
            fold.apply(Decided(sequence + 2, call.call_id, is_live=False))
            again = replace(call, call_id=f"c{sequence}", due_sequence=Counted(sequence + 3))
            fold.join(again)
        return count() / rounds


@pytest.mark.parametrize(("campaigns", "calls_of_each"), [(10_000, 1), (10, 1_000)])
def test_a_grant_costs_nearly_the_same_with_any_number_of_campaigns_and_waiting_calls(
    campaigns: int, calls_of_each: int
) -> None:
    few = operations(10, 1)
    assert operations(campaigns, calls_of_each) < 3 * few, "the logarithm of the number"


def test_the_count_of_the_calls_of_closed_campaigns_does_not_cost_more_after_many_finished_campaigns() -> None:
    fold = Slots(Limits(max_live=None, max_live_per_campaign=None, max_unclaimed=9))
    fold.update_campaigns({f"{number}": CampaignLimits(is_open=False) for number in range(10_000)})
    for number in range(3):
        fold.join(replace(waiting(f"c{number}", number), campaign_id=f"{number}"))
    fold.join(waiting("a1", 4))
    with counted() as count:
        assert fold.waiting_in(fold.closed or ()) == 3
        assert count() < 100


def size_of(fold: Slots) -> int:
    """Returns how many entries the fold keeps in all its containers."""
    per_campaign = sum(len(one.queue) + len(one.queue._heap) for one in fold._campaigns.values())
    containers: tuple[Sized, ...] = (
        fold.occupied,
        fold.waiting,
        fold._campaigns,
        fold._past,
        fold._turns,
        fold._turns._heap,
    )
    return per_campaign + sum(len(one) for one in containers)


def test_the_memory_does_not_grow_with_ended_calls_and_past_campaigns() -> None:
    limits = Limits(max_live=5, max_live_per_campaign=None, max_unclaimed=5)
    fold, sequence, sizes = Slots(limits, max_past_campaigns=10), 0, []
    fold.apply(Begun(0))
    fold.update_campaigns({"waits": CampaignLimits(is_open=False)})
    fold.join(replace(waiting("w", 1), campaign_id="waits"))
    for number in range(3_000):
        campaign_id = f"campaign{number // 10}"
        sequence += 10
        call = replace(waiting(f"c{number}", sequence), campaign_id=campaign_id)
        fold.join(call)
        fold.join(replace(waiting("w", sequence + 1), campaign_id="waits"))
        if number % 2:
            fold.apply(Decided(sequence + 2, call.call_id, is_live=False))
            continue
        assert fold.next_call() == call
        fold.apply(Granted(sequence + 2, call.call_id, campaign_id))
        fold.apply(Decided(sequence + 3, call.call_id, is_live=False))
        sizes.append(size_of(fold))
    assert max(sizes) < 100
    assert max(sizes[-200:]) <= max(sizes[:200])


def test_a_campaign_whose_calls_have_all_ended_keeps_its_turn() -> None:
    fold = Slots(Limits(max_live=None, max_live_per_campaign=None, max_unclaimed=9))
    fold.apply(Begun(0))
    fold.update_campaigns({})
    fold.apply(Granted(1, "a1", "a"))
    fold.apply(Granted(2, "b1", "b"))
    fold.apply(Decided(3, "b1", is_live=False))
    fold.join(waiting("b2", 4))
    fold.join(waiting("a2", 5))
    assert fold.next_call() == waiting("a2", 5)
