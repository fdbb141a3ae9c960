"""A service as a process: it starts, names missing settings, and stops in order."""

import asyncio
import json
import os
import signal
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import nats
import pytest
from nats.aio.client import Client
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from tests.builders.secret_keys import TEST_KEYS

from centralita.embedded.servers import nats_server
from centralita.operations.master_key_rotation import rotate
from chassis import serve
from chassis.keyring import Keyring
from chassis.provision import provision
from chassis.serve import Bus, ConnectionClosed, operations, run
from chassis.settings import SECRET_KEY_BYTES, ServiceSettings, key_bytes
from contracts import Service
from contracts.examples import EXAMPLES
from sealing import MasterKey

WAITING = """
import asyncio
from contextlib import asynccontextmanager

from starlette.applications import Starlette

from chassis.serve import serve
from chassis.settings import ServiceSettings
from chassis.event_log import StoredEvent
from chassis.subscriptions import subscribe
from contracts import CallStatusChanged, Service
from contracts.consumers import VOICE_DIALS


@asynccontextmanager
async def build(settings, bus):
    stopping = asyncio.Event()
    bus.before_drain.callback(stopping.set)

    async def wait(event: CallStatusChanged, stored: StoredEvent[CallStatusChanged]) -> None:
        print("waiting on", type(asyncio.get_running_loop()).__module__, flush=True)
        await stopping.wait()
        print("left", flush=True)

    subscribe(bus.broker, VOICE_DIALS, wait)
    yield Starlette()


serve(Service.VOICE, ServiceSettings, build)
"""
"""A service whose only handler waits until the service stops."""
COLLECTING = """
import gc
import json
from contextlib import asynccontextmanager

from starlette.applications import Starlette

from chassis.serve import serve
from chassis.settings import ServiceSettings
from contracts import Service


@asynccontextmanager
async def build(settings, bus):
    print(json.dumps({"frozen": gc.get_freeze_count(), "left": len(gc.get_objects())}), flush=True)
    yield Starlette()


serve(Service.VOICE, ServiceSettings, build)
"""
"""A service that prints how many objects collections of garbage leave out, and how many not."""


