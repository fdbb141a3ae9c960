"""The documents belong to one log: another one is reported, a copy of the same one is not."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

from nats.aio.client import Client
from nats.js.api import StreamConfig, StreamInfo, StreamSource
from pymongo.asynchronous.database import AsyncDatabase
from starlette.types import ASGIApp

from campaign_stats.store import CHECKPOINT
from centralita.replay.rebuilding import rebuild
from chassis.provision import provision, stream_config
from contracts.streams import CALLS

Replica = Callable[..., AbstractAsyncContextManager[ASGIApp]]
Journal = Callable[[str, str], Awaitable[int]]
Followed = Callable[[int], Awaitable[None]]
Readiness = Callable[[ASGIApp], Awaitable[tuple[int, str]]]
Content = Callable[[], Awaitable[dict[str, list[dict[str, Any]]]]]
Database = AsyncDatabase[dict[str, Any]]


async def replace_log(bus_client: Client, journal: Journal) -> None:
    """Replaces the log by another one, which is longer than the first."""
    js = bus_client.jetstream()
    await js.delete_stream(CALLS.name)
    await provision(bus_client)
    for name in ("reminders/1", "reminders/2"):
        await journal(name, "completed")


async def copy(bus_client: Client, name: str, origin: str) -> StreamInfo:
    """Creates a stream with the messages of another one, their sequences and their times, as a restore does."""
    js = bus_client.jetstream()
    config = replace(stream_config(CALLS, replicas=1), name=name)
    mirror = replace(config, mirror=StreamSource(name=origin), subjects=None, sources=None, republish=None)
    await js.add_stream(mirror)
    expected = (await js.stream_info(origin)).state.messages
    while (await js.stream_info(name)).state.messages < expected:
        await asyncio.sleep(0.02)
    kept = config if name == CALLS.name else StreamConfig(name=name, subjects=["copy"])
    return await js.update_stream(kept)


async def copy_log(bus_client: Client) -> None:
    """Replaces the log by a copy of it, in a stream that was created later."""
    js = bus_client.jetstream()
    created_at = (await js.stream_info(CALLS.name)).created
    await copy(bus_client, "COPY", CALLS.name)
    await js.delete_stream(CALLS.name)
    assert (await copy(bus_client, CALLS.name, "COPY")).created != created_at
    await js.delete_stream("COPY")
    await provision(bus_client)


async def test_another_log_that_is_longer_is_reported_and_nothing_is_overwritten(
    replica: Replica, journal: Journal, followed: Followed, content: Content, readiness: Readiness, bus_client: Client
) -> None:
    async with replica():
        await followed(await journal("survey/1", "waiting"))
    before = await content()
    await replace_log(bus_client, journal)
    async with replica(ready=False) as app:
        while "drop the database" not in (await readiness(app))[1]:
            await asyncio.sleep(0.02)
    assert await content() == before


async def test_a_rebuild_makes_the_documents_those_of_the_present_log(
    replica: Replica, journal: Journal, followed: Followed, database: Database, bus_client: Client, mongo_url: str
) -> None:
    async with replica():
        await followed(await journal("survey/1", "completed"))
    await replace_log(bus_client, journal)
    assert (await rebuild(bus_client, mongo_url, database.name)).is_swapped
    async with replica():
        await followed(await journal("survey/2", "completed"))
    assert await database["calls"].distinct("campaign_id") == ["reminders", "survey"]
    assert await database["calls"].count_documents({}) == 3


async def test_a_copy_of_the_log_is_followed_further(
    replica: Replica, journal: Journal, followed: Followed, database: Database, bus_client: Client
) -> None:
    async with replica():
        await followed(await journal("survey/1", "completed"))
    await copy_log(bus_client)
    async with replica():
        await followed(await journal("survey/2", "completed"))
    assert await database["calls"].count_documents({"status": "completed"}) == 2


async def test_a_checkpoint_of_an_older_build_belongs_to_the_present_log(
    replica: Replica,
    journal: Journal,
    followed: Followed,
    database: Database,
    readiness: Readiness,
    bus_client: Client,
) -> None:
    async with replica():
        await followed(await journal("survey/1", "waiting"))
    await database["checkpoints"].update_one({"_id": CHECKPOINT}, {"$unset": {"event": ""}})
    async with replica():
        pass
    await replace_log(bus_client, journal)
    async with replica(ready=False) as app:
        while "drop the database" not in (await readiness(app))[1]:
            await asyncio.sleep(0.02)
    await database.client.drop_database(database.name)
    async with replica():
        await followed((await bus_client.jetstream().stream_info(CALLS.name)).state.last_seq)
    assert await database["calls"].count_documents({"status": "completed"}) == 2


async def test_a_checkpoint_that_an_operator_moved_belongs_to_the_present_log(
    replica: Replica, journal: Journal, followed: Followed, database: Database
) -> None:
    async with replica():
        await followed(await journal("survey/1", "waiting"))
    moved_to = await journal("survey/2", "waiting")
    await database["checkpoints"].update_one({"_id": CHECKPOINT}, {"$set": {"sequence": moved_to}})
    async with replica():
        await followed(await journal("survey/3", "waiting"))
    assert await database["calls"].count_documents({}) == 2
