"""Finding a call by the telephone provider's id of an attempt: from the log to the answer over NATS."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from nats.aio.client import Client
from tests.integration.campaign_stats.conftest import Database, Replica
from tests.integration.campaign_stats.test_lists import created, plan_of, stored

from campaign_stats import lists
from campaign_stats.store import Store
from chassis.event_log import EventLog
from contracts import CallList, DialLookedUp, DialPlaced, ProviderCallsQuery, call_id_of

Followed = Callable[[int], Awaitable[None]]
Content = Callable[[], Awaitable[dict[str, list[dict[str, Any]]]]]
FIRST, SECOND, LOST = ("CA" + digit * 32 for digit in "123")


def query(identity: str, **fields: Any) -> ProviderCallsQuery:
    return ProviderCallsQuery(provider_call_id=identity, limit=10, **fields)


async def asked(client: Client, wanted: ProviderCallsQuery) -> list[tuple[object, tuple[str, ...]]]:
    answer = await client.request(wanted.subject, wanted.model_dump_json().encode(), timeout=60)
    found = CallList.model_validate_json(answer.data)
    return [(call.call_id, call.provider_call_ids) for call in found.calls]


async def appended(calls: EventLog) -> int:
    """Appends a call with two attempts, and one that was only looked up; returns the last sequence."""
    retried, lost = call_id_of("retried"), call_id_of("lost")
    await calls.append(created("retried", campaign_id="spring"))
    await calls.append(created("lost", campaign_id="autumn"))
    await calls.append(DialPlaced(call_id=retried, attempt=1, provider_call_id=FIRST))
    await calls.append(DialLookedUp(call_id=lost, attempt=1, provider_call_id=LOST))
    return (await calls.append(DialPlaced(call_id=retried, attempt=2, provider_call_id=SECOND))).sequence


async def test_a_call_is_found_by_the_id_of_each_attempt_within_its_campaign(
    replica: Replica, followed: Followed, bus_client: Client, calls: EventLog
) -> None:
    async with replica():
        await followed(await appended(calls))
        retried = [(call_id_of("retried"), (FIRST, SECOND))]
        assert await asked(bus_client, query(FIRST)) == retried
        assert await asked(bus_client, query(SECOND, campaign_id="spring")) == retried
        assert await asked(bus_client, query(LOST)) == [(call_id_of("lost"), (LOST,))]
        for unknown in (query(FIRST, campaign_id="autumn"), query("CA9"), query(FIRST[:-1])):
            assert await asked(bus_client, unknown) == []


async def test_a_rebuild_gives_equal_documents_also_of_calls_of_older_builds(
    replica: Replica, followed: Followed, calls: EventLog, database: Database, content: Content
) -> None:
    async with replica():
        await followed(last := await appended(calls))
    whole = await content()
    await database["calls"].update_many({}, {"$unset": {"provider_call_ids": 1}})  # as an older build stores them
    assert await content() != whole
    await database.client.drop_database(database.name)
    async with replica():
        await followed(last)
    assert await content() == whole


@pytest.mark.parametrize("campaign", [{}, {"campaign_id": "spring"}])
async def test_the_query_reads_the_index_of_the_ids(store: Store, database: Database, campaign: dict[str, str]) -> None:
    await stored(store, [created(f"call-{number}", campaign_id="spring") for number in range(20)])
    batch = [
        (21 + number, DialPlaced(call_id=call_id_of(f"call-{number}"), attempt=1, provider_call_id=f"CA{number}"))
        for number in range(20)
    ]
    await store.apply(20, batch, end_sequence=40)
    [found] = (await store.list_calls(query("CA7", **campaign))).calls
    assert found.call_id == call_id_of("call-7")
    plan = await plan_of(lists.find_calls(database["calls"], query("CA7", **campaign)))
    assert plan["IXSCAN"]["keyPattern"] == {"provider_call_ids": 1, "created_at": 1, "_id": 1}
    assert "COLLSCAN" not in plan
