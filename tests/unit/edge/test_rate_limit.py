"""The token buckets of API keys."""

import pytest

from edge.application import rate_limit
from edge.application.rate_limit import RequestLimit, TokenBuckets


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def admitted(buckets: TokenBuckets, name: str, times: int) -> int:
    """Returns how many of `times` requests are admitted."""
    return [buckets.take(name) for _ in range(times)].count(None)


def test_requests_beyond_the_burst_are_refused() -> None:
    assert admitted(TokenBuckets(RequestLimit(per_second=2, burst=5), Clock()), "a", 9) == 5


def test_tokens_return_at_the_rate_up_to_the_burst() -> None:
    clock = Clock()
    buckets = TokenBuckets(RequestLimit(per_second=2, burst=5), clock)
    admitted(buckets, "a", 5)

    clock.now += 1.5
    assert admitted(buckets, "a", 9) == 3
    clock.now += 3_600
    assert admitted(buckets, "a", 9) == 5


def test_a_refused_request_consumes_no_token() -> None:
    clock = Clock()
    buckets = TokenBuckets(RequestLimit(per_second=1, burst=1), clock)
    admitted(buckets, "a", 100)

    clock.now += 1
    assert buckets.take("a") is None


def test_the_number_of_buckets_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "MAX_BUCKETS", 2)
    buckets = TokenBuckets(RequestLimit(per_second=1, burst=1), Clock())
    for name in ("a", "b", "a", "c"):
        buckets.take(name)

    assert buckets.take("a") is not None
    assert buckets.take("b") is None  # the oldest bucket was removed


def test_each_key_has_its_own_bucket() -> None:
    buckets = TokenBuckets(RequestLimit(per_second=1, burst=1), Clock())
    admitted(buckets, "a", 9)

    assert buckets.take("b") is None


def test_a_request_is_admitted_after_the_returned_number_of_seconds() -> None:
    clock = Clock()
    slow = TokenBuckets(RequestLimit(per_second=0.4, burst=1), clock)
    slow.take("a")
    wait = slow.take("a")
    assert wait == 3

    clock.now += wait
    assert slow.take("a") is None


def test_the_wait_is_at_least_one_second() -> None:
    fast = TokenBuckets(RequestLimit(per_second=1_000, burst=1), Clock())
    fast.take("a")

    assert fast.take("a") == 1
