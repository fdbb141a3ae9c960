"""The health of the installation over REST: what the doctor finds on the bus, and who may read it."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from tests.integration.edge.conftest import LIMITED

from chassis.event_log import EventLog
from chassis.jetstream_info import ConsumerState
from chassis.service_checks import SERVICES
from chassis.service_status import answer_status, breakers_not_closed
from contracts import Service
from contracts.buckets import WATCHED_STREAMS
from contracts.consumers import CONSUMERS, VOICE_DIALS, VOICE_SETTLEMENTS
from contracts.examples import EXAMPLES
from contracts.service_status import status_subject
from contracts.streams import REQUESTS
from edge.adapters.ack_floors import AckFloors, check_acknowledgements
from edge.adapters.system_health import NatsInstallation
from providers.breakers import BreakerState
from providers.metrics import BREAKER_STATE

if TYPE_CHECKING:
    from tests.integration.edge.conftest import As

PATH = "/api/v1/health"


async def health(api: httpx.AsyncClient) -> dict[str, Any]:
    answer = await api.get(PATH)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_every_stream_consumer_and_service_is_shown(api: httpx.AsyncClient, bus_client: Client) -> None:
    found = await health(api)

    assert [one["name"] for one in found["streams"]] == [stream.name for stream in WATCHED_STREAMS]
    assert [one["name"] for one in found["consumers"]] == [consumer.name for consumer in CONSUMERS]
    checks = {(one["area"], one["check"]): one for one in found["findings"]}
    assert {check for area, check in checks if area == "services"} == {*SERVICES}
    assert checks["NATS", "stream CALLS"]["result"] == "ok"
    assert checks["NATS", "dead letters"]["result"] == "ok"


async def test_a_consumer_without_its_service_and_a_missing_stream_have_a_remedy(
    api: httpx.AsyncClient, bus_client: Client
) -> None:
    await bus_client.jetstream().delete_stream(REQUESTS.name)

    found = await health(api)

    checks = {one["check"]: one for one in found["findings"]}
    assert checks[f"consumer {VOICE_DIALS.name}"]["advice"].startswith("start voice")
    assert checks["stream REQUESTS"]["result"] == "failed"
    assert "chassis.provision" in checks["stream REQUESTS"]["advice"]
    assert "REQUESTS" not in [one["name"] for one in found["streams"]]


async def test_processes_that_answer_are_shown_with_their_version_and_start(
    api: httpx.AsyncClient, bus_client: Client
) -> None:
    for _ in range(2):
        await answer_status(bus_client, Service.VOICE)

    found = await health(api)

    assert [one["service"] for one in found["services"]] == ["voice", "voice"]
    assert len({one["instance"] for one in found["services"]}) == 2
    [voice] = [one for one in found["findings"] if one["check"] == "voice"]
    assert (voice["result"], voice["found"].startswith("2 running, version ")) == ("ok", True)


async def test_an_answer_for_another_service_or_without_sense_is_left_out(
    api: httpx.AsyncClient, bus_client: Client
) -> None:
    async def answer(_: object) -> None:
        body = '{"service":"edge","instance":"x","version":"1","started_at":"2026-11-29T12:00:00Z"}'
        await bus_client.publish(status_subject(Service.VOICE), body.encode())
        await bus_client.publish(status_subject(Service.VOICE), b"\xff")

    await bus_client.subscribe("service.status_requested", cb=answer)

    assert (await health(api))["services"] == []


@pytest.mark.parametrize("query", ["", "?campaign_id=spring"])
async def test_a_key_of_some_campaigns_is_refused_whichever_it_names(as_: "As", query: str) -> None:
    answer = await as_(LIMITED).get(PATH + query)

    assert answer.status_code == 403
    assert answer.json()["type"].endswith("limited-key")


async def test_a_vendor_whose_breaker_is_open_is_a_finding_with_what_to_do(
    api: httpx.AsyncClient, bus_client: Client
) -> None:
    BREAKER_STATE.labels(provider="a-vendor").set(BreakerState.OPEN)
    try:
        await answer_status(bus_client, Service.VOICE)
        found = await health(api)
    finally:
        BREAKER_STATE.remove("a-vendor")

    [process] = found["services"]
    assert process["breakers"]["a-vendor"] == "open"
    [vendor] = [one for one in found["findings"] if (one["area"], one["check"]) == ("vendors", "a-vendor")]
    assert (vendor["result"], vendor["found"]) == (
        "warning",
        "the circuit breaker is open in 1 of 1 processes of voice",
    )
    assert "status page" in vendor["advice"]


def state(unacknowledged: int, ack_floor: int, name: str = "voice-dials") -> ConsumerState:
    return ConsumerState(name, "CALLS", 0, unacknowledged, 0, is_subscribed=True, ack_floor=ack_floor)


def test_a_message_is_unacknowledged_since_its_consumer_was_first_seen_at_the_same_floor() -> None:
    floors, begin = AckFloors(), datetime(2026, 11, 29, 12, tzinfo=UTC)
    seen = [
        floors.since([state(count, floor)], begin + timedelta(minutes=minute))
        for minute, (count, floor) in enumerate([(1, 7), (3, 7), (2, 9), (0, 11), (1, 11)])
    ]

    since = [{name: (at - begin) // timedelta(minutes=1) for name, at in one.items()} for one in seen]
    assert since == [{"voice-dials": 0}, {"voice-dials": 0}, {"voice-dials": 2}, {}, {"voice-dials": 4}]


def test_a_message_that_waits_long_for_its_acknowledgement_is_a_finding() -> None:
    begin = datetime(2026, 11, 29, 12, tzinfo=UTC)
    assert check_acknowledgements({"voice-dials": begin}, begin + timedelta(seconds=119)) == []
    [finding] = check_acknowledgements({"voice-dials": begin}, begin + timedelta(minutes=3))
    assert (finding.result, finding.found) == ("warning", "its oldest message is unacknowledged for at least 3 min")
    assert "the log of voice" in finding.advice


async def test_a_consumer_shows_since_when_its_oldest_message_is_unacknowledged(
    bus_client: Client, calls: EventLog
) -> None:
    received: asyncio.Queue[Msg] = asyncio.Queue()
    await bus_client.subscribe(VOICE_SETTLEMENTS.deliver_subject, VOICE_SETTLEMENTS.name, cb=received.put)
    await bus_client.flush()
    settlement = EXAMPLES["call.settlement_requested"]
    await calls.append(settlement)
    message = await received.get()
    installation = NatsInstallation(bus_client)

    first, second = await installation.examine(), await installation.examine()
    await message.ack_sync()
    third = await installation.examine()

    assert first.unacknowledged_since == {VOICE_SETTLEMENTS.name: first.examined_at}
    assert second.unacknowledged_since == first.unacknowledged_since
    assert third.unacknowledged_since == {}


def test_an_answer_about_breakers_reads_no_other_metric() -> None:
    class Expensive(Collector):
        def collect(self) -> Iterator[Metric]:
            raise AssertionError("it was read")

        def describe(self) -> Iterator[Metric]:
            yield GaugeMetricFamily("test_expensive", "a metric that is not read")

    expensive = Expensive()
    REGISTRY.register(expensive)
    BREAKER_STATE.labels(provider="a-vendor").set(BreakerState.HALF_OPEN)
    try:
        assert breakers_not_closed()["a-vendor"] == "half-open"
    finally:
        BREAKER_STATE.remove("a-vendor")
        REGISTRY.unregister(expensive)
