"""Live events as server-sent events, over real connections."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest
from nats.aio.client import Client
from nats.js.api import RawStreamMsg
from starlette.types import ASGIApp
from tests.builders.events import campaign_paused, campaign_resumed
from tests.integration.edge.conftest import API_KEY, LIMITED, secret_of
from tests.integration.edge.test_webhook_reads import counted, requests_of

from chassis import stream_reader
from chassis.event_log import EventLog, StoredEvent
from contracts import Call, CallRequested, SpeechHeard, call_id_of
from edge.adapters import feed
from edge.application import event_streams
from edge.ports import Unavailable

if TYPE_CHECKING:
    from tests.integration.edge.conftest import Orchestrator

OnAPort = Callable[[ASGIApp], AbstractAsyncContextManager[str]]
Events = AsyncIterator[dict[str, Any]]
PATH = "/api/v1/events"


@pytest.fixture
async def url(app: ASGIApp, on_a_port: OnAPort) -> AsyncIterator[str]:
    async with on_a_port(app) as url:
        yield url


@pytest.fixture
async def edge(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose key has every scope, on a real port."""
    async with httpx.AsyncClient(base_url=url, headers={"X-API-Key": API_KEY}, trust_env=False, timeout=60) as http:
        yield http


async def parsed(lines: AsyncIterator[str]) -> Events:
    """Yields the fields of each event; `data` is decoded."""
    fields: dict[str, Any] = {}
    async for line in lines:
        name, _, value = line.partition(": ")
        if line and name:
            fields[name] = json.loads(value) if name == "data" else value
        elif not line and "data" in fields:
            yield fields
            fields = {}


@asynccontextmanager
async def opened(http: httpx.AsyncClient, *, after: int | None = None, **query: object) -> AsyncIterator[Events]:
    """Opens a stream, which must be answered with 200."""
    headers = {"Last-Event-ID": str(after)} if after is not None else {}
    parameters = {name: str(value) for name, value in query.items()}
    async with http.stream("GET", PATH, params=parameters, headers=headers) as answer:
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
        yield parsed(answer.aiter_lines())


async def take(events: Events, count: int) -> list[dict[str, Any]]:
    return [await anext(events) for _ in range(count)]


def heard(call_id: UUID, text: str = "hola", turn: int = 1) -> SpeechHeard:
    return SpeechHeard(call_id=call_id, attempt=1, turn=turn, text=text, language="es")


async def test_a_stream_of_a_call_has_its_history_and_then_each_new_event(
    edge: httpx.AsyncClient, talking: Call, calls: EventLog
) -> None:
    await calls.append(heard(uuid4()))
    async with opened(edge, call_id=talking.call_id) as events:
        history = await take(events, 2)
        await calls.append(heard(uuid4()))
        live = [await calls.append(heard(talking.call_id)), await calls.append(heard(talking.call_id, "adiós", 2))]
        received = await take(events, 2)

    assert [event["event"] for event in history] == ["call.created.v2", "call.status_changed.v2"]
    assert [int(event["id"]) for event in received] == [stored.sequence for stored in live]
    assert [event["data"]["data"]["text"] for event in received] == ["hola", "adiós"]
    listed = (await edge.get(f"/api/v1/calls/{talking.call_id}/events")).json()
    assert [event["data"] for event in [*history, *received]] == listed


async def test_a_stream_of_a_call_continues_after_the_last_event_id(
    edge: httpx.AsyncClient, talking: Call, calls: EventLog
) -> None:
    stored = [await calls.append(heard(talking.call_id, turn=turn)) for turn in range(1, 4)]

    async with opened(edge, call_id=talking.call_id, after=stored[0].sequence) as events:
        received = await take(events, 2)

    assert [int(event["id"]) for event in received] == [entry.sequence for entry in stored[1:]]


