"""Pages of calls and campaigns: their order, their filters, and the indexes that they read."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from nats.aio.client import Client
from pydantic import ValidationError
from pymongo.asynchronous.cursor import AsyncCursor
from pymongo.errors import ExecutionTimeout
from tests.builders.events import campaign_paused
from tests.integration.campaign_stats.conftest import Database, Journal, Replica

from campaign_stats import lists
from campaign_stats.documents import Document
from campaign_stats.store import Store
from chassis.event_log import EventLog
from contracts import (
    CallCreated,
    CallList,
    CallListQuery,
    CallStatus,
    CampaignList,
    CampaignListQuery,
    ConversationMode,
    Disposition,
    NumberCallsQuery,
    ProviderCallsQuery,
    call_id_of,
)
from contracts.examples import CALL, EXAMPLES
from contracts.queries import CallPosition, ListedCall

Followed = Callable[[int], Awaitable[None]]
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
FILTERS = ("campaign_id", "status", "disposition", "contact_id")
VALUES: dict[str, tuple[Any, ...]] = {
    "campaign_id": ("spring", "autumn"),
    "status": (CallStatus.COMPLETED, CallStatus.BUSY),
    "disposition": (Disposition.CONFIRMED, None),
    "contact_id": ("c-1", "c-2"),
}
COMBINATIONS = [
    tuple(name for name, is_given in zip(FILTERS, given, strict=True) if is_given)
    for given in product((False, True), repeat=len(FILTERS))
]
NOT_OF_A_CONTACT = {"status", "disposition"}
PERMITTED = [names for names in COMBINATIONS if "contact_id" not in names or NOT_OF_A_CONTACT.isdisjoint(names)]
SAME_MILLISECOND = 4
"""So many calls are created in one millisecond."""


def created(name: str, **changes: object) -> CallCreated:
    """Returns the event of a call; its campaign and the other values are those of `changes`."""
    call = CALL.model_copy(update={"call_id": call_id_of(name), "created_at": NOON, **changes})
    event = EXAMPLES["call.created"].model_copy(update={"call": call})
    assert isinstance(event, CallCreated)
    return event


async def stored(store: Store, events: Sequence[CallCreated], checkpoint: int = 0) -> None:
    await store.prepare()
    batch = list(enumerate(events, start=checkpoint + 1))
    await store.apply(checkpoint, batch, end_sequence=batch[-1][0])


async def pages(store: Store, **query: Any) -> list[list[ListedCall]]:
    """Follows the pages of a query to the last one."""
    found, before = [], None
    while True:
        kind = NumberCallsQuery if "number_digest" in query else CallListQuery
        page = await store.list_calls(kind.model_validate({"limit": 3, "before": before, **query}))
        found.append(list(page.calls))
        if not page.has_more:
            return found
        before = CallPosition(created_at=page.calls[-1].created_at, call_id=page.calls[-1].call_id)


def every_combination() -> list[CallCreated]:
    """Returns calls with each combination of values."""
    combinations = [dict(zip(FILTERS, values, strict=True)) for values in product(*(VALUES[name] for name in FILTERS))]
    return [
        created(f"call-{number}", **changes, created_at=NOON + timedelta(minutes=number // SAME_MILLISECOND))
        for number, changes in enumerate(combinations)
    ]


@pytest.mark.parametrize("names", PERMITTED, ids=str)
async def test_each_combination_of_filters_lists_the_matching_calls_newest_first(
    store: Store, names: tuple[str, ...]
) -> None:
    events = every_combination()
    await stored(store, events)
    query = {name: VALUES[name][0] for name in names}

    found = [call for page in await pages(store, **query) for call in page]

    matching = [e.call for e in events if all(getattr(e.call, name) == value for name, value in query.items())]
    expected = sorted(matching, key=lambda call: (call.created_at, str(call.call_id)), reverse=True)
    assert [call.call_id for call in found] == [call.call_id for call in expected]


async def test_the_calls_of_a_number_are_listed_newest_first_with_other_filters(
    store: Store, database: Database
) -> None:
    digest, other = "ab" * 16, "cd" * 16
    events = [
        created(f"call-{n}", created_at=NOON + timedelta(minutes=n), campaign_id=("spring", "autumn")[n % 2], **number)
        for n, number in enumerate([{"number_digest": digest}] * 4 + [{"number_digest": other}, {}] * 2)
    ]
    await stored(store, events)
    assert [[call.created_at.minute for call in page] for page in await pages(store, number_digest=digest)] == [
        [3, 2, 1],
        [0],
    ]
    [of_autumn] = await pages(store, number_digest=digest, campaign_id="autumn")
    assert [call.created_at.minute for call in of_autumn] == [3, 1]
    assert await pages(store, number_digest="0" * 32) == [[]]
    for campaign in ({}, {"campaign_id": "autumn"}):
        query = NumberCallsQuery.model_validate({"number_digest": digest, "limit": 3, **campaign})
        plan = await plan_of(lists.find_calls(database["calls"], query))
        assert plan["IXSCAN"]["keyPattern"] == {"number_digest": 1, **dict.fromkeys(campaign, 1), **ORDER}
        assert ("filter" in plan["FETCH"], "COLLSCAN" in plan) == (False, False)


async def test_a_call_whose_number_was_changed_is_found_by_its_new_number(store: Store) -> None:
    first, later = "ab" * 16, "cd" * 16
    await stored(store, [created("call", number_digest=first)])
    await stored(store, [created("call", number_digest=later)], checkpoint=1)
    assert [len(page) for page in await pages(store, number_digest=later)] == [1]
    assert await pages(store, number_digest=first) == [[]]


async def test_a_listed_call_has_its_mode(store: Store) -> None:
    await stored(store, [created("turns"), created("live", mode=ConversationMode.LIVE)])

    modes = {call.call_id: call.mode for page in await pages(store) for call in page}

    assert modes == {call_id_of("turns"): "turn_based", call_id_of("live"): "live"}


async def test_only_calls_of_and_after_the_instant_are_listed(store: Store) -> None:
    await stored(store, [created(f"call-{n}", created_at=NOON + timedelta(minutes=n)) for n in range(8)])

    found = await pages(store, created_after=(NOON + timedelta(minutes=3)).isoformat())

    assert [[call.created_at.minute for call in page] for page in found] == [[7, 6, 5], [4, 3]]


async def test_what_is_written_between_two_pages_moves_no_call_of_them(store: Store) -> None:
    first = [created(f"call-{n}", created_at=NOON + timedelta(minutes=n)) for n in range(6)]
    await stored(store, first)
    page = await store.list_calls(CallListQuery(limit=3))
    newer = created("newer", created_at=NOON + timedelta(hours=1))
    ended = [created(f"call-{n}", created_at=NOON + timedelta(minutes=n), status=CallStatus.BUSY) for n in range(6)]
    await stored(store, [newer, *ended], checkpoint=len(first))

    position = CallPosition(created_at=page.calls[-1].created_at, call_id=page.calls[-1].call_id)
    rest = await store.list_calls(CallListQuery(limit=3, before=position))

    listed = [*page.calls, *rest.calls]
    assert [call.created_at.minute for call in listed] == [5, 4, 3, 2, 1, 0]
    assert (page.has_more, rest.has_more) == (True, False)


ORDER = {"created_at": 1, "_id": 1}


async def plan_of(cursor: AsyncCursor[Document]) -> dict[str, Document]:
    """Returns the stages of a plan by their names. Those of the embedded server are not MongoDB's in all (ADR 7)."""
    stage = (await cursor.explain())["queryPlanner"]["winningPlan"]
    found = {}
    while stage:
        found[str(stage["stage"])] = stage
        stage = stage.get("inputStage")
    return found


