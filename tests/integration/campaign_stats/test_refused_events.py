"""One event that cannot be written or decoded becomes a dead letter, and the projection continues."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any

import pytest
from nats.aio.client import Client
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import AutoReconnect, OperationFailure
from starlette.types import ASGIApp

from campaign_stats import documents, subscriber
from campaign_stats.applying import apply_batch
from campaign_stats.metrics import SKIPPED
from campaign_stats.projection import Projected
from campaign_stats.store import Store
from centralita.replay.rebuilding import rebuild
from chassis import stream_scan
from chassis.dead_letters import read_dead_letters
from chassis.event_log import EventLog
from chassis.metrics import DEAD_LETTERS
from contracts import CallCreated, CallStatus, CampaignPaused, Event, call_id_of
from contracts.dead_letters import DeadLetter
from contracts.examples import CALL, EXAMPLES
from contracts.instants import MAX_INSTANT
from contracts.streams import CALLS

Replica = Callable[..., AbstractAsyncContextManager[ASGIApp]]
Journal = Callable[[str, str], Awaitable[int]]
Followed = Callable[[int], Awaitable[None]]
Content = Callable[[], Awaitable[dict[str, list[dict[str, Any]]]]]
Database = AsyncDatabase[dict[str, Any]]

BEYOND_UTC = datetime.fromisoformat("9999-12-31T23:59:59-12:00")
POISON: dict[str, dict[str, Any]] = {
    "attempt": {"attempt": 2**63},
    "duration_seconds": {"duration_seconds": 2**62, "status": CallStatus.COMPLETED},
    "never_rang": {"undialled_attempts": 2**31},
}


def call_event(name: str, **changes: Any) -> Event:
    identity = {"call_id": call_id_of(name), "campaign_id": name.split("/")[0]}
    created = EXAMPLES["call.created"]
    return created.model_copy(update={"call": CALL.model_copy(update={**identity, **changes})})


def large_pause() -> Event:
    pause = EXAMPLES["campaign.paused"]
    assert isinstance(pause, CampaignPaused)
    campaign = pause.campaign.model_copy(update={"campaign_id": "poison", "reason": "x" * 10_000})
    return pause.model_copy(update={"campaign": campaign})


async def letters(client: Client) -> list[DeadLetter]:
    return [stored.dead_letter async for stored in read_dead_letters(client)]


@pytest.mark.parametrize("field", POISON)
async def test_an_event_that_cannot_be_written_becomes_a_dead_letter_and_the_rest_is_applied(
    field: str,
    replica: Replica,
    journal: Journal,
    followed: Followed,
    content: Content,
    bus_client: Client,
    calls: EventLog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_scan, "BATCH", 4)
    counted = DEAD_LETTERS.labels(consumer="campaign-stats")._value.get()
    await journal("reminders/1", "completed")
    await calls.append(call_event("poison/1", contact_id="before"))
    poison = await calls.append(call_event("poison/1", **POISON[field]))
    await journal("survey/1", "completed")
    async with replica(), replica():
        await followed(await journal("reminders/2", "no answer"))
        await followed((await calls.append(call_event("poison/2"))).sequence)
    found = await content()
    by_id = {call["_id"]: call for call in found["calls"]}
    assert len(by_id) == 5
    assert by_id[str(call_id_of("poison/1"))]["contact_id"] == "before"
    assert {campaign["_id"]: campaign["total"] for campaign in found["campaigns"]} == {
        "*": 5,
        "reminders": 2,
        "survey": 1,
        "poison": 2,
    }
    (letter,) = await letters(bus_client)
    assert (letter.stream, letter.sequence, letter.consumer) == (CALLS.name, poison.sequence, "campaign-stats")
    assert letter.reasons[0].startswith(f"{field}: ")
    assert DEAD_LETTERS.labels(consumer="campaign-stats")._value.get() > counted


async def test_a_later_event_of_the_same_call_is_applied(
    replica: Replica, followed: Followed, content: Content, calls: EventLog
) -> None:
    await calls.append(call_event("poison/1", attempt=2**63))
    end = await calls.append(call_event("poison/1", contact_id="after"))
    async with replica():
        await followed(end.sequence)
    (call,) = (await content())["calls"]
    assert (call["contact_id"], call["sequence"]) == ("after", end.sequence)


async def test_an_instant_that_no_reader_can_store_is_stored_as_the_last_one_of_the_contracts(
    replica: Replica, followed: Followed, content: Content, calls: EventLog, bus_client: Client
) -> None:
    async with replica():
        await followed((await calls.append(call_event("reminders/1", due_at=BEYOND_UTC))).sequence)
    (call,) = (await content())["calls"]
    assert call["due_at"] == MAX_INSTANT
    assert await letters(bus_client) == []


async def test_a_rebuild_leaves_out_the_same_events_and_names_them(
    replica: Replica,
    journal: Journal,
    followed: Followed,
    content: Content,
    bus_client: Client,
    calls: EventLog,
    database: Database,
    mongo_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscriber, "MAX_UNREADABLE_SECONDS", 0)
    monkeypatch.setattr(stream_scan, "BATCH", 3)
    await journal("reminders/1", "completed")
    ack = await bus_client.jetstream().publish(f"call.created.{call_id_of('x')}.pending", b'{"call": 1}')
    monkeypatch.setattr(documents, "MAX_DOCUMENT_BYTES", 10_000)
    poison = [await calls.append(event) for event in (call_event("poison/1", attempt=2**63), large_pause())]
    left_out = [ack.seq, *(stored.sequence for stored in poison)]
    await calls.append(call_event("poison/1"))
    async with replica(), replica():
        await followed(await journal("survey/1", "completed"))
    before = await content()
    done = await rebuild(bus_client, mongo_url, database.name)
    assert (done.is_equal, done.is_swapped, done.different) == (True, True, ())
    assert sorted(done.left_out) == left_out == [letter.sequence for letter in await letters(bus_client)]
    assert await content() == before


async def test_a_document_that_is_too_large_is_refused(
    replica: Replica, followed: Followed, bus_client: Client, calls: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "MAX_DOCUMENT_BYTES", 10_000)
    await calls.append(call_event("poison/1", contact_id="x" * 10_000))
    async with replica():
        await followed((await calls.append(call_event("poison/2"))).sequence)
    (letter,) = await letters(bus_client)
    assert "MongoDB stores at most 10000" in letter.reasons[0]


async def refused_by_halving(store_of: Store, batch: Sequence[tuple[int, Event]]) -> dict[int, Sequence[str]]:
    refused: dict[int, Sequence[str]] = {}

    async def on_refused(reasons: Any) -> None:
        refused.update(reasons)

    await store_of.prepare()
    await apply_batch(store_of, 0, batch, end_sequence=batch[-1][0] + 5, on_refused=on_refused)
    return refused


async def test_an_event_that_only_the_driver_refuses_is_found_by_halving_the_batch(
    store: Store, content: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("campaign_stats.store.refusals", lambda _: ())
    batch = [(n, call_event(f"reminders/{n}", **({"due_at": BEYOND_UTC} if n in (3, 8) else {}))) for n in range(1, 10)]
    assert sorted(await refused_by_halving(store, batch)) == [3, 8]
    assert await store.checkpoint() == 14
    assert {call["sequence"] for call in (await content())["calls"]} == {1, 2, 4, 5, 6, 7, 9}


async def test_an_event_that_only_the_server_refuses_is_found_by_halving_the_batch(
    store: Store, content: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Store._write

    async def too_large(self: Store, projected: Projected, session: Any) -> None:
        if str(call_id_of("reminders/3")) in projected.documents:
            raise OperationFailure("too large", 65, {"writeErrors": [{"code": 10334}]})
        await write(self, projected, session)

    monkeypatch.setattr(Store, "_write", too_large)
    assert list(await refused_by_halving(store, [(n, call_event(f"reminders/{n}")) for n in range(1, 6)])) == [3]
    assert {call["sequence"] for call in (await content())["calls"]} == {1, 2, 4, 5}


@pytest.mark.parametrize("error", [AutoReconnect("no primary"), OperationFailure("not authorized", 13)])
async def test_an_error_of_the_database_makes_no_dead_letter(
    error: Exception,
    replica: Replica,
    journal: Journal,
    followed: Followed,
    bus_client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures = 3
    write = Store._write

    async def fail_at_first(self: Store, projected: Projected, session: Any) -> None:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise error
        await write(self, projected, session)

    monkeypatch.setattr(Store, "_write", fail_at_first)
    async with replica():
        await followed(await journal("reminders/1", "completed"))
    assert failures < 0
    assert await letters(bus_client) == []


async def test_a_message_that_is_no_event_becomes_a_dead_letter(
    replica: Replica,
    journal: Journal,
    followed: Followed,
    content: Content,
    bus_client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscriber, "MAX_UNREADABLE_SECONDS", 0)
    skipped = SKIPPED._value.get()
    for subject in (f"call.created.{call_id_of('x')}.pending", "call.foretold.x.y"):
        await bus_client.jetstream().publish(subject, b'{"call": 1}')
    async with replica():
        await followed(await journal("survey/1", "waiting"))
    assert [campaign["pending"] for campaign in (await content())["campaigns"]] == [1, 1]
    assert SKIPPED._value.get() == skipped + 2
    assert [letter.subject for letter in await letters(bus_client)] == [
        f"call.created.{call_id_of('x')}.pending",
        "call.foretold.x.y",
    ]


async def test_an_event_of_a_newer_build_waits_for_a_newer_replica(
    replica: Replica, journal: Journal, followed: Followed, content: Content, bus_client: Client, store: Store
) -> None:
    before = await journal("reminders/1", "waiting")
    newer = await bus_client.jetstream().publish(f"call.foretold.{call_id_of('survey/1')}.pending", b"{}")
    after = await journal("reminders/2", "waiting")
    async with replica():
        await followed(before)  # what precedes it is applied at once
        await asyncio.sleep(3 * subscriber._UNREADABLE_PAUSE_SECONDS)
        assert await store.checkpoint() == before
        event = CallCreated(
            call=CALL.model_copy(update={"call_id": call_id_of("survey/1")}), occurred_at=datetime.now(UTC)
        )
        await store.apply(before, [(newer.seq, event)], end_sequence=newer.seq)
        await followed(after)
    assert len((await content())["calls"]) == 3
    assert await letters(bus_client) == []
