"""The documents follow the log through stops, races and dropped databases."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from nats.aio.client import Client
from pymongo.asynchronous.database import AsyncDatabase
from starlette.types import ASGIApp

from campaign_stats.outcomes import OF_FUNNEL, OF_REASONS
from campaign_stats.projection import ALL, Projected, project
from campaign_stats.store import Conflict, Store
from chassis import stream_scan
from chassis.event_log import EventLog
from chassis.provision import provision
from contracts import Event, call_id_of
from contracts.examples import EXAMPLES
from contracts.filters import call_filters
from contracts.streams import CALLS

Replica = Callable[..., AbstractAsyncContextManager[ASGIApp]]
Journal = Callable[[str, str], Awaitable[int]]
Followed = Callable[[int], Awaitable[None]]
Readiness = Callable[[ASGIApp], Awaitable[tuple[int, str]]]
Content = Callable[[], Awaitable[dict[str, list[dict[str, Any]]]]]
Database = AsyncDatabase[dict[str, Any]]

CALLS_MADE = {
    "reminders/1": "completed",
    "reminders/2": "busy, then completed",
    "reminders/3": "no answer",
    "survey/1": "canceled",
    "survey/2": "waiting",
    "survey/3": "completed",
}


async def write(journal: Journal) -> int:
    """Appends all histories concurrently; returns the last sequence that the service follows."""
    return max(await asyncio.gather(*(journal(name, history) for name, history in CALLS_MADE.items())))


async def in_log(calls: EventLog) -> list[tuple[int, Event]]:
    facts = [fact for name in CALLS_MADE for fact in await calls.read(call_filters(call_id_of(name)))]
    return sorted(((fact.sequence, fact.event) for fact in facts), key=lambda pair: pair[0])


def expected(log: list[tuple[int, Event]]) -> dict[str, dict[str, int]]:
    """Returns the counters that the pure projection computes from the whole log at once."""
    return {campaign: dict(sums) for campaign, sums in project({}, log).increments.items()}


def campaigns(found: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, int]]:
    return {item.pop("_id"): item for item in found["campaigns"]}


async def test_each_status_and_each_retry_is_counted(
    replica: Replica, journal: Journal, followed: Followed, content: Content, calls: EventLog
) -> None:
    async with replica():
        await followed(await write(journal))
    found = campaigns(await content())
    assert found == expected(await in_log(calls))
    assert {name: count for name, count in found["reminders"].items() if name not in (*OF_FUNNEL, *OF_REASONS)} == {
        "total": 3,
        "pending": 0,
        "in_progress": 0,
        "completed": 2,
        "failed": 0,
        "no_answer": 1,
        "busy": 0,
        "voicemail": 0,
        "canceled": 0,
        "expired": 0,
        "retries": 1,
        "duration_seconds": 41 + 42,
        "completed_seconds": 41 + 42,
        "turns": 2,
    }
    assert (found[ALL]["total"], found[ALL]["pending"], found[ALL]["canceled"]) == (6, 1, 1)


async def test_a_batch_that_is_applied_again_changes_nothing(
    store: Store, journal: Journal, calls: EventLog, content: Content
) -> None:
    await store.prepare()
    end_sequence = await write(journal)
    batch = await in_log(calls)
    await store.apply(0, batch, end_sequence=end_sequence)
    before = await content()
    with pytest.raises(Conflict):
        await store.apply(0, batch, end_sequence=end_sequence)
    await store.apply(end_sequence, batch, end_sequence=end_sequence)  # each document has its own sequence
    assert await content() == before


async def test_a_batch_that_fails_half_way_writes_nothing(
    store: Store, journal: Journal, calls: EventLog, content: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.prepare()
    end_sequence = await write(journal)
    write_all = Store._write

    async def write_and_fail(self: Store, projected: Projected, session: Any) -> None:
        await write_all(self, projected, session)
        raise ConnectionError

    monkeypatch.setattr(Store, "_write", write_and_fail)
    with pytest.raises(ConnectionError):
        await store.apply(0, await in_log(calls), end_sequence=end_sequence)
    assert not [item for items in (await content()).values() for item in items]


async def test_a_restarted_service_continues_from_the_checkpoint(
    replica: Replica,
    journal: Journal,
    followed: Followed,
    content: Content,
    calls: EventLog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_scan, "BATCH", 3)
    end_sequence = await write(journal)
    for reached in range(4, end_sequence, 6):
        async with replica():
            await followed(reached)
    async with replica():
        await followed(end_sequence)
    assert campaigns(await content()) == expected(await in_log(calls))


async def test_two_replicas_write_the_same_documents_as_one(
    replica: Replica,
    journal: Journal,
    followed: Followed,
    content: Content,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_scan, "BATCH", 4)
    async with replica(), replica():
        end_sequence = await write(journal)
        await followed(end_sequence)
    by_two = await content()
    await database.client.drop_database(database.name)
    async with replica():
        await followed(end_sequence)
    assert await content() == by_two


async def test_a_database_dropped_under_a_running_service_is_rebuilt_equal(
    replica: Replica, journal: Journal, followed: Followed, content: Content, database: Database
) -> None:
    async with replica():
        end_sequence = await write(journal)
        await followed(end_sequence)
        before = await content()
        await database.client.drop_database(database.name)
        await followed(end_sequence)
        assert await content() == before
        indexes = await database["calls"].index_information()
    assert len(indexes) > 1


async def test_the_service_makes_no_consumer(
    replica: Replica, journal: Journal, followed: Followed, bus_client: Client
) -> None:
    js = bus_client.jetstream()
    before = {info.name for info in await js.consumers_info(CALLS.name)}
    async with replica():
        await followed(await journal("survey/1", "waiting"))
        assert {info.name for info in await js.consumers_info(CALLS.name)} == before


async def test_a_checkpoint_of_another_log_is_reported_and_nothing_is_overwritten(
    replica: Replica, journal: Journal, content: Content, store: Store, readiness: Readiness
) -> None:
    await journal("survey/1", "waiting")
    await store.prepare()
    await store.apply(0, [(900, EXAMPLES["call.created"])], end_sequence=900)
    before = await content()
    async with replica(ready=False) as app:
        while "another log" not in (await readiness(app))[1]:
            await asyncio.sleep(0.02)
    assert await content() == before


async def test_a_log_that_begins_anew_is_reported(
    replica: Replica, journal: Journal, followed: Followed, bus_client: Client, readiness: Readiness
) -> None:
    js = bus_client.jetstream()
    async with replica() as app:
        await followed(await journal("survey/1", "waiting"))
        await js.delete_stream(CALLS.name)
        await provision(bus_client)
        while "another log" not in (await readiness(app))[1]:
            await asyncio.sleep(0.02)
