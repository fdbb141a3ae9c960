"""Reading events of a period on a real nats-server."""

import asyncio
from datetime import timedelta
from uuid import UUID

from nats.aio.client import Client

from chassis.direct_get import MAX_PAGE
from chassis.event_log import EventLog
from contracts import DialClaimed, SpeechHeard
from contracts.examples import EXAMPLES
from contracts.streams import CALLS

SPEECH = EXAMPLES[SpeechHeard.event_name]
CLAIMS = DialClaimed.subjects()
COUNT = 3 * MAX_PAGE


async def append_claims(calls: EventLog, count: int) -> None:
    await asyncio.gather(*(calls.append(DialClaimed(call_id=UUID(int=number), attempt=1)) for number in range(count)))


async def test_the_events_of_a_period_are_those_that_the_server_stored_in_it(
    calls: EventLog, bus_client: Client
) -> None:
    await append_claims(calls, COUNT)
    await calls.append(SPEECH)
    js = bus_client.jetstream()
    first, last = [
        (await js.get_msg(CALLS.name, sequence, direct=True)).time
        for sequence in (MAX_PAGE // 2, COUNT - MAX_PAGE // 2)
    ]
    assert first
    assert last

    claims = await calls.read_period(CLAIMS, first, last)
    assert [claim.sequence for claim in claims] == list(range(MAX_PAGE // 2, COUNT - MAX_PAGE // 2 + 1))
    assert [claim.sequence for claim in await calls.read_period(CLAIMS, last, last)] == [claims[-1].sequence]
    assert len(await calls.read_period(CLAIMS, first - timedelta(hours=1), last + timedelta(hours=1))) == COUNT
    assert await calls.read_period(CLAIMS, first - timedelta(hours=1), first - timedelta(minutes=59)) == []
    assert await calls.read_period(CLAIMS, last + timedelta(hours=1), last + timedelta(hours=2)) == []


async def test_a_period_without_events_of_the_filter_is_empty(calls: EventLog) -> None:
    stored = await calls.append(SPEECH)
    hour = timedelta(hours=1)
    assert await calls.read_period(CLAIMS, stored.envelope.time - hour, stored.envelope.time + hour) == []
