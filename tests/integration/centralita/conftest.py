"""A campaign of six calls on the whole system, run once: its log, its documents, and the output of commands."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import nats
import pytest
from nats.aio.client import Client

from centralita.demo.campaign import publish, requests
from centralita.demo.documents import DATABASE, wait_until_projected
from centralita.embedded.credentials import Credentials, without_credentials
from centralita.embedded.secret_keys import secret_keys
from centralita.embedded.servers import mongo_server, nats_server
from centralita.embedded.system import System, running
from contracts import call_id_of
from contracts.accounts import ADMIN
from contracts.permissions import OPERATOR

NOTHING = {"PATH": "/usr/bin:/bin"}
SEED = 363


@dataclass(frozen=True)
class Command:
    """The exit code and the output of a `centralita` command."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


def command(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> Command:
    """Runs `centralita` in its own process."""
    variables = {**NOTHING, "COLUMNS": "160", **(environment or {})}
    line = [sys.executable, "-m", "centralita", *map(str, arguments)]
    completed = subprocess.run(line, capture_output=True, text=True, timeout=200, env=variables)
    return Command(completed.returncode, completed.stdout, completed.stderr)


@dataclass
class Campaign:
    """The six calls, the addresses of their log and documents, and the commands that ran beside the services."""

    ids: list[UUID] = field(default_factory=list)
    nats_url: str = ""
    mongo_url: str = ""
    database: str = DATABASE
    commands: dict[str, Command] = field(default_factory=dict)


@pytest.fixture(scope="session")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    """Runs the campaign, stops the services, and starts NATS and MongoDB again with the data."""
    folder = tmp_path_factory.mktemp("campaign")
    result = Campaign()
    asyncio.run(_run(folder, result))
    access = Credentials.generate()
    with nats_server(folder / "nats", access=access) as address, mongo_server(folder / "mongo") as mongo_url:
        result.nats_url, result.mongo_url = access.url(address, OPERATOR), mongo_url
        yield result


async def _run(folder: Path, campaign: Campaign) -> None:
    call_requests = requests(run="replayed", count=6)
    campaign.ids = [call_id_of(request.request_id or "") for request in call_requests]
    async with running(folder, environment=NOTHING, seed=SEED, speed=20, settings={"API_KEYS": "k"}) as system:
        async with connected(system.nats_url) as client:
            soon = datetime.now(UTC) + timedelta(seconds=1)  # only a scheduled call is due by a timer
            call_requests[-1] = call_requests[-1].model_copy(update={"scheduled_at": soon})
            await publish(client, call_requests)
            await wait_until_projected(system.mongo_url, campaign.ids, timeout=60)
        await asyncio.to_thread(_run_commands, system, folder, campaign)
        await asyncio.sleep(1)  # the last acknowledgements reach the server


def _run_commands(system: System, folder: Path, campaign: Campaign) -> None:
    here = {"NATS_URL": system.nats_url}
    as_admin = {"NATS_URL": system.access.url(without_credentials(system.nats_url), ADMIN)}
    settings = {
        **here,
        **system.vendors.environment,
        **secret_keys(folder, NOTHING),
        "MONGO_URL": system.mongo_url,
        "APP_BASE_URL": system.urls["edge"],
        "MEDIA_BASE_URL": system.urls["voice"],
        "EMBEDDED_RUN": "true",
        "API_KEYS": "k",
    }
    commands = campaign.commands
    commands["doctor"] = command("doctor", "--json", environment=settings)
    options = ("--request-id", "by-hand", "--retries", "0")
    commands["call"] = command("call", "+12125550177", *options, "--watch", environment=here)
    commands["tail"] = command("tail", "--call", "by-hand", "--past", "--json", environment=here)
    commands["export"] = command("replay", "export", folder / "live.gz", "--json", environment=here)
    commands["import"] = command("replay", "import", folder / "live.gz", "--at-once", environment=as_admin)
    commands["verify"] = command("replay", "verify", "--strict", "--json", environment=here)
    commands["rebuild"] = command("replay", "rebuild", "--json", environment={**here, "MONGO_URL": system.mongo_url})


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    client = await nats.connect(url)
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture(name="command")
def the_command() -> Callable[..., Command]:
    """Runs `centralita` in its own process: see `command`."""
    return command


@pytest.fixture
async def log_client(campaign: Campaign) -> AsyncIterator[Client]:
    """A connection to the server with the campaign's log."""
    async with connected(campaign.nats_url) as client:
        yield client