@pytest.mark.parametrize("names", PERMITTED, ids=str)
async def test_each_combination_of_filters_reads_an_index_in_its_order_and_drops_no_call(
    store: Store, database: Database, docker: bool, names: tuple[str, ...]
) -> None:
    await stored(store, every_combination())
    given = {name: VALUES[name][0] for name in names}
    position = CallPosition(created_at=NOON + timedelta(minutes=2), call_id=call_id_of("call-8"))
    for before in (None, position):
        cursor = lists.find_calls(database["calls"], CallListQuery(**given, before=before, limit=3))
        plan = await plan_of(cursor)

        assert set(plan["IXSCAN"]["keyPattern"]) == {*names, *ORDER}
        assert list(plan["IXSCAN"]["keyPattern"])[-2:] == list(ORDER)
        assert "COLLSCAN" not in plan
        residual = str(plan["FETCH"].get("filter", ""))
        assert not any(name in residual for name in names)
        if before is None:
            assert "filter" not in plan["FETCH"]
        if docker:  # the embedded server sorts, and counts what a limit leaves out
            assert "SORT" not in plan
            assert (await cursor.explain())["executionStats"]["totalKeysExamined"] <= 3 + 1 + SAME_MILLISECOND


@pytest.mark.parametrize("names", sorted(set(COMBINATIONS) - set(PERMITTED)), ids=str)
def test_a_combination_that_no_index_serves_is_refused_with_a_remedy(names: tuple[str, ...]) -> None:
    given = {name: VALUES[name][0] for name in names}
    with pytest.raises(ValidationError, match="leave out status and disposition"):
        CallListQuery(**given, limit=3)
    with pytest.raises(ValidationError, match="leave out status and disposition"):
        NumberCallsQuery(**given, number_digest="ab" * 16, limit=3)