async def start(nats_url: str, *what: str, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *(what or ("-m", "call_orchestrator")),
        env={"PATH": os.environ["PATH"], "NATS_URL": nats_url, "ALLOWED_COUNTRIES": "US", **TEST_KEYS, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@pytest.mark.usefixtures("bus_client")
async def test_what_the_imports_created_is_left_out_of_collections(nats_url: str) -> None:
    process = await start(nats_url, "-c", COLLECTING)
    assert process.stdout
    objects = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
    process.kill()
    await process.wait()
    assert objects["frozen"] > 10 * objects["left"]


async def line_of(process: asyncio.subprocess.Process, event: str) -> dict[str, Any]:
    """Returns the line of an event in the log of a process. Warnings may come before it."""
    assert process.stdout
    async with asyncio.timeout(60):
        while (line := json.loads(await process.stdout.readline()))["event"] != event:
            pass
    return dict(line)


async def port_in(capsys: pytest.CaptureFixture[str]) -> int:
    """Returns the port that a service in this process has logged. Warnings may come before it."""
    async with asyncio.timeout(60):
        while True:
            for line in map(json.loads, capsys.readouterr().out.splitlines()):
                if line["event"] == "listening":
                    return int(line["port"])
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("bus_client")
async def test_a_service_listens_becomes_ready_and_stops_in_order_at_sigterm(nats_url: str) -> None:
    process = await start(nats_url)
    listening = await line_of(process, "listening")
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listening['port']}", timeout=60) as http:
        for path in ("/health/live", "/health/ready", "/metrics"):
            assert (await http.get(path)).status_code == 200
        date = (await http.get("/health/live")).headers["date"]
        async with asyncio.timeout(60):
            while (await http.get("/health/live")).headers["date"] == date:
                await asyncio.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors
    assert json.loads(output.splitlines()[-1])["event"] == "stopped"


async def test_a_waiting_handler_runs_on_uvloop_and_ends_at_sigterm(nats_url: str, bus_client: Client) -> None:
    process = await start(nats_url, "-c", WAITING)
    dialing = EXAMPLES["call.status_changed"]
    subject = f"call.status_changed.{dialing.subject.split('.')[2]}.dialing"
    await bus_client.jetstream().publish(subject, dialing.model_dump_json().encode())
    assert process.stdout
    async with asyncio.timeout(60):
        while not (line := await process.stdout.readline()).startswith(b"waiting"):
            continue
    assert line == b"waiting on uvloop\n"
    process.send_signal(signal.SIGTERM)
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors
    assert b"left" in output.splitlines()


async def test_a_service_whose_server_is_gone_stops_in_order(tmp_path: Path) -> None:
    with nats_server(tmp_path) as nats_url:
        client = await nats.connect(nats_url)
        await provision(client)
        await client.close()
        process = await start(nats_url)
        listening = await line_of(process, "listening")
        ready = f"http://127.0.0.1:{listening['port']}/health/ready"
        async with httpx.AsyncClient(timeout=60) as http:
            assert (await http.get(ready)).status_code == 200
    async with httpx.AsyncClient(timeout=60) as http, asyncio.timeout(60):
        while (await http.get(ready)).status_code != 503:
            await asyncio.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors
    assert json.loads(output.splitlines()[-1])["event"] == "stopped"


@pytest.mark.usefixtures("bus_client")
async def test_a_client_on_the_same_machine_cannot_choose_its_address(
    nats_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def client_address(request: Request) -> PlainTextResponse:
        assert request.client
        return PlainTextResponse(request.client.host)

    @asynccontextmanager
    async def build(_: ServiceSettings, bus: Bus) -> AsyncIterator[Starlette]:
        stop.set_result(bus.must_stop)
        yield Starlette(routes=[Route("/client", client_address)])

    stop: asyncio.Future[asyncio.Event] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(run(Service.VOICE, ServiceSettings(nats_url=nats_url), build))
    url = f"http://127.0.0.1:{await port_in(capsys)}/client"
    async with httpx.AsyncClient(timeout=60) as http:
        answer = await http.get(url, headers={"X-Forwarded-For": "203.0.113.9"})
    (await stop).set()
    await running
    assert answer.text == "127.0.0.1"
    assert "server" not in answer.headers


@pytest.mark.usefixtures("bus_client")
async def test_a_process_serves_a_limited_number_of_connections(
    nats_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def build(_: ServiceSettings, bus: Bus) -> AsyncIterator[Starlette]:
        stop.set_result(bus.must_stop)
        yield Starlette(routes=[Route("/", lambda _: PlainTextResponse("served"))])

    monkeypatch.setattr(serve, "MAX_CONNECTIONS", 3)
    stop: asyncio.Future[asyncio.Event] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(run(Service.VOICE, ServiceSettings(nats_url=nats_url), build))
    port = await port_in(capsys)
    statuses = []
    async with httpx.AsyncClient(timeout=60) as http:
        idle = []
        for _ in range(3):
            statuses.append((await http.get(f"http://127.0.0.1:{port}/", headers={"Connection": "close"})).status_code)
            idle.append(await asyncio.open_connection("127.0.0.1", port))
    for _, writer in idle:
        writer.close()
    (await stop).set()
    await running
    assert statuses == [200, 200, 503]


async def test_a_wrong_setting_is_named_and_stops_the_service(nats_url: str) -> None:
    process = await start(nats_url, MAX_RETRY_ATTEMPTS="many", DEFAULT_CALL_TIMEOUT="1")
    _, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 2
    assert b"MAX_RETRY_ATTEMPTS: " in errors
    assert b"DEFAULT_CALL_TIMEOUT: " in errors


async def close(client: Client) -> None:
    await client.close()


async def violate_the_limit(client: Client) -> None:
    """Makes the server report an error, after which nats-py closes the connection for good."""
    await client.publish("dial.placed.x", headers={"name": "a" * 2 * client.max_payload})


async def test_a_service_is_not_live_once_its_connection_is_closed_for_good(nats_url: str) -> None:
    client = await nats.connect(nats_url)
    transport = httpx.ASGITransport(Starlette(routes=operations(client)))
    async with httpx.AsyncClient(transport=transport, base_url="http://voice") as http:
        assert (await http.get("/health/live")).status_code == 200
        await client.close()
        assert (await http.get("/health/live")).status_code == 503


@pytest.mark.usefixtures("bus_client")
@pytest.mark.parametrize(
    ("end", "reason"), [(close, "closed without an error"), (violate_the_limit, "maximum payload violation")]
)
async def test_a_service_whose_connection_is_closed_for_good_ends_with_the_reason(
    nats_url: str, end: Callable[[Client], Awaitable[None]], reason: str
) -> None:
    connected: asyncio.Future[Bus] = asyncio.get_running_loop().create_future()

    @asynccontextmanager
    async def build(_: ServiceSettings, bus: Bus) -> AsyncIterator[Starlette]:
        connected.set_result(bus)
        yield Starlette()

    async def end_connection() -> None:
        bus = await connected
        await asyncio.sleep(0.2)
        await end(bus.client)

    closing = asyncio.create_task(end_connection())
    with pytest.raises(ConnectionClosed, match=reason):
        await asyncio.wait_for(run(Service.VOICE, ServiceSettings(nats_url=nats_url), build), 60)
    await closing


async def test_a_service_with_another_master_key_ends_with_a_reason(nats_url: str, bus_client: Client) -> None:
    async with Keyring(bus_client, MasterKey(bytes(SECRET_KEY_BYTES))).is_current():
        other = b64encode(bytes([1]) * SECRET_KEY_BYTES).decode()
        service = await start(nats_url, MASTER_KEY=other)
        async with asyncio.timeout(60):
            _, errors = await service.communicate()
    assert service.returncode == 2
    assert errors.decode().splitlines()[-1].startswith("MASTER_KEY: the stored keys were wrapped under another")


async def test_a_service_that_knows_only_the_former_master_key_ends_when_it_is_replaced(
    nats_url: str, bus_client: Client
) -> None:
    service = await start(nats_url)
    assert service.stdout
    async with asyncio.timeout(60):
        await line_of(service, "listening")  # it has made the checked key
        new = MasterKey(bytes([1]) * SECRET_KEY_BYTES, MasterKey(key_bytes(SecretStr(TEST_KEYS["MASTER_KEY"]))))
        assert (await rotate(bus_client, new, lambda *_: None)).rotated == 1
        _, errors = await service.communicate()
    assert service.returncode == 2
    assert errors.decode().splitlines()[-1].startswith("MASTER_KEY: the stored keys were wrapped under another")
