"""A campaign of six calls on the whole system, once: its log, its documents, and what the commands said meanwhile."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import nats
import pytest
from nats.aio.client import Client

from centralita.demo.campaign import publish, requests
from centralita.demo.documents import DATABASE, wait_until_projected
from centralita.embedded.credentials import Credentials, without_credentials
from centralita.embedded.servers import mongo_server, nats_server
from centralita.embedded.system import System, running
from contracts import call_id_of
from contracts.permissions import ADMIN, OPERATOR

NOTHING = {"PATH": "/usr/bin:/bin"}
SEED = 363


@dataclass(frozen=True)
class Command:
    """A command of ours, as it ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


def command(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> Command:
    """Runs `centralita` as a process of its own."""
    told = {**NOTHING, "COLUMNS": "160", **(environment or {})}
    line = [sys.executable, "-m", "centralita", *map(str, arguments)]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=110, env=told)
    return Command(ended.returncode, ended.stdout, ended.stderr)


@dataclass
class Campaign:
    """The six calls, where their log and documents stand now, and the commands that ran while the services did."""

    ids: list[UUID] = field(default_factory=list)
    nats_url: str = ""
    mongo_url: str = ""
    database: str = DATABASE
    commands: dict[str, Command] = field(default_factory=dict)


@pytest.fixture(scope="session")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    """The services have ended; their servers run again on what they left."""
    folder = tmp_path_factory.mktemp("campaign")
    found = Campaign()
    asyncio.run(_run(folder, found))
    access = Credentials.generate()
    with nats_server(folder / "nats", access=access) as address, mongo_server(folder / "mongo") as mongo_url:
        found.nats_url, found.mongo_url = access.url(address, OPERATOR), mongo_url
        yield found


async def _run(folder: Path, found: Campaign) -> None:
    wanted = requests(run="replayed", count=6)
    found.ids = [call_id_of(request.request_id or "") for request in wanted]
    async with running(folder, environment=NOTHING, seed=SEED, speed=20, settings={"API_KEYS": "k"}) as system:
        async with connected(system.nats_url) as client:
            await publish(client, wanted)
            await wait_until_projected(system.mongo_url, found.ids, timeout=60)
        await asyncio.to_thread(_while_it_runs, system, folder, found)
        await asyncio.sleep(1)  # so that the last acknowledgements are with the server


def _while_it_runs(system: System, folder: Path, found: Campaign) -> None:
    here = {"NATS_URL": system.nats_url}
    as_admin = {"NATS_URL": system.access.url(without_credentials(system.nats_url), ADMIN)}
    settings = {
        **here,
        **system.vendors.environment,
        "MONGO_URL": system.mongo_url,
        "APP_BASE_URL": system.urls["edge"],
        "MEDIA_BASE_URL": system.urls["voice"],
        "API_KEYS": "k",
    }
    said = found.commands
    said["doctor"] = command("doctor", "--json", environment=settings)
    by_hand = ("--request-id", "by-hand", "--retries", "0")
    said["call"] = command("call", "+12125550177", *by_hand, "--watch", environment=here)
    said["tail"] = command("tail", "--call", "by-hand", "--past", "--json", environment=here)
    said["export"] = command("replay", "export", folder / "live.gz", "--json", environment=here)
    said["import"] = command("replay", "import", folder / "live.gz", "--at-once", environment=as_admin)
    said["verify"] = command("replay", "verify", "--strict", "--json", environment=here)
    said["rebuild"] = command("replay", "rebuild", "--json", environment={**here, "MONGO_URL": system.mongo_url})


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    client = await nats.connect(url)
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture(name="command")
def the_command() -> Callable[..., Command]:
    """Runs `centralita` as a process of its own: see `command`."""
    return command


@pytest.fixture
async def log_client(campaign: Campaign) -> AsyncIterator[Client]:
    """A connection to the server that has the campaign's log."""
    async with connected(campaign.nats_url) as client:
        yield client