async def test_a_stream_of_a_campaign_has_only_its_decisions(
    edge: httpx.AsyncClient, orchestrator: "Orchestrator", body: dict[str, object], calls: EventLog
) -> None:
    async with opened(edge, campaign_id="spring") as events, opened(edge) as every:
        for campaign in ("winter", "spring"):
            request = {**body, "campaign_id": campaign, "request_id": f"r-{campaign}"}
            await orchestrator.decide(CallRequested.model_validate(request))
            await calls.append(heard(call_id_of(f"r-{campaign}")))
            await calls.append(campaign_paused(campaign))
        received, all_received = await take(events, 2), await take(every, 4)

    assert [event["event"] for event in received] == ["call.created.v2", "campaign.paused.v2"]
    assert received[0]["data"]["data"]["call"]["campaign_id"] == "spring"
    assert [event["event"] for event in all_received] == ["call.created.v2", "campaign.paused.v2"] * 2
    assert [event for event in all_received if event in received] == received


async def test_an_interrupted_stream_has_each_event_once_and_in_order(edge: httpx.AsyncClient, calls: EventLog) -> None:
    """The events are appended while clients connect, disconnect and continue."""
    first = await calls.append(campaign_paused("spring"))
    stored = []

    async def append() -> None:
        for number in range(120):
            change = campaign_resumed if number % 2 == 0 else campaign_paused
            stored.append(await calls.append(change("spring")))
            await calls.append(campaign_paused("winter"))
            await calls.append(heard(uuid4()))

    async def read() -> list[int]:
        received = [first.sequence]
        while len(received) <= 120:
            async with opened(edge, campaign_id="spring", after=received[-1]) as events:
                received += [int(event["id"]) for event in await take(events, min(17, 121 - len(received)))]
        return received[1:]

    received, _ = await asyncio.gather(read(), append())

    assert received == [entry.sequence for entry in stored]


async def test_a_client_that_was_interrupted_before_its_first_event_misses_none(
    edge: httpx.AsyncClient, calls: EventLog
) -> None:
    await calls.append(campaign_paused("spring"))
    async with edge.stream("GET", PATH) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("id: "):
                break
    stored = await calls.append(campaign_resumed("spring"))
    async with opened(edge, after=int(line.removeprefix("id: "))) as events:
        [received] = await take(events, 1)

    assert received["id"] == str(stored.sequence)


async def test_further_streams_and_events_cost_no_read_of_the_log(
    edge: httpx.AsyncClient, calls: EventLog, bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_reader, "IDLE_SECONDS", 3600)  # the log is read only if no event arrives for so long
    async with opened(edge, campaign_id="spring") as first:
        await calls.append(campaign_paused("spring"))
        await anext(first)
        async with (
            requests_of(bus_client) as requests,
            opened(edge, campaign_id="spring") as second,
            opened(edge) as third,
        ):
            for _ in range(20):
                await calls.append(campaign_paused("spring"))
            counts = [len(await take(events, 20)) for events in (first, second, third)]

    assert counts == [20, 20, 20]
    assert counted(requests) == (0, 0, 0)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 403),
        ("?campaign_id=winter", 404),
        ("?campaign_id=spring&campaign_id=winter", 404),
        ("?call_id={winter}", 404),
        ("?call_id={winter}&call_id={spring}", 404),
        ("?call_id={unknown}", 404),
        ("?call_id=x", 403),
        ("?call_id={spring}", 200),
        ("?campaign_id=autumn", 200),
    ],
)
async def test_a_limited_key_streams_its_own_campaigns_only(
    edge: httpx.AsyncClient, orchestrator: "Orchestrator", body: dict[str, object], query: str, status: int
) -> None:
    ids = {"unknown": uuid4()}
    for campaign in ("spring", "winter"):
        request = {**body, "campaign_id": campaign, "request_id": f"r-{campaign}"}
        await orchestrator.decide(CallRequested.model_validate(request))
        ids[campaign] = call_id_of(f"r-{campaign}")

    path = PATH + query.format(**ids)
    async with edge.stream("GET", path, headers={"X-API-Key": secret_of(LIMITED)}) as answer:
        assert answer.status_code == status


