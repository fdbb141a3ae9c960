"""Outcomes over time, the funnel and the reasons: what is stored, what is answered, and what an answer may cost."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from nats.aio.client import Client
from pydantic import ValidationError
from pymongo import AsyncMongoClient
from pymongo.monitoring import CommandListener
from tests.integration.campaign_stats.conftest import Database, Journal, Replica

from campaign_stats.documents import Span
from campaign_stats.outcome_reads import MAX_DOCUMENTS
from campaign_stats.outcomes import OF_FUNNEL
from campaign_stats.store import Conflict, Store
from contracts import CallStatus, CallStatusChanged, Event, Outcomes, OutcomesQuery, call_id_of
from contracts.examples import CALL, EXAMPLES
from contracts.outcomes import EndReason, Funnel, Interval

Followed = Callable[[int], Awaitable[None]]
Content = Callable[[], Awaitable[dict[str, list[dict[str, Any]]]]]
NOON = datetime.fromisoformat("2026-11-20T12:00:00+00:00")


def history(name: str, *moves: tuple[CallStatus, datetime], **terms: Any) -> Iterator[Event]:
    """Yields the events of a call that is created at the time of its first move."""
    call = CALL.model_copy(update={"call_id": call_id_of(name), "disposition": None, "attempt": 1, **terms})
    yield EXAMPLES["call.created"].model_copy(update={"call": call, "occurred_at": moves[0][1]})
    for status, at in moves:
        changed = call.model_copy(update={"status": status})
        yield CallStatusChanged(call=changed, occurred_at=at, previous=call.status, status=status, attempt=1)
        call = changed


async def stored(store: Store, *events: Event) -> None:
    await store.prepare()
    checkpoint = await store.checkpoint()
    batch = list(enumerate(events, start=checkpoint + 1))
    await store.apply(checkpoint, batch, end_sequence=batch[-1][0])


def asked(interval: Interval, since: datetime, until: datetime, campaign_id: str | None = "spring") -> OutcomesQuery:
    return OutcomesQuery(campaign_id=campaign_id, interval=interval, since=since, until=until)


async def points(store: Store, query: OutcomesQuery) -> list[tuple[datetime, dict[str, int]]]:
    answer = await store.outcomes(query)
    return [
        (point.at, {name: count for name, count in point.model_dump(exclude={"at"}).items() if count})
        for point in answer.points
    ]


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        (Interval.MINUTE, {0: {"attempts": 1}, 4: {"busy": 1}, 65: {"attempts": 1, "completed": 1}}),
        (Interval.FIVE_MINUTES, {0: {"attempts": 1, "busy": 1}, 65: {"attempts": 1, "completed": 1}}),
        (Interval.HOUR, {0: {"attempts": 1, "busy": 1}, 60: {"attempts": 1, "completed": 1}}),
        (Interval.DAY, {-720: {"attempts": 2, "busy": 1, "completed": 1}}),
    ],
)
async def test_outcomes_are_summed_by_interval(
    store: Store, interval: Interval, expected: dict[int, dict[str, int]]
) -> None:
    later = NOON + timedelta(minutes=65)
    await stored(
        store,
        *history("1", (CallStatus.DIALING, NOON), (CallStatus.BUSY, NOON + timedelta(minutes=4)), campaign_id="spring"),
        *history("2", (CallStatus.DIALING, later), (CallStatus.COMPLETED, later), campaign_id="spring"),
        *history("3", (CallStatus.DIALING, NOON), campaign_id="autumn"),
    )
    found = await points(store, asked(interval, NOON, NOON + timedelta(hours=2)))
    assert found == [(NOON + timedelta(minutes=minutes), counts) for minutes, counts in expected.items()]
    of_all = dict(await points(store, asked(Interval.HOUR, NOON, NOON + timedelta(hours=2), None)))
    assert of_all[NOON] == {"attempts": 2, "busy": 1}


async def test_the_first_interval_is_whole_and_the_end_is_excluded(store: Store) -> None:
    moves = [(CallStatus.DIALING, NOON), (CallStatus.BUSY, NOON + timedelta(hours=1))]
    await stored(store, *history("1", *moves, campaign_id="spring"))
    query = asked(Interval.HOUR, NOON + timedelta(minutes=59), NOON + timedelta(hours=1))
    assert await points(store, query) == [(NOON, {"attempts": 1})]


async def test_funnel_and_reasons_are_of_all_times_and_zero_for_an_unknown_campaign(store: Store) -> None:
    answered = [(CallStatus.DIALING, NOON), (CallStatus.IN_PROGRESS, NOON), (CallStatus.COMPLETED, NOON)]
    await stored(
        store,
        *history("1", *answered, campaign_id="spring"),
        *history("2", (CallStatus.DIALING, NOON), (CallStatus.BUSY, NOON), campaign_id="spring"),
    )
    far = NOON + timedelta(days=300)
    answer = await store.outcomes(asked(Interval.HOUR, far, far + timedelta(hours=1)))
    assert answer.funnel == Funnel(requested=2, dialled=2, rang=1, answered=1)
    assert answer.reasons == {EndReason.BUSY: 1, EndReason.NO_RESULT: 1}
    assert answer.points == ()
    assert await store.outcomes(asked(Interval.HOUR, far, far + timedelta(hours=1), "unknown")) == Outcomes()


async def test_a_batch_that_is_applied_again_counts_nothing(store: Store, content: Content, journal: Journal) -> None:
    batch = list(enumerate(history("1", (CallStatus.DIALING, NOON), (CallStatus.BUSY, NOON)), start=1))
    await store.prepare()
    await store.apply(0, batch, end_sequence=3)
    before = await content()
    with pytest.raises(Conflict):
        await store.apply(0, batch, end_sequence=3)
    await store.apply(3, batch, end_sequence=3)
    assert await content() == before
    assert len(before["outcomes"]) == 4


@pytest.fixture
async def reads(mongo_url: str, database: Database) -> AsyncIterator[tuple[Store, "Reads"]]:
    """A store, and the documents that it has read."""
    reads = Reads()
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongo_url, tz_aware=True, event_listeners=[reads])
    yield Store(client, database.name), reads
    await client.close()


class Reads(CommandListener):
    """The documents in the answers to queries, by collection."""

    def __init__(self) -> None:
        self.documents: list[str] = []

    def started(self, event: Any) -> None:
        """Does nothing."""

    def succeeded(self, event: Any) -> None:
        cursor = event.reply.get("cursor", {})
        found = [*cursor.get("firstBatch", ()), *cursor.get("nextBatch", ())]
        self.documents += [str(document["_id"]) for document in found if "_id" in document]

    def failed(self, event: Any) -> None:
        """Does nothing."""


async def test_the_worst_query_reads_few_documents_by_their_ids(database: Database, reads: tuple[Store, Reads]) -> None:
    """Every minute of the last hours and every hour of two months has each outcome."""
    counts = dict.fromkeys(["attempts", "retried", *(status.value for status in CallStatus if status.is_final)], 1)
    for span, first, parts in ((Span.DAY, NOON - timedelta(days=61), 24), (Span.HOUR, NOON - timedelta(hours=48), 60)):
        each = {f"{part:02}": counts for part in range(parts)}
        begins = {span.document_id("spring", first + timedelta(hours=number)) for number in range(61 * 24)}
        await database["outcomes"].insert_many([{"_id": begin, **each} for begin in sorted(begins)])
    store, read = reads
    until = NOON + timedelta(seconds=1)
    for interval in Interval:
        read.documents.clear()
        answer = await store.outcomes(asked(interval, until - interval.max_points * interval.length, until))
        assert len(answer.points) == interval.max_points + 1, "the first interval is whole"
        assert len(answer.model_dump_json()) < 70_000
        assert len(read.documents) <= MAX_DOCUMENTS


@pytest.mark.parametrize("interval", Interval)
def test_a_query_for_more_intervals_is_refused_with_a_remedy(interval: Interval) -> None:
    longest = interval.max_points * interval.length
    assert asked(interval, NOON - longest, NOON)
    with pytest.raises(ValidationError, match="choose a later since, an earlier until, or a longer interval"):
        asked(interval, NOON - longest - timedelta(microseconds=1), NOON)
    with pytest.raises(ValidationError, match="since is not before until"):
        asked(interval, NOON, NOON)


async def test_outcomes_are_answered_over_nats(
    replica: Replica, journal: Journal, followed: Followed, bus_client: Client
) -> None:
    async with replica():
        await followed(await journal("reminders/1", "busy, then completed"))
        at = CALL.status_changed_at
        query = asked(Interval.HOUR, at - timedelta(hours=1), at + timedelta(hours=1), "reminders")
        message = await bus_client.request(query.subject, query.model_dump_json().encode(), timeout=60)
        wrong = await bus_client.request(query.subject, b'{"interval": "1s"}', timeout=60)
    answer = Outcomes.model_validate_json(message.data)
    [point] = answer.points
    assert (point.attempts, point.retried, point.completed) == (2, 1, 1)
    assert answer.reasons == {EndReason(EXAMPLES["conversation.ended"].disposition): 1}  # type: ignore[attr-defined]
    assert answer.funnel.person == 1
    assert (wrong.headers or {})["Nats-Service-Error-Code"] == "400"


async def test_documents_of_an_older_build_are_counted_from_their_next_event_on(
    store: Store, database: Database
) -> None:
    events = list(history("1", (CallStatus.DIALING, NOON), (CallStatus.BUSY, NOON), campaign_id="spring"))
    await stored(store, *events[:2])
    await database["calls"].update_many({}, {"$unset": {"stage": "", "earlier_stage": "", "cause": ""}})
    await database["campaigns"].update_many({}, {"$unset": dict.fromkeys(OF_FUNNEL, "")})
    await database.drop_collection("outcomes")
    await stored(store, events[2])
    answer = await store.outcomes(asked(Interval.HOUR, NOON, NOON + timedelta(hours=1)))
    assert answer.funnel == Funnel(requested=1, dialled=1)
    assert (answer.reasons, [point.busy for point in answer.points]) == ({EndReason.BUSY: 1}, [1])
