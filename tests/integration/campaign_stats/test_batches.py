"""What a batch costs MongoDB, and which events it has."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.monitoring import CommandListener
from starlette.types import ASGIApp

from campaign_stats import composition, subscriber
from campaign_stats.projection import project
from campaign_stats.store import Store, connect
from contracts.examples import EXAMPLES

Replica = Callable[..., AbstractAsyncContextManager[ASGIApp]]
Journal = Callable[[str, str], Awaitable[int]]
Followed = Callable[[int], Awaitable[None]]
Database = AsyncDatabase[dict[str, Any]]
COMMANDS_OF_A_BATCH = [
    "update checkpoints",
    "find calls",
    "update calls",
    "update campaigns",
    "update outcomes",
    "commitTransaction 1",
]


class Commands(CommandListener):
    """The commands of transactions, each with its collection, in their order."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def started(self, event: Any) -> None:
        if "autocommit" in event.command:
            self.sent.append(f"{event.command_name} {event.command[event.command_name]}")

    def succeeded(self, event: Any) -> None:
        """Does nothing."""

    def failed(self, event: Any) -> None:
        """Does nothing."""


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    """The commands that a replica sends to MongoDB."""
    commands = Commands()

    def connect_observed(url: str) -> AsyncMongoClient[dict[str, Any]]:
        return AsyncMongoClient(url, tz_aware=True, event_listeners=[commands])

    monkeypatch.setattr(composition, "connect", connect_observed)
    return commands


class Pause:
    """The pause of the follower between two batches; it lasts until the test ends it."""

    def __init__(self) -> None:
        self.began, self._may_end = asyncio.Event(), asyncio.Event()

    async def last(self) -> None:
        self.began.set()
        await self._may_end.wait()
        self._may_end.clear()

    def end(self) -> None:
        self.began.clear()
        self._may_end.set()


@pytest.fixture
def pause(monkeypatch: pytest.MonkeyPatch) -> Pause:
    pause = Pause()
    monkeypatch.setattr(subscriber, "_wait_for_events", pause.last)
    return pause


async def test_the_commands_of_a_batch_do_not_grow_with_its_events(
    replica: Replica, journal: Journal, followed: Followed, store: Store, commands: Commands, pause: Pause
) -> None:
    async with replica():
        await followed(await journal("survey/0", "waiting"))
        await pause.began.wait()
        for calls in (1, 20):
            tries = 0
            while True:
                commands.sent.clear()
                names = [f"reminders/{calls}-{tries}-{number}" for number in range(calls)]
                end_sequence = max([await journal(name, "completed") for name in names])
                pause.end()
                await pause.began.wait()
                if await store.checkpoint() >= end_sequence:
                    break
                tries += 1  # the last messages arrived late; they are part of the next batch
            assert commands.sent == COMMANDS_OF_A_BATCH


async def test_the_first_event_after_a_pause_is_applied_at_once(
    replica: Replica, journal: Journal, followed: Followed, pause: Pause
) -> None:
    async with replica():
        for number in range(3):
            await followed(await journal(f"survey/{number}", "waiting"))  # the pause has not begun
            await pause.began.wait()
            pause.end()


async def test_a_batch_of_a_killed_replica_is_counted_once(
    replica: Replica,
    journal: Journal,
    followed: Followed,
    store: Store,
    mongo_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscriber, "MAX_SILENT_SECONDS", 1.0)
    await store.prepare()
    end_sequence = await journal("survey/1", "completed")
    killed = connect(mongo_url, collection_seconds=60)
    session = killed.start_session()
    other = Store(killed, store._database.name)
    await other.writers.register(session)
    await session.start_transaction()
    await other._move_checkpoint(0, {"sequence": end_sequence}, session)
    await other._write(project({}, [(1, EXAMPLES["call.created"])]), session)  # then kill -9: neither commit nor abort
    async with replica():
        await followed(end_sequence)
    assert (await store.sums(None))["total"] == (await store.sums("survey"))["completed"] == 1
    assert await store._database["calls"].count_documents({}) == 1
    await session.end_session()
    await killed.close()
