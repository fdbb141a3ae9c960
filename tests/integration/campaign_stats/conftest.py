"""The service on real servers: a database for each test, and replicas that can be stopped."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
from nats.aio.client import Client
from pymongo.asynchronous.database import AsyncDatabase
from starlette.types import ASGIApp

from campaign_stats.composition import build
from campaign_stats.settings import Settings
from campaign_stats.store import Store, connect
from chassis.event_log import EventLog
from chassis.serve import connect_bus
from contracts import CallStatus, CallStatusChanged, Service, call_id_of
from contracts.examples import CALL, EXAMPLES

Database = AsyncDatabase[dict[str, Any]]
Replica = Callable[..., AbstractAsyncContextManager[ASGIApp]]
Journal = Callable[[str, str], Awaitable[int]]

HISTORIES: dict[str, list[tuple[CallStatus, int]]] = {
    "completed": [
        (CallStatus.DIALING, 1),
        (CallStatus.RINGING, 1),
        (CallStatus.IN_PROGRESS, 1),
        (CallStatus.COMPLETED, 1),
    ],
    "busy, then completed": [
        (CallStatus.DIALING, 1),
        (CallStatus.PENDING, 1),
        (CallStatus.DIALING, 2),
        (CallStatus.IN_PROGRESS, 2),
        (CallStatus.COMPLETED, 2),
    ],
    "no answer": [(CallStatus.DIALING, 1), (CallStatus.RINGING, 1), (CallStatus.NO_ANSWER, 1)],
    "canceled": [(CallStatus.CANCELED, 0)],
    "waiting": [],
}


@pytest.fixture(scope="session")
def mongo_url(mongo_url: str) -> str:
    """The URL with polling: with streaming, a client that is closed while it connects leaves a socket open."""
    return f"{mongo_url}&serverMonitoringMode=poll"


@pytest.fixture
async def database(mongo_url: str) -> AsyncIterator[Database]:
    client = connect(mongo_url, collection_seconds=60)
    database = client[f"test_{uuid4().hex}"]
    yield database
    await client.drop_database(database.name)
    await client.close()


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database.client, database.name)


@pytest.fixture
def replica(nats_url: str, mongo_url: str, database: Database, bus_client: Client) -> Replica:
    """Runs one more replica of the service while the context is open; by default waits until it is ready."""

    @asynccontextmanager
    async def running(*, ready: bool = True) -> AsyncIterator[ASGIApp]:
        bus = await connect_bus(Service.CAMPAIGN_STATS, nats_url)
        settings = Settings.model_validate({"mongo_url": mongo_url, "mongo_database": database.name})
        try:
            async with build(settings, bus) as app:
                await bus.broker.start()
                while ready and (await readiness(app))[0] != 200:
                    await asyncio.sleep(0.02)
                yield app
        finally:
            await bus.broker.stop()

    return running


@pytest.fixture
def journal(calls: EventLog) -> Journal:
    """Appends the whole history of a call, by its name in `HISTORIES`; returns its last sequence."""

    async def append(name: str, history: str) -> int:
        call = CALL.model_copy(update={"call_id": call_id_of(name), "campaign_id": name.split("/")[0]})
        last = await calls.append(EXAMPLES["call.created"].model_copy(update={"call": call}))
        for status, attempt in HISTORIES[history]:
            changes = {"status": status, "attempt": attempt}
            if status is CallStatus.COMPLETED:
                spoken = {"call_id": call.call_id, "attempt": attempt}
                for fact in ("reply.generated", "conversation.ended", "dial.placed"):
                    await calls.append(EXAMPLES[fact].model_copy(update=spoken))
                changes["duration_seconds"] = 40 + attempt
            changed = call.model_copy(update=changes)
            event = CallStatusChanged(
                call=changed, occurred_at=CALL.status_changed_at, previous=call.status, status=status, attempt=attempt
            )
            call, last = changed, await calls.append(event)
        return last.sequence

    return append


async def readiness(app: ASGIApp) -> tuple[int, str]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://stats") as client:
        answer = await client.get("/health/ready")
        return answer.status_code, answer.text


@pytest.fixture(name="readiness")
def readiness_of() -> Callable[[ASGIApp], Awaitable[tuple[int, str]]]:
    """Returns the status and the body of ``/health/ready``."""
    return readiness


async def _reaches(store: Store, sequence: int) -> None:
    while await store.checkpoint() < sequence:
        await asyncio.sleep(0.02)


@pytest.fixture
def followed(store: Store) -> Callable[[int], Awaitable[None]]:
    """Waits until the checkpoint has reached a sequence."""
    return lambda sequence: _reaches(store, sequence)


@pytest.fixture
def content(database: Database) -> Callable[[], Awaitable[dict[str, list[dict[str, Any]]]]]:
    """Returns all documents of the projection with the checkpoint, but without the sessions, by id.

    The checkpoint is without the time of its event, which a rebuild does not keep.
    """

    async def read() -> dict[str, list[dict[str, Any]]]:
        names = sorted(set(await database.list_collection_names()) - {"writers"})
        hidden = {name: {"event": 0} if name == "checkpoints" else None for name in names}
        return {name: await database[name].find({}, hidden[name]).sort("_id").to_list() for name in names}

    return read
