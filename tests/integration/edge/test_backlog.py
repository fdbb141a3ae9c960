"""The backlog as nats-server counts it: waiting calls and undecided requests, read at most once a second."""

import pytest
from nats.aio.client import Client

from contracts.examples import EXAMPLES
from edge.adapters.backlog import NatsBacklog
from edge.ports import BacklogFull


async def publish(client: Client, name: str, count: int) -> None:
    event = EXAMPLES[name]
    for number in range(count):
        subject = f"queue.joined.{number}" if name == "queue.joined" else event.subject
        await client.jetstream().publish(subject, event.body())


async def test_waiting_calls_and_undecided_requests_count_together(bus_client: Client) -> None:
    await publish(bus_client, "queue.joined", 2)
    await publish(bus_client, "call.requested", 3)
    await NatsBacklog(bus_client, 6).check()
    with pytest.raises(BacklogFull, match=r"limit of 5 .*MAX_BACKLOG"):
        await NatsBacklog(bus_client, 5).check()


async def test_the_backlog_is_read_once_a_second(bus_client: Client) -> None:
    now = [0.0]
    backlog = NatsBacklog(bus_client, 1, lambda: now[0])
    await backlog.check()
    await publish(bus_client, "queue.joined", 1)
    sent = bus_client.stats["out_msgs"]
    for _ in range(100):
        await backlog.check()
    assert bus_client.stats["out_msgs"] == sent
    now[0] = 1.0
    with pytest.raises(BacklogFull):
        await backlog.check()


async def test_without_an_answer_the_last_reading_counts(bus_client: Client) -> None:
    now = [0.0]
    backlog = NatsBacklog(bus_client, 1, lambda: now[0])
    await backlog.check()
    await bus_client.close()
    now[0] = 1.0
    await backlog.check()
