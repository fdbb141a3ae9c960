"""Wrong API keys: slowed and logged by address, and recorded in the audit log at a bounded rate."""

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi import FastAPI
from nats.aio.client import Client
from structlog.testing import capture_logs
from tests.integration.edge.conftest import API_KEY

from chassis.provision import stream_config
from contracts.streams import AUDIT
from edge.application import wrong_keys
from edge.application.wrong_keys import FLUSH_SECONDS, MAX_ADDRESSES, MAX_NAMED, WrongKeys, address_of

if TYPE_CHECKING:
    from tests.integration.edge.conftest import As

WRONG = "a-wrong-key"
PATH = "/api/v1/calls/by-request/unknown"


async def send(app: FastAPI, host: str, key: str = WRONG) -> httpx.Response:
    transport = httpx.ASGITransport(app, client=(host, 1234))
    async with httpx.AsyncClient(transport=transport, base_url="http://edge.internal:8000") as http:
        return await http.get(PATH, headers={"X-API-Key": key})


async def entries(as_: "As", app: FastAPI) -> list[dict[str, Any]]:
    counted: WrongKeys = app.state.wrong_keys
    await counted.flush()
    found: list[dict[str, Any]] = (await as_("auditor").get("/api/v1/audit?limit=500")).json()["entries"]
    return found


async def test_an_address_with_many_wrong_keys_is_slowed(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.state.wrong_keys._buckets, "_clock", lambda: 0.0)  # each request takes no time
    answers = [await send(app, "203.0.113.7") for _ in range(12)]

    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
    assert answers[-1].json()["type"] == "urn:centralita:problem:too-many-wrong-keys"
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 6
    assert (await send(app, "203.0.113.8")).status_code == 401


async def test_a_valid_key_from_a_slowed_address_is_accepted(app: FastAPI) -> None:
    for _ in range(12):
        await send(app, "203.0.113.7")

    assert (await send(app, "203.0.113.7", API_KEY)).status_code == 404


async def test_requests_without_a_key_are_not_slowed(anyone: httpx.AsyncClient) -> None:
    assert {(await anyone.get(PATH)).status_code for _ in range(12)} == {401}


async def test_wrong_keys_have_one_entry_with_their_number_for_each_address(app: FastAPI, as_: "As") -> None:
    for host in ("203.0.113.7", "203.0.113.7", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"):
        await send(app, host)

    found = await entries(as_, app)

    assert [(entry["act"], entry["stage"], entry["key_name"]) for entry in found] == [("key.use", "refused", "unknown")]
    assert found[0]["addresses"] == {"203.0.113.7": 2, "2001:db8::/64": 2, "2001:db8:0:1::/64": 1}
    assert found[0]["count"] == 5
    assert await entries(as_, app) == found


async def test_one_flush_appends_one_entry_of_a_bounded_size(app: FastAPI, as_: "As", bus_client: Client) -> None:
    for number in range(3 * MAX_ADDRESSES):
        await send(app, f"2001:db8:{number:x}:ffff::1")
    for _ in range(5):
        await send(app, "2001:db8:7:ffff::2")

    (found,) = await entries(as_, app)

    assert (found["count"], len(found["addresses"])) == (3 * MAX_ADDRESSES + 5, MAX_NAMED)
    assert list(found["addresses"].items())[:2] == [("others", 2 * MAX_ADDRESSES), ("2001:db8:7:ffff::/64", 6)]
    state = (await bus_client.jetstream().stream_info(AUDIT.name)).state
    a_year_of_entries = state.bytes * 365 * 86_400 / FLUSH_SECONDS
    assert a_year_of_entries < 512_000_000 / 2, "AUDIT_MAX_MEGABYTES"


async def test_counts_stay_until_the_audit_log_can_be_written(app: FastAPI, as_: "As", bus_client: Client) -> None:
    js, counted = bus_client.jetstream(), app.state.wrong_keys
    await js.delete_stream(AUDIT.name)
    await send(app, "203.0.113.7")
    await counted.flush()
    await js.add_stream(stream_config(AUDIT))
    await send(app, "203.0.113.7")

    assert [entry["count"] for entry in await entries(as_, app)] == [2]


async def test_the_log_contains_the_address_and_not_the_key(app: FastAPI) -> None:
    with capture_logs() as logs:
        for _ in range(3):
            await send(app, "203.0.113.7")

    assert [line["address"] for line in logs if line["event"] == "wrong_api_key"] == ["203.0.113.7"]
    assert WRONG not in repr(logs)


@pytest.mark.parametrize(
    ("host", "address"),
    [("203.0.113.7", "203.0.113.7"), ("::ffff:203.0.113.7", "203.0.113.7"), ("", "unknown"), ("a.b/c", "unknown")],
)
def test_an_address_is_normalised(host: str, address: str) -> None:
    assert address_of(host) == address


async def test_the_memory_of_addresses_is_bounded(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wrong_keys, "MAX_ADDRESSES", 3)
    for number in range(20):
        await send(app, f"10.0.0.{number}")

    assert len(app.state.wrong_keys._counts) == 4