async def test_prepared_indexes_end_with_the_order_of_the_lists(store: Store, database: Database) -> None:
    await store.prepare()
    indexes = [[name for name, _ in index["key"]] for index in (await database["calls"].index_information()).values()]
    for fields in lists.EQUAL:
        assert [*fields, "created_at", "_id"] in indexes


async def test_a_query_that_reads_too_many_calls_is_refused_with_a_remedy(
    replica: Replica, bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def too_long(*_: object) -> CallList:
        raise ExecutionTimeout("operation exceeded time limit", 50)

    monkeypatch.setattr(lists, "list_calls", too_long)
    async with replica():
        answer = await bus_client.request(CallListQuery.subject, b'{"limit": 1}', timeout=60)
    headers = answer.headers or {}
    assert headers["Nats-Service-Error-Code"] == "503"
    assert "name a campaign" in headers["Nats-Service-Error"]


async def asked(client: Client, query: CallListQuery | CampaignListQuery) -> bytes:
    answer = await client.request(query.subject, query.model_dump_json().encode(), timeout=60)
    assert "Nats-Service-Error" not in (answer.headers or {})
    return answer.data


async def test_lists_are_answered_over_nats(
    replica: Replica, journal: Journal, followed: Followed, bus_client: Client, calls: EventLog
) -> None:
    await journal("reminders/1", "busy, then completed")
    await journal("survey/1", "waiting")
    async with replica():
        await calls.append(EXAMPLES["campaign.created"])
        await followed((await calls.append(campaign_paused("empty", reason="a holiday"))).sequence)
        listed = CallList.model_validate_json(await asked(bus_client, CallListQuery(campaign_id="reminders", limit=10)))
        campaigns = CampaignList.model_validate_json(await asked(bus_client, CampaignListQuery(limit=10)))
        one = CampaignList.model_validate_json(
            await asked(bus_client, CampaignListQuery(campaign_ids=("survey", "other"), limit=10))
        )
        rest = CampaignList.model_validate_json(await asked(bus_client, CampaignListQuery(after="empty", limit=1)))
    (call,) = listed.calls
    assert (call.call_id, call.status, call.attempt) == (call_id_of("reminders/1"), CallStatus.COMPLETED, 2)
    assert (call.duration_seconds, listed.has_more) == (42, False)
    assert [(campaign.campaign_id, campaign.name, campaign.status) for campaign in campaigns.campaigns] == [
        ("empty", None, "paused"),
        ("reminders", "Appointment reminders", "draft"),
        ("survey", None, "undeclared"),
    ]
    assert [campaign.is_paused for campaign in campaigns.campaigns] == [True, False, False]
    assert campaigns.campaigns[1].statistics.completed == 1
    assert campaigns.campaigns[0].reason == "a holiday"
    assert [campaign.campaign_id for campaign in one.campaigns] == ["survey"]
    assert ([campaign.campaign_id for campaign in rest.campaigns], rest.has_more) == (["reminders"], True)


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        (CallListQuery.subject, b'{"limit": 201}'),
        (CallListQuery.subject, b'{"limit": 1, "status": "ended"}'),
        (CallListQuery.subject, b'{"limit": 1, "status": "busy", "contact_id": "c-1"}'),
        (NumberCallsQuery.subject, b'{"limit": 1}'),
        (ProviderCallsQuery.subject, b'{"limit": 1}'),
        (ProviderCallsQuery.subject, b'{"limit": 1, "provider_call_id": {"$gt": ""}}'),
        (ProviderCallsQuery.subject, b'{"limit": 1, "provider_call_id": "CA1", "status": "busy"}'),
        (NumberCallsQuery.subject, b'{"limit": 1, "number_digest": {"$gt": ""}}'),
        (CampaignListQuery.subject, b'{"limit": 0}'),
    ],
)
async def test_an_invalid_query_is_refused(replica: Replica, bus_client: Client, subject: str, body: bytes) -> None:
    async with replica():
        answer = await bus_client.request(subject, body, timeout=60)
    assert (answer.headers or {})["Nats-Service-Error-Code"] == "400"
