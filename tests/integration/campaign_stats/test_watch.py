"""The polled gauges: backlogs, dead letters, the busiest campaigns."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from nats.aio.client import Client
from prometheus_client import REGISTRY
from starlette.types import ASGIApp
from tests.integration.campaign_stats.conftest import Database
from tests.integration.campaign_stats.test_lists import plan_of

from campaign_stats import lists
from campaign_stats.store import Store
from chassis.event_log import EventLog
from contracts.consumers import CONSUMERS, CONVERSATION_TURNS
from contracts.examples import EXAMPLES

Replica = Callable[..., AbstractAsyncContextManager[ASGIApp]]
Journal = Callable[[str, str], Awaitable[int]]


async def _shows(value: float, metric: str, **labels: str) -> None:
    async with asyncio.timeout(60):
        while REGISTRY.get_sample_value(metric, labels) != value:
            await asyncio.sleep(0.02)


async def test_every_consumer_has_a_gauge_of_its_backlog(replica: Replica, calls: EventLog) -> None:
    await calls.append(EXAMPLES["speech.heard"])
    async with replica():
        await _shows(1, "centralita_consumer_pending_messages", consumer=CONVERSATION_TURNS.name)
        for consumer in CONSUMERS:
            await _shows(0, "centralita_consumer_redelivered_messages", consumer=consumer.name)


async def test_the_gauge_of_dead_letters_counts_those_in_the_stream(replica: Replica, bus_client: Client) -> None:
    await bus_client.jetstream().publish("dead_letter.call.requested", b"{}")
    async with replica():
        await _shows(1, "centralita_dead_letter_messages")


async def test_the_gauge_of_waiting_contacts_counts_no_groups(replica: Replica, bus_client: Client) -> None:
    js = bus_client.jetstream()
    contact = EXAMPLES["contact.added"]
    for number in range(3):
        await js.publish(contact.model_copy(update={"number_digest": f"{number:032x}"}).subject, contact.body())
    await js.publish(EXAMPLES["contact.group_added"].subject, EXAMPLES["contact.group_added"].body())
    async with replica():
        await _shows(3, "centralita_waiting_contacts")


async def test_a_campaign_has_a_gauge_of_its_calls_by_status(
    replica: Replica, journal: Journal, followed: Callable[[int], Awaitable[None]]
) -> None:
    await journal("spring/1", "completed")
    last = await journal("spring/2", "waiting")
    async with replica():
        await followed(last)
    async with replica():
        await _shows(1, "centralita_campaign_calls", campaign="spring", status="completed")
        await _shows(1, "centralita_campaign_calls", campaign="spring", status="pending")
        await _shows(1, "centralita_campaign_calls", campaign="*", status="pending")


async def test_of_many_campaigns_those_with_most_open_calls_have_gauges(
    store: Store, replica: Replica, journal: Journal, followed: Callable[[int], Awaitable[None]]
) -> None:
    await journal("over/1", "completed")
    last = await journal("open/1", "waiting")
    async with replica():
        await followed(last)
    assert list(await store.busiest(1)) == ["*", "open"]


async def test_the_busiest_campaigns_are_read_from_an_index_in_their_order(
    store: Store, database: Database, docker: bool
) -> None:
    await store.prepare()
    await database["campaigns"].insert_many(
        {"_id": f"c{n:03}", "in_progress": n % 7, "pending": n % 11} for n in range(100)
    )
    cursor = lists.busiest_campaigns(database["campaigns"], 3)
    plan = await plan_of(cursor)
    assert plan["IXSCAN"]["keyPattern"] == dict(lists.BUSIEST_FIRST)
    assert "COLLSCAN" not in plan
    if docker:  # the embedded server sorts, and counts what a limit leaves out
        assert "SORT" not in plan
        assert (await cursor.explain())["executionStats"]["totalKeysExamined"] <= 3
    order = sorted(range(100), key=lambda n: (-(n % 7), -(n % 11), n))
    assert list(await store.busiest(2)) == [f"c{n:03}" for n in order[:3]]
