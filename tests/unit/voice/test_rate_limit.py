"""No second contains more dials than the account allows, for any delays."""

import heapq
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voice.domain.rate_limit import RateLimit

MAX_PENDING_SECONDS = 35.0


def max_in_window(instants: list[float], window_seconds: float = 1.0) -> int:
    ordered = sorted(instants)
    return max(sum(start <= other < start + window_seconds for other in ordered) for start in ordered)


class World:
    """Replicas that receive events with random delays, and a provider with random latency.

    The server is modelled by the sequence of the last permit; only a replica that has received it can append another.
    """

    def __init__(self, randomness: random.Random, *, replicas: int, per_second: float, max_delay: float) -> None:
        self.randomness, self.max_delay = randomness, max_delay
        self.limits = [RateLimit(per_second, MAX_PENDING_SECONDS) for _ in range(replicas)]
        self.received_until = [0.0] * replicas
        self.dialled_at: list[float] = []
        self.last_permit = self.number = 0
        self._agenda: list[tuple[float, int, int, str, int]] = []

    def run(self, count: int) -> float:
        """Dials `count` calls and returns when the last one was dialled."""
        now = 0.0
        while len(self.dialled_at) < count:
            while self._agenda and self._agenda[0][0] <= now:
                at, _, replica, kind, number = heapq.heappop(self._agenda)
                limit = self.limits[replica]
                if kind == "permit":
                    limit.add_permit(number, f"c{number}", 1, at)
                else:
                    limit.add_outcome(number, f"c{number}", 1, at)
            for limit in self.limits:
                if limit.wait_seconds(now) == 0 and limit.last_permit_sequence == self.last_permit:
                    self._append_permit(now)
            now += self.randomness.uniform(0.001, 0.02)
        return max(self.dialled_at)

    def _append_permit(self, now: float) -> None:
        self.number += 1
        self.last_permit = self.number
        permitted = now + self._delay()
        sent = permitted + self._delay()
        finished = sent + self._delay()
        self.dialled_at.append(sent)
        for replica in range(len(self.limits)):
            for kind, happened in (("permit", permitted), ("outcome", finished)):
                # Each replica receives permits in log order.
                received = max(happened + self._delay(), self.received_until[replica])
                self.received_until[replica] = received if kind == "permit" else self.received_until[replica]
                heapq.heappush(self._agenda, (received, len(self._agenda), replica, kind, self.number))

    def _delay(self) -> float:
        return self.randomness.uniform(0, self.max_delay)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    replicas=st.integers(1, 4),
    per_second=st.sampled_from([1, 1.9, 3, 8]),
    max_delay=st.sampled_from([0.001, 0.05, 0.7]),
)
def test_no_second_contains_more_dials_than_the_limit(
    seed: int, replicas: int, per_second: float, max_delay: float
) -> None:
    world = World(random.Random(seed), replicas=replicas, per_second=per_second, max_delay=max_delay)
    world.run(25)
    assert max_in_window(world.dialled_at) <= per_second


def test_a_rate_below_one_a_second_is_one_dial_in_a_longer_window() -> None:
    world = World(random.Random(1), replicas=2, per_second=0.25, max_delay=0.05)
    world.run(6)
    assert max_in_window(world.dialled_at, window_seconds=4.0) == 1


def test_a_fast_provider_allows_the_full_rate() -> None:
    world = World(random.Random(2), replicas=3, per_second=4, max_delay=0.004)
    assert 40 / 4 - 1 <= world.run(40) < (40 / 4) / 0.95


def test_an_attempt_without_an_outcome_counts_until_it_can_no_longer_be_sent() -> None:
    limit = RateLimit(1, MAX_PENDING_SECONDS)
    limit.add_permit(1, "c", 1, now=100.0)
    assert limit.wait_seconds(101.0) == pytest.approx(MAX_PENDING_SECONDS - 1)
    assert limit.wait_seconds(100.0 + MAX_PENDING_SECONDS) == 0


def test_a_permit_names_the_sequence_from_which_every_counting_dial_is_found() -> None:
    limit = RateLimit(2, MAX_PENDING_SECONDS)
    limit.add_permit(10, "a", 1, now=0.0)
    limit.add_permit(20, "b", 1, now=0.1)
    limit.add_outcome(30, "a", 1, now=0.2)
    assert limit.replay_from_sequence == 10, "its outcome is less than a second old"
    assert limit.wait_seconds(1.3) == 0
    assert limit.replay_from_sequence == 20
    limit.add_outcome(40, "b", 1, now=1.4)
    assert limit.wait_seconds(2.5) == 0
    assert limit.replay_from_sequence == 21


def test_after_a_restart_no_permit_is_possible_until_the_last_one_is_known() -> None:
    limit = RateLimit(1, MAX_PENDING_SECONDS)
    limit.add_permit(10, "a", 1, now=0.0)
    limit.restart()
    assert limit.last_permit_sequence == 0, "the server refuses an append with this guard"


def test_no_permit_is_possible_before_the_last_one_of_the_log_is_applied() -> None:
    limit = RateLimit(1, MAX_PENDING_SECONDS)
    limit.restart()
    assert not limit.is_current
    limit.begin(7)
    is_current_before = limit.is_current
    limit.add_permit(7, "c1", 1, 0.0)
    assert (is_current_before, limit.is_current, limit.guard_sequence) == (False, True, 7)


def test_a_permit_of_an_older_build_counts_and_is_no_guard() -> None:
    limit = RateLimit(1, MAX_PENDING_SECONDS)
    limit.restart()
    limit.begin(7, is_chained=False)
    limit.add_permit(7, "c1", 1, 0.0)
    assert limit.is_current
    assert limit.guard_sequence == 0
    assert limit.wait_seconds(0.0) > 0
    limit.add_permit(9, "c2", 1, 1.0)
    assert limit.guard_sequence == 9


def test_a_permit_of_an_attempt_that_was_refused_before_counts_for_nothing() -> None:
    limit = RateLimit(1, MAX_PENDING_SECONDS)
    limit.add_outcome(5, "c1", 1, 0.0)
    limit.add_permit(7, "c1", 1, 0.1)
    assert limit.has_outcome("c1", 1)
    assert not limit.has_outcome("c1", 2)
    assert limit.wait_seconds(1.5) == 0
