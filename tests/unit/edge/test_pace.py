from edge.application.rate_limit import Buckets, Pace


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def taken(buckets: Buckets, name: str, times: int) -> int:
    """How many of so many requests may pass."""
    return [buckets.take(name) for _ in range(times)].count(None)


def test_a_burst_may_pass_and_no_more() -> None:
    assert taken(Buckets(Pace(per_second=2, burst=5), Clock()), "a", 9) == 5


def test_tokens_come_back_at_the_pace_and_never_above_the_burst() -> None:
    clock = Clock()
    buckets = Buckets(Pace(per_second=2, burst=5), clock)
    taken(buckets, "a", 5)

    clock.now += 1.5
    assert taken(buckets, "a", 9) == 3
    clock.now += 3_600
    assert taken(buckets, "a", 9) == 5


def test_what_is_refused_costs_nothing() -> None:
    clock = Clock()
    buckets = Buckets(Pace(per_second=1, burst=1), clock)
    taken(buckets, "a", 100)

    clock.now += 1
    assert buckets.take("a") is None


def test_one_keys_haste_is_not_anothers() -> None:
    buckets = Buckets(Pace(per_second=1, burst=1), Clock())
    taken(buckets, "a", 9)

    assert buckets.take("b") is None


def test_the_wait_is_told_in_whole_seconds_after_which_a_request_passes() -> None:
    clock = Clock()
    slow = Buckets(Pace(per_second=0.4, burst=1), clock)
    slow.take("a")
    wait = slow.take("a")
    assert wait == 3

    clock.now += wait
    assert slow.take("a") is None


def test_the_wait_is_never_less_than_a_second() -> None:
    fast = Buckets(Pace(per_second=1_000, burst=1), Clock())
    fast.take("a")

    assert fast.take("a") == 1
