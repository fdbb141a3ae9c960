"""The daily cap of dials per API key, counted in a bucket on the server."""

import asyncio
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from nats.aio.client import Client

from contracts import Call, CallStatus
from contracts.buckets import DIALS
from edge.adapters.dials import NatsDialCounter
from edge.settings import Settings

if TYPE_CHECKING:
    from tests.integration.edge.conftest import As, Orchestrator

TODAY = date(2026, 3, 2)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A cap of ten dials a day; a request that sets no retries has three."""
    return settings.model_copy(update={"max_dials_per_key_per_day": 10})


async def place(http: httpx.AsyncClient, body: dict[str, object], **changes: Any) -> httpx.Response:
    return await http.post("/api/v1/calls", json={**body, **changes})


async def test_a_call_reserves_its_first_dial_and_its_retries(
    as_: "As", orchestrator: "Orchestrator", body: dict[str, object]
) -> None:
    placed = [(await place(as_("desk"), body, **retries)).status_code for retries in ({}, {"max_retries": 4})]
    full, last, beyond = [await place(as_("desk"), body, max_retries=retries) for retries in (1, 0, 0)]

    assert placed == [201, 201]  # four and five dials
    assert [full.status_code, last.status_code, beyond.status_code] == [429, 201, 429]
    assert full.json()["type"] == "urn:centralita:problem:daily-cap"
    assert full.headers["Content-Type"] == "application/problem+json"
    midnight = 86_400 - datetime.now(UTC).timestamp() % 86_400
    assert abs(int(full.headers["Retry-After"]) - midnight) < 3_600
    assert orchestrator.asked == ["call.requested"] * 3


async def test_each_key_has_its_own_cap(as_: "As", orchestrator: "Orchestrator", body: dict[str, object]) -> None:
    assert (await place(as_("desk"), body, max_retries=9)).status_code == 201
    assert (await place(as_("desk"), body, max_retries=0)).status_code == 429

    assert (await place(as_("caller"), body, max_retries=0)).status_code == 201


async def test_a_repeated_request_reserves_once(
    as_: "As", orchestrator: "Orchestrator", body: dict[str, object], bus_client: Client
) -> None:
    for _ in range(3):
        assert (await place(as_("desk"), body, request_id="r-7", max_retries=9)).status_code == 201

    assert (await place(as_("desk"), body, max_retries=0)).status_code == 429


async def test_a_request_that_is_not_decided_yet_reserves_once(bus_client: Client) -> None:
    counter = NatsDialCounter(bus_client, await bus_client.jetstream().key_value(DIALS.name))
    call_id = uuid4()

    assert await counter.add("desk", TODAY, 10, 10, call_id)
    assert await counter.add("desk", TODAY, 10, 10, call_id)
    assert not await counter.add("desk", TODAY, 1, 10, uuid4())


async def test_a_refused_request_is_in_the_audit_log(
    as_: "As", orchestrator: "Orchestrator", body: dict[str, object]
) -> None:
    await place(as_("desk"), body, max_retries=10)

    entries = (await as_("auditor").get("/api/v1/audit")).json()["entries"]
    assert [(entry["act"], entry["stage"]) for entry in entries] == [
        ("call.create", "asked"),
        ("call.create", "refused"),
    ]
    assert entries[1]["reasons"][0].startswith("this key may reserve 10 dials a day")


async def test_a_retry_and_more_retries_reserve_dials(
    as_: "As", waiting: Call, orchestrator: "Orchestrator", body: dict[str, object]
) -> None:
    path = f"/api/v1/calls/{waiting.call_id}"
    assert (await place(as_("desk"), body, max_retries=6)).status_code == 201  # seven dials
    assert (await as_("desk").put(path, json={"max_retries": 5})).status_code == 200  # two more
    assert (await as_("desk").put(path, json={"max_retries": 7})).status_code == 429
    assert (await as_("desk").put(path, json={"max_retries": 1})).status_code == 200
    await orchestrator.move(waiting.call_id, status=CallStatus.FAILED)

    assert (await as_("desk").post(f"{path}/retry")).status_code == 202
    assert (await as_("desk").post(f"{path}/retry")).status_code == 429


async def test_without_the_counter_no_call_is_placed(
    as_: "As", waiting: Call, orchestrator: "Orchestrator", body: dict[str, object], bus_client: Client
) -> None:
    await bus_client.jetstream().delete_key_value(DIALS.name)

    assert (await place(as_("desk"), body)).status_code == 503
    assert (await as_("desk").post(f"/api/v1/calls/{waiting.call_id}/cancel")).status_code == 202
    assert orchestrator.asked == ["call.cancel_requested." + str(waiting.call_id)]


async def test_replicas_together_stay_within_the_cap(bus_client: Client) -> None:
    js = bus_client.jetstream()
    replicas = [NatsDialCounter(bus_client, await js.key_value(DIALS.name)) for _ in range(3)]

    added = await asyncio.gather(
        *(counter.add("desk.one", TODAY, 1, 20, uuid4()) for _ in range(10) for counter in replicas)
    )

    assert added.count(True) == 20
    assert not await replicas[0].add("desk.one", TODAY, 1, 20, None)
    assert await replicas[0].add("desk.one", date(2026, 3, 3), 1, 20, None)


async def test_every_id_is_remembered(bus_client: Client) -> None:
    counter = NatsDialCounter(bus_client, await bus_client.jetstream().key_value(DIALS.name))
    ids = [uuid4() for _ in range(300)]
    for _ in range(2):
        assert all([await counter.add("desk", TODAY, 10, 3_000, id) for id in ids])

    assert not await counter.add("desk", TODAY, 1, 3_000, uuid4())


async def test_more_dials_under_a_used_id_are_reserved(bus_client: Client) -> None:
    counter = NatsDialCounter(bus_client, await bus_client.jetstream().key_value(DIALS.name))
    call_id = uuid4()

    assert await counter.add("desk", TODAY, 1, 10, call_id)
    assert not await counter.add("desk", TODAY, 11, 10, call_id)
    assert await counter.add("desk", TODAY, 9, 10, call_id)
    assert await counter.add("desk", TODAY, 3, 10, call_id)
    assert [await counter.add("desk", TODAY, 1, 10, uuid4()) for _ in range(2)] == [True, False]


async def test_an_invalid_request_reserves_nothing(
    as_: "As", waiting: Call, orchestrator: "Orchestrator", body: dict[str, object]
) -> None:
    premium = {"phone_number": "+19005550123", "request_id": "r-8"}
    assert (await place(as_("desk"), body, **premium, max_retries=9)).status_code == 422
    change = {"max_retries": 9, "metadata": {"\n": "x"}}
    assert (await as_("desk").put(f"/api/v1/calls/{waiting.call_id}", json=change)).status_code == 422

    assert (await place(as_("desk"), body, request_id="r-8", max_retries=10)).status_code == 429
    assert (await place(as_("desk"), body, request_id="r-8", max_retries=9)).status_code == 201


class TestWithoutACap:
    """The setting 0."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"max_dials_per_key_per_day": 0})

    async def test_the_counter_is_not_used(
        self, as_: "As", orchestrator: "Orchestrator", body: dict[str, object], bus_client: Client
    ) -> None:
        await bus_client.jetstream().delete_key_value(DIALS.name)

        assert (await place(as_("desk"), body)).status_code == 201


async def test_a_request_reserves_the_attempts_that_its_campaign_permits(
    as_: "As", orchestrator: "Orchestrator", body: dict[str, object]
) -> None:
    await as_("caller").post("/api/v1/campaigns", json={"campaign_id": "spring", "max_attempts": 9})

    placed = [(await place(as_("desk"), body, **retries)).status_code for retries in ({}, {"max_retries": 1})]

    assert placed == [201, 429]