@pytest.mark.parametrize(
    ("query", "after", "field"),
    [
        ({"call_id": "x"}, None, "call_id"),
        ({"campaign_id": "a b"}, None, "campaign_id"),
        ({"campaign_id": "spring", "call_id": str(uuid4())}, None, "campaign_id"),
        ({}, "x", "Last-Event-ID"),
        ({}, "-1", "Last-Event-ID"),
        ({}, "1000", "Last-Event-ID"),
        ({}, "1", "Last-Event-ID"),
    ],
)
async def test_an_invalid_stream_is_refused_with_its_field(
    edge: httpx.AsyncClient,
    calls: EventLog,
    monkeypatch: pytest.MonkeyPatch,
    query: dict[str, str],
    after: str | None,
    field: str,
) -> None:
    monkeypatch.setattr(event_streams, "MAX_RESUMED", 3)
    for _ in range(5):
        await calls.append(campaign_paused("spring"))

    answer = await edge.get(PATH, params=query, headers={"Last-Event-ID": after} if after else {})

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_a_stream_of_a_call_is_audited_once_and_others_are_not(edge: httpx.AsyncClient, talking: Call) -> None:
    for _ in range(2):
        async with opened(edge, call_id=talking.call_id) as events:
            await take(events, 2)
    async with opened(edge, campaign_id="spring"), opened(edge):
        pass

    entries = (await edge.get("/api/v1/audit")).json()["entries"]
    assert [(entry["act"], entry["target"]) for entry in entries] == [("call.read_events", str(talking.call_id))]


async def is_admitted(edge: httpx.AsyncClient) -> None:
    """Waits until a stream can be opened."""
    while True:
        async with edge.stream("GET", PATH) as answer:
            if answer.status_code == 200:
                return
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(("limit", "other"), [("MAX_STREAMS_PER_KEY", 200), ("MAX_STREAMS", 429)])
async def test_open_streams_are_limited_and_a_closed_one_does_not_count(
    edge: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, limit: str, other: int
) -> None:
    monkeypatch.setattr(event_streams, limit, 2)
    async with opened(edge), opened(edge, campaign_id="spring"):
        refused = await edge.get(PATH)
        async with edge.stream("GET", PATH, headers={"X-API-Key": secret_of("another")}) as answer:
            assert answer.status_code == other
    assert refused.status_code == 429
    assert refused.headers["Retry-After"]
    assert refused.json()["type"] == "urn:centralita:problem:too-many-streams"
    await is_admitted(edge)


async def test_a_key_reads_few_long_histories_at_a_time(
    edge: httpx.AsyncClient, calls: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_streams, "LONG_READ", 2)
    monkeypatch.setattr(event_streams, "MAX_LONG_READS", 1)
    is_read, read = asyncio.Event(), feed.NatsEventFeed.read

    async def read_slowly(*arguments: Any, **positions: Any) -> AsyncGenerator[Any, None]:
        await is_read.wait()
        async for event in read(*arguments, **positions):
            yield event

    monkeypatch.setattr(feed.NatsEventFeed, "read", read_slowly)
    sequences = [(await calls.append(campaign_paused("spring"))).sequence for _ in range(6)]
    long_ago, lately = ({"Last-Event-ID": str(sequence)} for sequence in (sequences[0], sequences[-2]))
    async with edge.stream("GET", PATH, headers=long_ago) as first:
        assert first.status_code == 200
        refused = await edge.get(PATH, headers=long_ago)
        assert (refused.status_code, refused.json()["type"]) == (429, "urn:centralita:problem:too-many-streams")
        for headers in (lately, {**long_ago, "X-API-Key": secret_of("another")}):
            async with edge.stream("GET", PATH, headers=headers) as other:
                assert other.status_code == 200
        is_read.set()
        async with asyncio.timeout(60):
            while (await status_of(edge, long_ago)) != 200:
                await asyncio.sleep(0.05)


async def status_of(edge: httpx.AsyncClient, headers: dict[str, str]) -> int:
    async with edge.stream("GET", PATH, headers=headers) as answer:
        return answer.status_code


