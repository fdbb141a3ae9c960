"""Rebuilding MongoDB from the log: equal to the documents of campaign-stats, and never a partial swap."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from nats.aio.client import Client
from pymongo.asynchronous.database import AsyncDatabase
from tests.builders.events import campaign_paused, campaign_resumed

from campaign_stats.composition import build
from campaign_stats.settings import Settings
from campaign_stats.store import Store, connect
from centralita.replay import projection_database
from centralita.replay.projection_database import COLLECTIONS, FENCE
from centralita.replay.rebuilding import DifferentLog, Progress, rebuild
from chassis.event_log import EventLog
from chassis.serve import connect_bus
from contracts import CallStatus, Service, call_id_of
from contracts.examples import CALL, EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.centralita.conftest import Campaign, Command

pytestmark = pytest.mark.timeout(240)  # the first test waits for a whole campaign

Database = AsyncDatabase[dict[str, Any]]
HISTORY = ("call.created", "call.status_changed", "reply.generated", "conversation.ended", "call.concluded")


class Killed(BaseException):
    """Raised in a rebuild, to interrupt it as a kill would."""


def kill_at(stage: str, min_done: int | None = None) -> Progress:
    def progress(current: str, done: int, _: int) -> None:
        if current == stage and (min_done is None or done >= min_done):
            raise Killed

    return progress


@pytest.fixture
async def database(mongo_url: str) -> AsyncIterator[Database]:
    client = connect(mongo_url, collection_seconds=60)
    found = client[f"test_{uuid4().hex}"]
    yield found
    for name in (found.name, f"{found.name}_rebuild"):
        await client.drop_database(name)
    await client.close()


@dataclass
class Live:
    """A log with calls, and the documents that campaign-stats makes of it while it runs."""

    client: Client
    log: EventLog
    nats_url: str
    mongo_url: str
    database: Database

    async def append_calls(self, *names: str) -> int:
        """Appends the whole history of a call for each name; returns the sequence of the last event."""
        last = 0
        for name in names:
            call = CALL.model_copy(update={"call_id": call_id_of(name), "campaign_id": name.split("-")[0]})
            for fact in HISTORY:
                event = EXAMPLES[fact]
                changed = {"call": call} if hasattr(event, "call") else {"call_id": call.call_id}
                last = (await self.log.append(event.model_copy(update=changed))).sequence
        return last

    @asynccontextmanager
    async def campaign_stats(self) -> AsyncIterator[None]:
        bus = await connect_bus(Service.CAMPAIGN_STATS, self.nats_url)
        settings = Settings.model_validate({"mongo_url": self.mongo_url, "mongo_database": self.database.name})
        try:
            async with build(settings, bus):
                await bus.broker.start()
                yield
        finally:
            await bus.broker.stop()

    async def wait_for(self, sequence: int) -> None:
        store = Store(self.database.client, self.database.name)
        while not sequence <= await store.checkpoint() < FENCE:
            await asyncio.sleep(0.02)

    async def content(self) -> dict[str, Any]:
        return {name: await self.database[name].find().sort("_id").to_list() for name in COLLECTIONS}


@pytest.fixture
async def live(bus_client: Client, calls: EventLog, nats_url: str, mongo_url: str, database: Database) -> Live:
    return Live(bus_client, calls, nats_url, mongo_url, database)


async def test_rebuilt_documents_are_equal_to_the_live_ones_and_replace_them(live: Live) -> None:
    async with live.campaign_stats():
        await live.wait_for(await live.append_calls("spring-1", "spring-2", "autumn-1"))
    before = await live.content()
    done = await rebuild(live.client, live.mongo_url, live.database.name)
    assert (done.is_equal, done.is_swapped, done.different) == (True, True, ())
    assert await live.content() == before
    assert len(before["calls"]) == 3
    assert f"{live.database.name}_rebuild" not in await live.database.client.list_database_names()


async def test_rebuilt_documents_show_which_campaigns_are_paused(live: Live) -> None:
    async with live.campaign_stats():
        await live.append_calls("spring-1")
        for event in (campaign_paused("spring"), campaign_resumed("spring"), campaign_paused("new")):
            last = await live.log.append(event)
        await live.wait_for(last.sequence)
    before = await live.content()
    done = await rebuild(live.client, live.mongo_url, live.database.name)
    assert (done.is_equal, done.is_swapped) == (True, True)
    assert await live.content() == before
    paused = {campaign["_id"]: campaign.get("paused") for campaign in before["campaigns"]}
    assert paused == {"*": None, "new": True, "spring": False}


async def test_outcomes_that_an_older_build_did_not_count_are_named_and_rebuilt(live: Live) -> None:
    async with live.campaign_stats():
        await live.append_calls("spring-1", "spring-2")
        busy = CALL.model_copy(
            update={"call_id": call_id_of("spring-1"), "campaign_id": "spring", "status": CallStatus.BUSY}
        )
        await live.wait_for(
            (await live.log.append(EXAMPLES["call.status_changed"].model_copy(update={"call": busy}))).sequence
        )
    correct = await live.content()
    assert correct["outcomes"]
    await live.database.drop_collection("outcomes")
    checked = await rebuild(live.client, live.mongo_url, live.database.name, check=True)
    assert set(checked.different) == {f"outcomes/{document['_id']}" for document in correct["outcomes"]}
    assert (await rebuild(live.client, live.mongo_url, live.database.name)).is_swapped
    assert await live.content() == correct


async def test_campaign_stats_continues_after_a_swap_during_which_it_ran(live: Live) -> None:
    async with live.campaign_stats():
        await live.wait_for(await live.append_calls("spring-1", "spring-2"))
        done = await rebuild(live.client, live.mongo_url, live.database.name)
        await live.wait_for(await live.append_calls("spring-3", "spring-1"))
    assert done.is_equal
    assert (await rebuild(live.client, live.mongo_url, live.database.name, check=True)).is_equal
    assert len((await live.content())["calls"]) == 3


async def test_documents_that_differ_from_the_log_are_named_and_replaced(live: Live) -> None:
    async with live.campaign_stats():
        await live.wait_for(await live.append_calls("spring-1", "spring-2"))
    correct = await live.content()
    wrong = str(call_id_of("spring-2"))
    await live.database["calls"].update_one({"_id": wrong}, {"$set": {"status": "busy"}})
    checked = await rebuild(live.client, live.mongo_url, live.database.name, check=True)
    assert (checked.is_equal, checked.is_swapped, checked.different) == (False, False, (f"calls/{wrong}",))
    assert await live.content() != correct, "a check changes nothing"
    assert (await rebuild(live.client, live.mongo_url, live.database.name)).different == (f"calls/{wrong}",)
    assert await live.content() == correct


async def test_missing_documents_are_built_from_the_whole_log(live: Live) -> None:
    last = await live.append_calls("spring-1")
    done = await rebuild(live.client, live.mongo_url, live.database.name)
    assert (done.live_digest, done.sequence, done.is_equal) == (None, last, True)
    assert await Store(live.database.client, live.database.name).checkpoint() == last


async def test_an_empty_log_has_no_documents(live: Live) -> None:
    done = await rebuild(live.client, live.mongo_url, live.database.name)
    assert (done.documents, done.sequence) == (0, 0)


async def test_a_killed_rebuild_continues_at_its_sequence(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("centralita.replay.rebuilding.BATCH", 4)
    await live.append_calls("spring-1", "spring-2", "spring-3")
    with pytest.raises(Killed):
        await rebuild(live.client, live.mongo_url, live.database.name, progress=kill_at("catching up", 8))
    progress: list[int] = []
    done = await rebuild(
        live.client, live.mongo_url, live.database.name, progress=lambda _, done, __: progress.append(done)
    )
    assert progress[0] == 8
    assert done.is_swapped
    assert len((await live.content())["calls"]) == 3


async def test_a_killed_rebuild_with_other_rules_begins_again(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    await live.append_calls("spring-1")
    with pytest.raises(Killed):
        await rebuild(live.client, live.mongo_url, live.database.name, progress=kill_at("to the end of the log"))
    monkeypatch.setattr(projection_database, "_fold_modules", lambda: [Killed])
    progress: list[int] = []
    await rebuild(live.client, live.mongo_url, live.database.name, progress=lambda _, done, __: progress.append(done))
    assert progress[0] == 0


async def test_a_killed_swap_is_finished_by_the_next_run(live: Live) -> None:
    async with live.campaign_stats():
        await live.wait_for(await live.append_calls("spring-1", "spring-2"))
    correct = await live.content()
    await live.database["calls"].delete_many({})
    with pytest.raises(Killed):
        await rebuild(live.client, live.mongo_url, live.database.name, progress=kill_at("replacing the live documents"))
    new = live.database.client[f"{live.database.name}_rebuild"]
    await live.database.client.admin.command(
        {"renameCollection": f"{new.name}.calls", "to": f"{live.database.name}.calls", "dropTarget": True}
    )
    store = Store(live.database.client, live.database.name)
    assert await store.checkpoint() == FENCE, "no writer continues during a partial swap"
    done = await rebuild(live.client, live.mongo_url, live.database.name)
    assert done.is_swapped
    assert await live.content() == correct
    assert await store.checkpoint() == done.sequence


async def test_a_rebuild_that_fails_before_the_swap_releases_the_writers(live: Live) -> None:
    async with live.campaign_stats():
        await live.wait_for(await live.append_calls("spring-1"))
        with pytest.raises(Killed):
            await rebuild(live.client, live.mongo_url, live.database.name, progress=kill_at("catching up"))
        await live.wait_for(await live.append_calls("spring-2"))
    assert len((await live.content())["calls"]) == 2


async def test_documents_of_another_log_are_not_changed(live: Live) -> None:
    await live.append_calls("spring-1")
    await live.database["checkpoints"].insert_one({"_id": "campaign-stats", "sequence": 4711})
    with pytest.raises(DifferentLog, match=r"the log ends at 5, but the documents in the database .* are at 4711"):
        await rebuild(live.client, live.mongo_url, live.database.name)


def test_the_command_compares_the_campaigns_documents(campaign: "Campaign", command: "Callable[..., Command]") -> None:
    here = {"NATS_URL": campaign.nats_url, "MONGO_URL": campaign.mongo_url}
    checked = command("replay", "rebuild", "--check", environment=here)
    assert checked.code == 0, checked.err
    assert "were equal" in checked.out
    assert command("replay", "rebuild", environment={"NATS_URL": campaign.nats_url}).code == 2, "MONGO_URL is missing"
