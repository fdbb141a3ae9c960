"""Never more in any one second than the account allows, whatever the network does."""

import heapq
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voice.domain.rate_limit import Pace

PATIENCE = 35.0


def most_in_a_second(instants: list[float], span: float = 1.0) -> int:
    ordered = sorted(instants)
    return max(sum(start <= other < start + span for other in ordered) for start in ordered)


class World:
    """Replicas that hear of everything late, each after a delay of its own, and a provider that answers when it likes.

    The server is a number: the sequence of the last clearance, which whoever clears must have seen.
    """

    def __init__(self, chance: random.Random, *, replicas: int, per_second: float, slowest: float) -> None:
        self.chance, self.slowest = chance, slowest
        self.paces = [Pace(per_second, PATIENCE) for _ in range(replicas)]
        self.heard_until = [0.0] * replicas
        self.dialled: list[float] = []
        self.last = self.number = 0
        self._agenda: list[tuple[float, int, int, str, int]] = []

    def run(self, count: int) -> float:
        """Dials `count` calls and returns when the last one was dialled."""
        now = 0.0
        while len(self.dialled) < count:
            while self._agenda and self._agenda[0][0] <= now:
                at, _, replica, kind, number = heapq.heappop(self._agenda)
                pace = self.paces[replica]
                if kind == "cleared":
                    pace.cleared(number, f"c{number}", 1, at)
                else:
                    pace.over(number, f"c{number}", 1, at)
            for pace in self.paces:
                if pace.wait(now) == 0 and pace.last_clearance == self.last:
                    self._clear(now)
            now += self.chance.uniform(0.001, 0.02)
        return max(self.dialled)

    def _clear(self, now: float) -> None:
        self.number += 1
        self.last = self.number
        cleared = now + self._delay()
        sent = cleared + self._delay()
        over = sent + self._delay()
        self.dialled.append(sent)
        for replica in range(len(self.paces)):
            for kind, happened in (("cleared", cleared), ("over", over)):
                # Each replica hears in the order of the log.
                heard = max(happened + self._delay(), self.heard_until[replica])
                self.heard_until[replica] = heard if kind == "cleared" else self.heard_until[replica]
                heapq.heappush(self._agenda, (heard, len(self._agenda), replica, kind, self.number))

    def _delay(self) -> float:
        return self.chance.uniform(0, self.slowest)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    replicas=st.integers(1, 4),
    per_second=st.sampled_from([1, 1.9, 3, 8]),
    slowest=st.sampled_from([0.001, 0.05, 0.7]),
)
def test_no_second_holds_more_than_the_limit_whatever_is_late(
    seed: int, replicas: int, per_second: float, slowest: float
) -> None:
    world = World(random.Random(seed), replicas=replicas, per_second=per_second, slowest=slowest)
    world.run(25)
    assert most_in_a_second(world.dialled) <= per_second


def test_a_pace_below_one_a_second_is_one_in_a_longer_span() -> None:
    world = World(random.Random(1), replicas=2, per_second=0.25, slowest=0.05)
    world.run(6)
    assert most_in_a_second(world.dialled, span=4.0) == 1


def test_a_provider_that_answers_quickly_lets_the_whole_pace_be_used() -> None:
    world = World(random.Random(2), replicas=3, per_second=4, slowest=0.004)
    assert 40 / 4 - 1 <= world.run(40) < (40 / 4) / 0.95


def test_an_attempt_whose_process_died_counts_until_it_can_no_longer_be_sent() -> None:
    pace = Pace(1, PATIENCE)
    pace.cleared(1, "c", 1, now=100.0)
    assert pace.wait(101.0) == pytest.approx(PATIENCE - 1)
    assert pace.wait(100.0 + PATIENCE) == 0


def test_a_clearance_says_from_where_the_log_tells_of_all_that_counts() -> None:
    pace = Pace(2, PATIENCE)
    pace.cleared(10, "a", 1, now=0.0)
    pace.cleared(20, "b", 1, now=0.1)
    pace.over(30, "a", 1, now=0.2)
    assert pace.since() == 10, "it is over, but not for a second"
    assert pace.wait(1.3) == 0
    assert pace.since() == 20
    pace.over(40, "b", 1, now=1.4)
    assert pace.wait(2.5) == 0
    assert pace.since() == 21


def test_what_is_read_again_allows_nothing_until_the_last_clearance_is_known() -> None:
    pace = Pace(1, PATIENCE)
    pace.cleared(10, "a", 1, now=0.0)
    pace.forget()
    assert pace.last_clearance == 0, "the server refuses whoever says so"