async def test_a_stream_that_falls_behind_ends(monkeypatch: pytest.MonkeyPatch, calls: EventLog) -> None:
    monkeypatch.setattr(feed, "MAX_WAITING_BYTES", 100)
    live, ends_at = feed.NatsLiveEvents(event_streams.EventSelection(), 0), asyncio.get_running_loop().time() + 60
    stored = [await calls.append(heard(uuid4())) for _ in range(4)]

    live.add(stored[0], 60)
    assert await live.next(ends_at) == stored[0]
    live.add(stored[1], 60)
    live.add(stored[2], 60)
    live.add(stored[3], 1)

    assert await live.next(ends_at) is None


class SlowLog(EventLog):
    """Decodes an event once it may go on."""

    has_begun: asyncio.Event
    may_go_on: asyncio.Event

    async def decode(self, message: RawStreamMsg) -> StoredEvent:
        self.has_begun.set()
        await self.may_go_on.wait()
        return await super().decode(message)


async def test_a_stream_that_opens_while_an_event_is_decoded_contains_it(bus_client: Client, calls: EventLog) -> None:
    """Decoding reads the key of a new person. The history of the new stream ends before the event."""
    log = SlowLog(bus_client, "CALLS", source="test")
    log.has_begun, log.may_go_on = asyncio.Event(), asyncio.Event()
    slow, ends_at = feed.NatsEventFeed(bus_client, log), asyncio.get_running_loop().time() + 60
    async with slow.subscribe(event_streams.EventSelection()) as first:
        stored = await calls.append(campaign_paused("spring"))
        await log.has_begun.wait()
        async with slow.subscribe(event_streams.EventSelection()) as second:
            assert second.start_sequence < stored.sequence
            log.may_go_on.set()
            for live in (first, second):
                event = await live.next(ends_at)
                assert event
                assert event.sequence == stored.sequence
    await slow.close()


async def test_a_stream_that_is_opened_while_the_service_stops_is_refused(
    bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping = feed.NatsEventFeed(bus_client, EventLog(bus_client, "CALLS", source="test"))
    last_sequence = stopping.last_sequence

    async def closed_meanwhile() -> int:
        await stopping.close()
        return await last_sequence()

    monkeypatch.setattr(stopping, "last_sequence", closed_meanwhile)
    before = asyncio.all_tasks()
    with pytest.raises(Unavailable, match="this process stops"):
        async with stopping.subscribe(event_streams.EventSelection()):
            pass
    assert asyncio.all_tasks() == before, "no follower is left"


async def test_a_stream_ends_after_its_time(edge: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_streams, "MAX_STREAM_SECONDS", 0.2)
    async with opened(edge) as events:
        assert [event async for event in events] == []


async def test_an_event_of_another_version_is_in_the_stream_of_its_call_and_in_that_of_everything(
    edge: httpx.AsyncClient, waiting: Call, calls: EventLog, bus_client: Client
) -> None:
    async with (
        opened(edge, call_id=waiting.call_id) as one,
        opened(edge) as every,
        opened(edge, campaign_id="spring") as own,
    ):
        await take(one, 1)
        await bus_client.jetstream().publish(f"call.created.{waiting.call_id}.pending", b"{}")
        await calls.append(campaign_paused("spring"))
        received = [await anext(events) for events in (one, every, own)]

    assert [event["data"]["unreadable"] != [] for event in received] == [True, True, False]


async def test_without_a_key_a_stream_costs_no_request_to_nats(url: str, bus_client: Client) -> None:
    async with (
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as anyone,
        requests_of(bus_client) as requests,
    ):
        answer = await anyone.get(PATH, params={"call_id": str(uuid4())}, headers={"Last-Event-ID": "1"})

    assert answer.status_code == 401
    assert counted(requests) == (0, 0, 0)


async def test_a_stream_requires_the_scope_read(edge: httpx.AsyncClient) -> None:
    assert (await edge.get(PATH, headers={"X-API-Key": secret_of("caller")})).status_code == 403
