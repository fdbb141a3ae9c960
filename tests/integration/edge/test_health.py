"""The health of the installation over REST: what the doctor finds on the bus, and who may read it."""

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from nats.aio.client import Client
from tests.integration.edge.conftest import LIMITED

from chassis.service_checks import SERVICES
from chassis.service_status import answer_status
from contracts import Service
from contracts.buckets import WATCHED_STREAMS
from contracts.consumers import CONSUMERS, VOICE_DIALS
from contracts.service_status import status_subject
from contracts.streams import REQUESTS

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
