"""The master key of an installation is replaced while its services run."""

import asyncio
import subprocess
import sys
from base64 import b64encode
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx

from centralita.demo.campaign import requests
from centralita.embedded.credentials import without_credentials
from centralita.embedded.system import System, running
from contracts.accounts import ADMIN

FORMER, NEW = (b64encode(bytes([number]) * 32).decode() for number in (1, 2))
ENVIRONMENT = {"PATH": "/usr/bin:/bin"}
REQUESTS = requests(run="rotation", count=4)


async def test_calls_are_made_and_read_before_during_and_after_a_rotation(tmp_path: Path) -> None:
    async with installation(tmp_path, MASTER_KEY=FORMER) as system:
        await make_call(system, 0)
        refused = await rotate(system, MASTER_KEY=NEW)
        assert refused.returncode == 2, refused.stdout
        assert "FORMER_MASTER_KEY" in refused.stderr
    async with installation(tmp_path, MASTER_KEY=NEW, FORMER_MASTER_KEY=FORMER) as system:
        await make_call(system, 1)
        rotated, _ = await asyncio.gather(
            rotate(system, MASTER_KEY=NEW, FORMER_MASTER_KEY=FORMER), make_call(system, 2)
        )
        assert rotated.returncode == 0, rotated.stderr
        await make_call(system, 3)
        repeated = await rotate(system, MASTER_KEY=NEW, FORMER_MASTER_KEY=FORMER)
        assert repeated.stdout.startswith("0 keys"), repeated.stdout
    async with installation(tmp_path, MASTER_KEY=NEW) as system, rest(system) as http:
        for request in REQUESTS:
            call = (await http.get(f"/api/v1/calls/by-request/{request.request_id}")).json()
            assert (call["phone_number"], call["status"]) == (request.phone_number, "completed")


def installation(folder: Path, **keys: str) -> AbstractAsyncContextManager[System]:
    settings = {"API_KEYS": "k", **keys}
    return running(folder, environment=ENVIRONMENT, seed=3, speed=20, behaviours="human=1", settings=settings)


def rest(system: System) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=system.edge_url, headers={"X-API-Key": "k"}, timeout=60)


async def make_call(system: System, number: int) -> None:
    """Requests one call, and waits until it has ended."""
    async with rest(system) as http:
        body = REQUESTS[number].model_dump(mode="json", exclude_none=True)
        created = await http.post("/api/v1/calls", json=body)
        assert created.status_code in (201, 202), created.text  # 202: decided later
        async with asyncio.timeout(120):
            while not (await http.get(created.headers["Location"])).json().get("ended_at"):
                await asyncio.sleep(0.1)


async def rotate(system: System, **keys: str) -> subprocess.CompletedProcess[str]:
    """Runs the command as a user runs it."""
    address = system.access.url(without_credentials(system.nats_url), ADMIN)
    line = [sys.executable, "-m", "centralita", "keys", "rotate", "--nats", address]
    environment = {**ENVIRONMENT, "COLUMNS": "200", **keys}
    return await asyncio.to_thread(
        subprocess.run, line, capture_output=True, text=True, timeout=200, env=environment, check=False
    )
