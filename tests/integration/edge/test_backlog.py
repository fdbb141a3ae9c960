"""The backlog as nats-server counts it: waiting calls and undecided requests, read at most once a second."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx
import pytest
from nats.aio.client import Client

from contracts import Call
from contracts.examples import EXAMPLES
from contracts.streams import MIN_BACKLOG_LIMIT
from edge.adapters.backlog import NatsBacklog
from edge.ports import BacklogFull
from edge.settings import Settings

if TYPE_CHECKING:
    from tests.integration.edge.conftest import Orchestrator


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"max_backlog": MIN_BACKLOG_LIMIT})


async def passed(backlog: NatsBacklog, count: int) -> int:
    """Returns how many of that many requests are not refused."""
    results = await asyncio.gather(*(backlog.check() for _ in range(count)), return_exceptions=True)
    assert {type(result) for result in results} <= {type(None), BacklogFull}
    return results.count(None)


async def publish(client: Client, name: str, count: int) -> None:
    event = EXAMPLES[name]
    for number in range(count):
        subject = f"queue.joined.{number}" if name == "queue.joined" else event.subject
        await client.jetstream().publish(subject, event.body())


async def test_waiting_calls_and_undecided_requests_count_together(bus_client: Client) -> None:
    await publish(bus_client, "queue.joined", 150)
    await publish(bus_client, "call.requested", 100)
    await NatsBacklog(bus_client, 251).check()
    with pytest.raises(BacklogFull, match=r"limit of 250 .*MAX_BACKLOG"):
        await NatsBacklog(bus_client, 250).check()


async def test_a_full_queue_alone_refuses_nothing_because_its_calls_may_be_of_paused_campaigns(
    bus_client: Client,
) -> None:
    await publish(bus_client, "queue.joined", 30)
    backlog = NatsBacklog(bus_client, 20, lambda: 0.0)
    assert await passed(backlog, 100) == 20, "then the orchestrator has not decided these"


@pytest.mark.parametrize(("limit", "undecided", "let_through"), [(20, 0, 20), (20, 15, 5), (300, 0, 300)])
async def test_one_reading_lets_through_no_more_than_the_limit(
    bus_client: Client, limit: int, undecided: int, let_through: int
) -> None:
    await publish(bus_client, "call.requested", undecided)
    assert await passed(NatsBacklog(bus_client, limit, lambda: 0.0), 1_000) == let_through


async def test_the_backlog_is_read_once_a_second(bus_client: Client) -> None:
    now = [0.0]
    backlog = NatsBacklog(bus_client, 1, lambda: now[0])
    await backlog.check()
    sent = bus_client.stats["out_msgs"]
    assert await passed(backlog, 100) == 0
    assert bus_client.stats["out_msgs"] == sent
    now[0] = 1.0
    assert await passed(backlog, 100) == 1, "the request of the first reading was decided"


@pytest.mark.parametrize(
    ("action", "sent", "is_refused"),
    [
        ("/initiate", None, True),
        ("/retry", None, True),
        ("", {"scheduled_at": datetime.now(UTC).isoformat()}, True),
        ("", {"scheduled_at": (datetime.now(UTC) + timedelta(minutes=4)).isoformat()}, True),
        ("", {"scheduled_at": (datetime.now(UTC) + timedelta(days=1)).isoformat()}, False),
        ("", {"max_retries": 1}, False),
        ("/cancel", None, False),
    ],
)
async def test_a_command_that_would_let_a_call_wait_is_refused(
    api: httpx.AsyncClient,
    waiting: Call,
    bus_client: Client,
    orchestrator: "Orchestrator",
    action: str,
    sent: dict[str, object] | None,
    is_refused: bool,
) -> None:
    orchestrator.silent = True
    await publish(bus_client, "call.requested", MIN_BACKLOG_LIMIT)
    orchestrator.silent = False
    answer = await api.request("POST" if action else "PUT", f"/api/v1/calls/{waiting.call_id}{action}", json=sent)
    assert (answer.status_code == 429) is is_refused, answer.text
    assert answer.is_success is not is_refused


async def test_a_request_within_five_minutes_is_refused_as_one_for_now_is(
    api: httpx.AsyncClient, bus_client: Client, orchestrator: "Orchestrator", body: dict[str, object]
) -> None:
    orchestrator.silent = True
    await publish(bus_client, "call.requested", MIN_BACKLOG_LIMIT)
    soon = {**body, "scheduled_at": (datetime.now(UTC) + timedelta(seconds=1)).isoformat()}
    assert (await api.post("/api/v1/calls", json=soon)).status_code == 429


async def test_without_an_answer_the_last_reading_counts(bus_client: Client) -> None:
    now = [0.0]
    backlog = NatsBacklog(bus_client, 2, lambda: now[0])
    await backlog.check()
    await bus_client.close()
    now[0] = 1.0
    assert await passed(backlog, 100) == 1
