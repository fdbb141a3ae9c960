"""What reads of calls cost a key: the events that were read, and how many reads run at once."""

import asyncio

import pytest

from edge.application.errors import TooManyReads
from edge.application.keys import ANONYMOUS, Key
from edge.application.rate_limit import MAX_DEBT_SECONDS, RequestLimit, TokenBuckets
from edge.application.read_costs import EVENTS_PER_REQUEST, MAX_READS, ReadCosts

KEY = Key("a", ANONYMOUS.scopes, "digest-a")
OTHER = Key("b", ANONYMOUS.scopes, "digest-b")


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Reads:
    """Reads of a call of so many events, which wait until `may_end` is set."""

    def __init__(self, events: int) -> None:
        self.events = events
        self.running = self.most = self.begun = 0
        self.may_end = asyncio.Event()

    async def read(self) -> int:
        self.running += 1
        self.begun += 1
        self.most = max(self.most, self.running)
        await self.may_end.wait()
        self.running -= 1
        return self.events


def buckets(clock: Clock, burst: int = 10) -> TokenBuckets:
    return TokenBuckets(RequestLimit(per_second=2, burst=burst), clock)


async def test_a_key_reads_few_calls_at_once_and_others_do_not_wait_for_it() -> None:
    costs, reads, other = ReadCosts(buckets(Clock())), Reads(1), Reads(1)
    other.may_end.set()
    running = [asyncio.create_task(costs.charged(KEY, reads.read, int)) for _ in range(9)]
    while reads.running < MAX_READS:
        await asyncio.sleep(0)
    assert await costs.charged(OTHER, other.read, int) == 1
    reads.may_end.set()
    await asyncio.gather(*running)
    assert (reads.most, reads.begun) == (MAX_READS, 9)


async def test_the_events_that_were_read_are_charged_and_reads_wait_until_they_are_paid() -> None:
    clock = Clock()
    bucket = buckets(clock, burst=10)
    costs, reads = ReadCosts(bucket), Reads(EVENTS_PER_REQUEST * 8)
    reads.may_end.set()
    await costs.charged(KEY, reads.read, int)
    await costs.charged(KEY, reads.read, int)

    with pytest.raises(TooManyReads) as refused:
        await costs.charged(KEY, reads.read, int)

    assert (reads.begun, refused.value.seconds) == (2, 3), "16 tokens of 10 were used, and 2 return a second"
    assert bucket.take(KEY.digest) == 4, "other requests wait, too"
    assert bucket.take(OTHER.digest) is None
    clock.now += 3
    assert await costs.charged(KEY, reads.read, int) == reads.events


async def test_of_many_reads_at_once_few_begin_before_the_first_is_charged() -> None:
    costs, reads = ReadCosts(buckets(Clock(), burst=100)), Reads(EVENTS_PER_REQUEST * 60)
    reads.may_end.set()
    answers = await asyncio.gather(*(costs.charged(KEY, reads.read, int) for _ in range(100)), return_exceptions=True)
    assert [isinstance(one, TooManyReads) for one in answers].count(False) == reads.begun <= MAX_READS + 1


async def test_a_call_of_any_length_keeps_a_key_waiting_for_a_bounded_time() -> None:
    bucket = buckets(Clock())
    costs, reads = ReadCosts(bucket), Reads(10**7)
    reads.may_end.set()
    await costs.charged(KEY, reads.read, int)
    assert bucket.debt_seconds(KEY.digest) == MAX_DEBT_SECONDS


async def test_a_read_that_fails_gives_its_turn_to_the_next_one() -> None:
    costs = ReadCosts(buckets(Clock()))

    async def fail() -> int:
        raise LookupError

    for _ in range(MAX_READS + 1):
        with pytest.raises(LookupError):
            await costs.charged(KEY, fail, int)
