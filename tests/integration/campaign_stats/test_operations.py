"""Unavailable servers, replicas that die, queries over NATS, readiness and metrics."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from nats.aio.client import Client
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure, ServerSelectionTimeoutError
from starlette.types import ASGIApp

from campaign_stats import subscriber, writers
from campaign_stats.composition import build
from campaign_stats.metrics import LAG_EVENTS
from campaign_stats.projection import Projected
from campaign_stats.settings import Settings
from campaign_stats.store import CHECKPOINT, Store, connect
from campaign_stats.subscriber import Follower
from campaign_stats.writers import Heartbeats, Writers
from centralita.embedded.servers import mongo_server
from chassis.leader_get import get_of_leader
from chassis.serve import connect_bus
from chassis.stream_reader import IDLE_SECONDS
from contracts import (
    CampaignCalls,
    CampaignCallsQuery,
    CampaignStatistics,
    CampaignStatisticsQuery,
    Event,
    Service,
    call_id_of,
)
from contracts.examples import EXAMPLES
from contracts.streams import CALLS

Replica = Callable[..., AbstractAsyncContextManager[ASGIApp]]
Journal = Callable[[str, str], Awaitable[int]]
Followed = Callable[[int], Awaitable[None]]
Readiness = Callable[[ASGIApp], Awaitable[tuple[int, str]]]
Database = AsyncDatabase[dict[str, Any]]


async def ask(client: Client, campaign_id: str | None) -> CampaignStatistics:
    query = CampaignStatisticsQuery(campaign_id=campaign_id)
    answer = await client.request(query.subject, query.model_dump_json().encode(), timeout=60)
    return CampaignStatistics.model_validate_json(answer.data)


async def becomes(readiness: Readiness, app: ASGIApp, code: int) -> str:
    while (found := await readiness(app))[0] != code:
        await asyncio.sleep(0.05)
    return found[1]


async def test_the_statistics_of_a_campaign_are_answered_over_nats(
    replica: Replica, journal: Journal, followed: Followed, bus_client: Client
) -> None:
    async with replica(), replica():
        await journal("reminders/1", "busy, then completed")
        await followed(await journal("survey/1", "no answer"))
        one, every = await ask(bus_client, "reminders"), await ask(bus_client, None)
    assert one == CampaignStatistics(
        campaign_id="reminders",
        total=1,
        completed=1,
        retries=1,
        duration_seconds=42,
        average_duration_seconds=42.0,
        turns=1,
    )
    assert (every.campaign_id, every.total, every.completed, every.no_answer) == (None, 2, 1, 1)


async def test_an_unknown_campaign_is_answered_with_zeros(replica: Replica, bus_client: Client) -> None:
    async with replica():
        assert await ask(bus_client, "unknown") == CampaignStatistics(campaign_id="unknown")


async def test_an_answer_reads_no_call_documents(
    replica: Replica, journal: Journal, followed: Followed, bus_client: Client, database: Database
) -> None:
    async with replica():
        await followed(await journal("reminders/1", "completed"))
        await database["calls"].delete_many({})
        assert (await ask(bus_client, "reminders")).completed == 1


async def page(client: Client, after: UUID | None = None, **query: Any) -> CampaignCalls:
    asked = {"campaign_id": "reminders", "statuses": ["completed", "no_answer"], "limit": 2, **query}
    body = CampaignCallsQuery.model_validate({**asked, "after": after}).model_dump_json().encode()
    answer = await client.request(CampaignCallsQuery.subject, body, timeout=60)
    return CampaignCalls.model_validate_json(answer.data)


async def test_the_ids_of_a_campaigns_calls_are_answered_in_pages(
    replica: Replica, journal: Journal, followed: Followed, bus_client: Client
) -> None:
    for number in range(5):
        await journal(f"reminders/{number}", "completed" if number % 2 else "no answer")
    await journal("reminders/5", "canceled")
    end_sequence = await journal("survey/1", "completed")
    async with replica():
        await followed(end_sequence)
        pages = [await page(bus_client)]
        while pages[-1].has_more:
            pages.append(await page(bus_client, pages[-1].call_ids[-1]))
        none = await page(bus_client, statuses=["voicemail"])
    assert [len(one.call_ids) for one in pages] == [2, 2, 1]
    named = [call_id for one in pages for call_id in one.call_ids]
    assert named == sorted(call_id_of(f"reminders/{number}") for number in range(5))
    assert (none.call_ids, none.has_more) == ((), False)


async def test_a_page_reads_an_index_that_has_its_order(store: Store, database: Database) -> None:
    await store.prepare()
    indexes = [index["key"] for index in (await database["calls"].index_information()).values()]
    assert [("campaign_id", 1), ("status", 1), ("_id", 1)] in [[tuple(key) for key in keys] for keys in indexes]


@pytest.mark.parametrize("limit", [0, 501])
async def test_a_page_is_bounded(replica: Replica, bus_client: Client, limit: int) -> None:
    body = f'{{"campaign_id": "reminders", "statuses": ["expired"], "limit": {limit}}}'
    async with replica():
        answer = await bus_client.request(CampaignCallsQuery.subject, body.encode(), timeout=60)
    assert (answer.headers or {})["Nats-Service-Error-Code"] == "400"


async def test_an_invalid_query_is_refused_with_its_reason(replica: Replica, bus_client: Client) -> None:
    async with replica():
        answer = await bus_client.request(CampaignStatisticsQuery.subject, b'{"campaign_id": "a b"}', timeout=60)
    headers = answer.headers or {}
    assert headers["Nats-Service-Error-Code"] == "400"
    assert "campaign_id" in headers["Nats-Service-Error"]


@asynccontextmanager
async def replica_with(url: str, nats_url: str) -> AsyncIterator[ASGIApp]:
    bus = await connect_bus(Service.CAMPAIGN_STATS, nats_url)
    settings = Settings.model_validate({"mongo_url": url})
    async with build(settings, bus) as app:
        await bus.broker.start()
        yield app
    await bus.broker.stop()


async def test_the_service_waits_for_mongodb_and_is_not_ready_meanwhile(
    nats_url: str, bus_client: Client, journal: Journal, readiness: Readiness, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"mongodb://127.0.0.1:{port}/?directConnection=true&retryWrites=false&serverMonitoringMode=poll"
    with ExitStack() as servers:
        async with replica_with(url, nats_url) as app:
            assert (await readiness(app))[0] == 503
            await journal("reminders/1", "completed")
            with mongo_server(tmp_path, port=port):
                await becomes(readiness, app, 200)
            assert "following" in await becomes(readiness, app, 503)
            refused = await bus_client.request(CampaignStatisticsQuery.subject, b"{}", timeout=60)
            assert (refused.headers or {})["Nats-Service-Error-Code"] == "503"
            await journal("reminders/2", "completed")
            servers.enter_context(mongo_server(tmp_path, port=port))
            await becomes(readiness, app, 200)
            while (await ask(bus_client, "reminders")).completed < 2:
                await asyncio.sleep(0.05)


async def test_a_replica_killed_inside_a_transaction_does_not_block_the_others(
    replica: Replica,
    journal: Journal,
    followed: Followed,
    store: Store,
    mongo_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscriber, "MAX_SILENT_SECONDS", 1.0)
    await store.prepare()
    dead = connect(mongo_url, collection_seconds=60)
    session = dead.start_session()
    killed = asyncio.Event()
    end = Writers.end_silent

    async def observed(self: Writers, since: Heartbeats) -> int:
        ended = await end(self, since)
        try:
            await session.commit_transaction()
        except OperationFailure:
            killed.set()
        return ended

    monkeypatch.setattr(Writers, "end_silent", observed)
    blocker = Store(dead, store._database.name)
    await blocker.writers.register(session)
    await session.start_transaction()
    await blocker._move_checkpoint(0, {"sequence": 77}, session)  # then kill -9: neither commit nor abort
    async with replica():
        await followed(await journal("survey/1", "waiting"))
    assert killed.is_set()
    await session.end_session()
    await dead.close()
    assert await store._database["writers"].count_documents({}) == 0


async def test_a_slow_replica_that_is_alive_keeps_its_transaction(
    replica: Replica,
    journal: Journal,
    followed: Followed,
    store: Store,
    mongo_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscriber, "MAX_SILENT_SECONDS", 1.0)
    monkeypatch.setattr(writers, "HEARTBEAT_SECONDS", 0.01)
    rounds = asyncio.Semaphore(0)
    end = Writers.end_silent

    async def observed(self: Writers, since: Heartbeats) -> int:
        while since.items() & (await self.heartbeats()).items():
            await asyncio.sleep(0.01)  # the machine, not the slow replica, was silent
        ended = await end(self, since)
        rounds.release()
        return ended

    monkeypatch.setattr(Writers, "end_silent", observed)
    await store.prepare()
    end_sequence = await journal("survey/1", "waiting")
    other = connect(mongo_url, collection_seconds=60)
    slow = Store(other, store._database.name)
    heartbeats = asyncio.create_task(slow.writers.send_heartbeats())
    session = other.start_session()
    await slow.writers.register(session)
    await session.start_transaction()
    await slow._move_checkpoint(0, {"sequence": end_sequence}, session)
    async with replica():
        for _ in range(2):
            await rounds.acquire()
        await session.commit_transaction()  # raises if its session was ended
        await followed(await journal("survey/2", "waiting"))
    assert await store._database["calls"].count_documents({}) == 1, "the slow replica committed the first call"
    heartbeats.cancel()
    await asyncio.wait([heartbeats])
    await session.end_session()
    await other.close()


async def test_a_cancellation_inside_a_batch_takes_effect_after_the_batch(
    store: Store, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, may_continue = asyncio.Event(), asyncio.Event()
    write = Store._write

    async def slowly(self: Store, projected: Projected, session: Any) -> None:
        started.set()
        await may_continue.wait()
        await write(self, projected, session)

    monkeypatch.setattr(Store, "_write", slowly)
    await store.prepare()
    batch: list[tuple[int, Event]] = [(1, EXAMPLES["call.created"])]
    applying = asyncio.create_task(store.apply(0, batch, end_sequence=1))
    await started.wait()
    for _ in range(2):
        applying.cancel()
        await asyncio.sleep(0)
    may_continue.set()
    with pytest.raises(asyncio.CancelledError):
        await applying
    assert await store.checkpoint() == await database["calls"].count_documents({}) == 1


@pytest.mark.usefixtures("bus_client")
async def test_an_idle_service_stops_within_seconds(nats_url: str, mongo_url: str, database: Database) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "campaign_stats"),
        env={"PATH": os.environ["PATH"], "NATS_URL": nats_url, "MONGO_URL": mongo_url, "MONGO_DATABASE": database.name},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    async with asyncio.timeout(60):
        while b"listening" not in (line := await process.stdout.readline()):
            assert line, "the process has ended"
    await asyncio.sleep(2.5 * IDLE_SECONDS)  # so that it has looked for messages in vain
    process.send_signal(signal.SIGTERM)
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    assert b"DrainTimeoutError" not in output, "it did not wait until the connection gave up"


async def test_the_lag_grows_while_a_batch_cannot_be_applied_and_ends_with_it(
    store: Store, bus_client: Client, journal: Journal, followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = Store.apply
    failed = asyncio.Event()

    async def failing(self: Store, *args: Any, **options: Any) -> None:
        failed.set()
        raise ConnectionError

    end_sequence = await journal("survey/1", "waiting")
    follower = Follower(bus_client, store)
    monkeypatch.setattr(Store, "apply", failing)
    following = asyncio.create_task(follower.run())
    await failed.wait()
    assert LAG_EVENTS._value.get() == 1
    assert follower.lag_seconds() > 0
    monkeypatch.setattr(Store, "apply", apply)
    await followed(end_sequence)
    while follower.lag_seconds():
        await asyncio.sleep(0.01)
    assert LAG_EVENTS._value.get() == 0
    following.cancel()
    await asyncio.wait([following])


async def test_the_lag_grows_while_mongodb_is_unavailable_although_nothing_was_read(
    store: Store, bus_client: Client, journal: Journal, followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare, attempts = Store.prepare, asyncio.Semaphore(0)

    async def fail_to_prepare(self: Store) -> None:
        attempts.release()
        raise ServerSelectionTimeoutError

    end_sequence = await journal("survey/1", "waiting")
    follower = Follower(bus_client, store)
    monkeypatch.setattr(Store, "prepare", fail_to_prepare)
    following = asyncio.create_task(follower.run())
    await attempts.acquire()
    before = follower.lag_seconds()
    await attempts.acquire()
    assert follower.lag_seconds() > before
    monkeypatch.setattr(Store, "prepare", prepare)
    await followed(end_sequence)
    while follower.lag_seconds():
        await asyncio.sleep(0.01)
    following.cancel()
    await asyncio.wait([following])


async def test_the_checkpoint_is_one_document_that_an_operator_can_read(
    replica: Replica, journal: Journal, followed: Followed, database: Database, bus_client: Client
) -> None:
    async with replica():
        end_sequence = await journal("survey/1", "waiting")
        await followed(end_sequence)
    stored_at = (await get_of_leader(bus_client, CALLS.name, end_sequence)).time.isoformat()
    event = {"sequence": end_sequence, "stored_at": stored_at}
    assert await database["checkpoints"].find_one() == {"_id": CHECKPOINT, "sequence": end_sequence, "event": event}
