"""Imports of contacts that are slow, cut off, concurrent, or above a cap."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from starlette.types import ASGIApp
from tests.integration.edge.conftest import API_KEY, As, client_of, secret_of
from tests.integration.edge.contact_import.conftest import (
    CSV,
    FIRST_AT,
    PATH,
    SCRIPT,
    OnAPort,
    added,
    entries,
    file,
)

from chassis import body_limit
from chassis.barrier import wait_until_processed
from chassis.event_log import EventLog
from contracts import (
    CampaignCreateRequested,
    ContactGroupAdded,
    RequestedTerms,
    Service,
)
from contracts.buckets import DIALS
from contracts.queries import CallingTimes, CallingTimesQuery
from contracts.streams import CONTACTS
from contracts.work import WORK
from edge.adapters import contacts as adapter
from edge.adapters.dials import NatsDialCounter
from edge.application import contact_import, running_imports
from edge.settings import Settings

if TYPE_CHECKING:
    from tests.integration.edge.conftest import Orchestrator


async def test_one_import_of_a_key_runs_at_a_time(app: ASGIApp, api: httpx.AsyncClient, campaign: list[str]) -> None:
    must_end = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield file(1)
        await must_end.wait()

    async with client_of(app, Authorization=f"Bearer {API_KEY}") as second:
        running = asyncio.create_task(api.post(PATH, content=slow(), headers=CSV))
        async with asyncio.timeout(60):
            while not campaign:
                await asyncio.sleep(0.01)
        refused = await second.post(PATH, content=file(1), headers=CSV)
        must_end.set()
        assert (await running).json()["added"] == 1
        assert refused.status_code == 429
        assert refused.json()["type"].endswith("too-many-imports")
        assert (await second.post(PATH, content=file(1), headers=CSV)).json()["duplicates"] == 1


@pytest.mark.usefixtures("campaign")
async def test_a_body_that_stops_ends_the_import_with_the_line_to_continue_from(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, bus_client: Client
) -> None:
    monkeypatch.setattr(body_limit, "SLOW_SECONDS", 0.05)

    async def stops() -> AsyncIterator[bytes]:
        yield file(10)[:-10]
        await asyncio.Event().wait()

    answer = await api.post(PATH, content=stops(), headers=CSV)
    document = answer.json()
    assert (answer.status_code, document["type"]) == (503, "urn:centralita:problem:import-interrupted")
    assert document["errors"] == [{"field": "from_line", "message": "11"}]
    assert "Retry-After" in answer.headers
    again = await api.post(f"{PATH}?from_line=11", content=file(10), headers=CSV)
    assert (again.json()["rows"], again.json()["added"]) == (1, 1)
    assert len(await added(bus_client)) == 10
    assert [entry.stage for entry in await entries(bus_client)][:2] == ["asked", "undecided"]


async def answer_to_slow_import(url: str, key: str) -> tuple[bytes, Any]:
    """Sends ten rows and then one byte after the other; returns the status line of the answer and its document."""
    target = httpx.URL(url)
    reader, writer = await asyncio.open_connection(target.host, target.port)
    rows = file(10)
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: edge\r\nX-API-Key: {key}\r\nContent-Type: text/csv\r\nContent-Length: 1000000"
    )
    writer.write(head.encode() + b"\r\n\r\n" + rows)

    async def send_slowly() -> None:
        while True:
            await asyncio.sleep(0.01)
            writer.write(b"+")

    sending = asyncio.create_task(send_slowly())
    try:
        headers = await reader.readuntil(b"\r\n\r\n")
        [length] = [line for line in headers.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        body = await reader.readexactly(int(length.partition(b":")[2]))
    finally:
        sending.cancel()
        writer.transport.abort()
    return headers.partition(b"\r\n")[0], json.loads(body)


@pytest.mark.usefixtures("campaign")
async def test_imports_that_arrive_byte_by_byte_end_and_leave_room_for_others(
    app: ASGIApp, on_a_port: OnAPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_limit, "SLOW_SECONDS", 0.05)
    monkeypatch.setattr(body_limit, "DISCARD_SECONDS", 0.05)
    monkeypatch.setattr(running_imports, "MAX_IMPORTS", 1)
    async with on_a_port(app) as url, httpx.AsyncClient(base_url=url, timeout=60) as http:
        status, document = await answer_to_slow_import(url, secret_of("desk"))
        assert status.startswith(b"HTTP/1.1 503"), document
        assert document["type"] == "urn:centralita:problem:import-interrupted"
        assert document["errors"] == [{"field": "from_line", "message": "12"}]
        assert "send at least 16,384 bytes a second" in document["detail"]
        monkeypatch.setattr(body_limit, "SLOW_SECONDS", 60)
        for name in ("desk", "limited"):
            headers = {**CSV, "X-API-Key": secret_of(name)}
            again = await http.post(f"{PATH}?from_line=12", content=file(12), headers=headers)
            assert (again.status_code, again.json()["rows"]) == (200, 2), again.text


@pytest.mark.usefixtures("campaign")
async def test_an_import_runs_until_its_refused_rows_are_read(app: ASGIApp, on_a_port: OnAPort) -> None:
    """A client that reads none of them cannot begin further imports, and so not fill the disk."""
    rows = b"phone_number,contact_id,name\n" + b"".join(b"1,%d,%s\n" % (line, b"a" * 60_000) for line in range(200))
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: edge\r\nX-API-Key: {API_KEY}\r\nContent-Type: text/csv\r\nAccept: text/csv\r\n"
    )
    async with (
        on_a_port(app) as url,
        httpx.AsyncClient(base_url=url, headers={"X-API-Key": API_KEY}, timeout=60) as http,
    ):
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.connect(("127.0.0.1", httpx.URL(url).port or 0))
            sent = head.encode() + b"Content-Length: %d\r\n\r\n" % len(rows) + rows
            await asyncio.to_thread(client.sendall, sent)
            assert await asyncio.to_thread(client.recv, 12) == b"HTTP/1.1 200"
            assert (await http.post(PATH, content=file(1), headers=CSV)).status_code == 429
        async with asyncio.timeout(60):
            while (again := await http.post(PATH, content=file(1), headers=CSV)).status_code != 200:
                await asyncio.sleep(0.05)
        assert again.json()["added"] == 1


@pytest.mark.usefixtures("campaign")
async def test_an_import_whose_campaign_ends_meanwhile_is_refused_and_leaves_its_group_for_the_removal(
    api: httpx.AsyncClient, as_: "As", bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contact_import, "BATCH", 5)
    lines = file(10).splitlines(keepends=True)

    async def body() -> AsyncIterator[bytes]:
        yield b"".join(lines[:7])
        await wait_until_added(bus_client, 5)
        assert (await as_("caller").post("/api/v1/campaigns/spring/finish")).status_code == 202
        await bus_client.jetstream().purge_stream(CONTACTS.name)  # as call-orchestrator removes contacts and groups
        yield b"".join(lines[7:])

    answer = await api.post(PATH, content=body(), headers=CSV)

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (409, "campaign_id")
    assert "5 contacts that were added before are not called" in answer.text
    assert await added(bus_client) == []
    groups = await EventLog(bus_client, CONTACTS.name, source="test").read([ContactGroupAdded.subjects("spring")])
    assert len(groups) == 1


async def wait_until_added(client: Client, count: int) -> None:
    while len(await added(client)) < count:
        await asyncio.sleep(0.01)


async def test_an_outage_ends_the_import_with_the_line_to_continue_from(
    api: httpx.AsyncClient, orchestrator: "Orchestrator", bus_client: Client
) -> None:
    """Without call-orchestrator, rows of a new group have no result."""
    terms = RequestedTerms(script_template=SCRIPT, variables={"company": "Acme"})
    await orchestrator.handle(CampaignCreateRequested(campaign_id="spring", terms=terms))

    async def answer_the_first(message: Msg) -> None:
        query = CallingTimesQuery.model_validate_json(message.data)
        if query.regions == ("NY",):
            times = CallingTimes(first_at=FIRST_AT, rule="calling_hours", detail="")
            await message.respond(times.model_dump_json().encode())
        else:
            await message.respond(b"not json")

    await bus_client.subscribe(CallingTimesQuery.subject, cb=answer_the_first)
    await wait_until_processed(bus_client)
    body = file(600) + b"+13055550123,c-9999,Ana\n" + b"+12125559998,c-9998,Ana\n"
    answer = await api.post(PATH, content=body, headers=CSV)
    assert answer.status_code == 503
    line = int(answer.json()["errors"][0]["message"])
    contacts = await added(bus_client)
    assert line <= 602
    assert len(contacts) >= line - 2, "each row before the line has its contact"


@pytest.mark.usefixtures("campaign")
async def test_contacts_whose_acknowledgement_is_lost_are_published_again_and_counted_once(
    api: httpx.AsyncClient, bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "REQUEST_TIMEOUT_SECONDS", 0.2)
    receive, lost = adapter.ContactPublisher._receive, 0

    def lose_some(self: adapter.ContactPublisher, message: Msg) -> None:
        nonlocal lost
        if lost < 20:
            lost += 1  # stored, but the acknowledgement never arrives
        else:
            receive(self, message)

    monkeypatch.setattr(adapter.ContactPublisher, "_receive", lose_some)
    document = (await api.post(PATH, content=file(50) + b"+12125550003,c-3,Ana\n", headers=CSV)).json()
    assert lost == 20
    assert (document["added"], document["duplicates"]) == (50, 1)
    assert len(await added(bus_client)) == 50


class TestWithACap:
    """A key may import 250 contacts a day."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"max_contacts_per_key_per_day": 250})

    async def test_an_import_above_the_cap_ends_with_429_and_names_the_line_for_the_next_day(
        self, api: httpx.AsyncClient, as_: "As", campaign: list[str], bus_client: Client
    ) -> None:
        rows = [f"+1212555{number:04},Ana" for number in range(100, 360)]
        file = "\n".join(["phone_number,name", *rows]).encode()

        dry = await api.post(PATH, content=file, headers=CSV, params={"dry_run": True})
        full = await api.post(PATH, content=file, headers=CSV)
        again = await api.post(PATH, content=file, headers=CSV, params={"from_line": 252})
        writes = (await bus_client.jetstream().stream_info(f"KV_{DIALS.name}")).state.last_seq
        by_another_key = await as_("caller").post(PATH, content=file, headers=CSV, params={"from_line": 252})

        assert (dry.status_code, dry.json()["added"]) == (200, 260)
        assert [one.status_code for one in (full, again)] == [429, 429]
        assert full.json()["type"] == "urn:centralita:problem:daily-cap"
        assert "(MAX_CONTACTS_PER_KEY_PER_DAY), from 00:00 UTC; 250 contacts were added" in full.json()["detail"]
        assert full.json()["detail"].endswith("Send the file again tomorrow with from_line=252")
        assert full.json()["errors"] == [{"field": "from_line", "message": "252"}]
        assert 0 < int(full.headers["Retry-After"]) <= 86_400
        assert again.json()["errors"] == full.json()["errors"]
        assert writes == 1, "one block for all contacts, and nothing for those beyond the cap"
        assert (by_another_key.status_code, by_another_key.json()["added"]) == (200, 10)
        assert [contact.phone_number for contact in await added(bus_client)] == [row[:12] for row in rows]
        stages = [one.stage for one in await entries(bus_client) if one.act == "campaign.import_contacts"]
        assert stages == ["asked", "refused", "asked", "refused", "asked", "accepted"]

    async def test_contacts_count_apart_from_dials_and_by_day(self, bus_client: Client) -> None:
        bucket = await bus_client.jetstream().key_value(DIALS.name)
        counter = NatsDialCounter(bus_client, bucket)
        today = date(2026, 3, 2)
        assert await counter.add("desk.x", today, 10, 10, None)
        assert [await counter.add_contacts("desk.x", today, 6, 10) for _ in range(3)] == [6, 4, 0]
        assert await counter.add_contacts("desk.x", today + timedelta(days=1), 6, 10) == 6
        assert await counter.add_contacts("other", today, 6, 10) == 6
        written = WORK[Service.EDGE].publishes
        assert f"$KV.{DIALS.name}.*.*" in written
        info = await bus_client.jetstream().stream_info(DIALS.stream.name, subjects_filter=">")
        keys = [subject.removeprefix(f"$KV.{DIALS.name}.") for subject in info.state.subjects or ()]
        assert keys
        assert all(key.count(".") == 1 for key in keys), "the edge may write keys of two tokens"
