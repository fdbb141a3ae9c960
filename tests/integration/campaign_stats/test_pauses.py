"""The state of a campaign in its document, beside the counters."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from starlette.types import ASGIApp

from campaign_stats.projection import COUNTERS, statistics
from campaign_stats.store import Store
from chassis.event_log import EventLog
from contracts.examples import EXAMPLES

Replica = Callable[..., AbstractAsyncContextManager[ASGIApp]]
Journal = Callable[[str, str], Awaitable[int]]
Followed = Callable[[int], Awaitable[None]]
Content = Callable[[], Awaitable[dict[str, list[dict[str, Any]]]]]

PAUSED, RESUMED = EXAMPLES["campaign.paused"], EXAMPLES["campaign.resumed"]


def pause_state(campaign: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in campaign.items() if name in ("paused", "since", "reason")}


async def test_a_document_shows_whether_its_campaign_is_paused_since_when_and_why(
    replica: Replica, journal: Journal, followed: Followed, content: Content, calls: EventLog
) -> None:
    async with replica():
        await journal("reminders/1", "completed")
        await followed((await calls.append(PAUSED)).sequence)
        every, paused = (await content())["campaigns"]
        await followed((await calls.append(RESUMED)).sequence)
        _, resumed = (await content())["campaigns"]
    assert (every["_id"], pause_state(every)) == ("*", {})
    campaign = PAUSED.model_dump()["campaign"]
    assert pause_state(paused) == {"paused": True, "since": campaign["changed_at"], "reason": campaign["reason"]}
    assert pause_state(resumed) == {"paused": False, "since": RESUMED.model_dump()["occurred_at"], "reason": None}
    assert (resumed["total"], resumed["completed"]) == (1, 1)


async def test_a_campaign_that_is_paused_before_its_first_call_has_every_counter(
    replica: Replica, journal: Journal, followed: Followed, content: Content, calls: EventLog, store: Store
) -> None:
    async with replica():
        await followed((await calls.append(PAUSED)).sequence)
        [campaign] = (await content())["campaigns"]
        assert {name: campaign[name] for name in COUNTERS} == dict.fromkeys(COUNTERS, 0)
        await followed(await journal("reminders/1", "waiting"))
    assert statistics("reminders", await store.sums("reminders")).pending == 1
    assert pause_state((await content())["campaigns"][1])["paused"] is True
    assert set((await store.busiest(5))["reminders"]) == set(COUNTERS)
