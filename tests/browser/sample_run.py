"""A system like that of the demo: campaigns, and calls with every outcome that the tests look at."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import nats
from nats.aio.client import Client

from centralita.demo.campaign import publish, requests
from centralita.demo.documents import wait_until_projected
from centralita.embedded.console import ApiKey, ConsoleLogin
from centralita.embedded.secret_keys import secret_keys
from centralita.embedded.system import System, running
from contracts import CallRequested, call_id_of

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}
API_KEY = "the-key-of-the-browser"
SETTINGS = {"LOG_LEVEL": "INFO", "MAX_CONCURRENT_CALLS": "50", "ALLOWED_COUNTRIES": "US"}
SEED, SPEED = 363, 20.0
CAMPAIGN = "appointment-reminders"
TERMS = {"campaign_id": CAMPAIGN, "name": "Appointment reminders", "purpose": "service", "company": "Example Clinic"}
BEHAVIOURS = {
    "retried": ["busy", "human"],
    "invalid": ["invalid"],
    "unanswered": ["no_answer"],
    "voicemail": ["voicemail"],
    "spoken": ["human"],
}
"""The callees of the calls that have ended when the tests begin."""


@dataclass(frozen=True, slots=True)
class SampleRun:
    """The running system, and its calls by the name of their callee."""

    system: System
    rest: httpx.AsyncClient
    bus: Client
    link: str
    """The address that logs in once."""
    calls: dict[str, UUID] = field(default_factory=dict)
    api_key: str = API_KEY

    @property
    def origin(self) -> str:
        """The address of the console."""
        url = urlsplit(self.link)
        return f"{url.scheme}://{url.netloc}"

    async def request_calls(self, wanted: Mapping[str, CallRequested], behaviours: Mapping[str, list[str]]) -> None:
        """Requests calls by name. The callee of each behaves as given."""
        for name, request in wanted.items():
            path = f"{self.system.vendors.control}/_simulator/callees/{request.phone_number}"
            answer = await self.rest.put(path, json={"behaviours": behaviours[name]})
            assert answer.is_success, answer.text
            self.calls[name] = call_id_of(request.request_id or "")
        await publish(self.bus, list(wanted.values()))

    async def start_campaign(self, terms: Mapping[str, Any]) -> str:
        """Creates and starts a campaign; returns its id."""
        for path, body in (("", terms), (f"/{terms['campaign_id']}/start", {})):
            answer = await self.rest.post(f"/api/v1/campaigns{path}", json=body)
            assert answer.is_success, answer.text
        return str(terms["campaign_id"])

    async def acts_on(self, campaign_id: str) -> list[tuple[str, str, str]]:
        """Returns the audited acts on a campaign: the act, its stage and the name of the key."""
        answer = await self.rest.get("/api/v1/audit", params={"campaign_id": campaign_id})
        assert answer.is_success, answer.text
        return [(one["act"], one["stage"], one["key_name"]) for one in answer.json()["entries"]]

    async def command(self, *arguments: str) -> str:
        """Returns what a command of `centralita` prints, without line breaks in the text."""
        environment = {
            **ENVIRONMENT,
            **secret_keys(self.system.folder, ENVIRONMENT),
            "NATS_URL": self.system.nats_url,
            "API_URL": self.system.edge_url,
            "API_KEY": self.api_key,
            "COLUMNS": "1000",
        }
        line = [sys.executable, "-m", "centralita", *arguments]
        ended = await asyncio.to_thread(
            subprocess.run, line, env=environment, capture_output=True, text=True, timeout=110
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


@asynccontextmanager
async def sample_run(folder: Path) -> AsyncIterator[SampleRun]:
    """Runs the system during the block, which begins when the calls of `BEHAVIOURS` have ended."""
    login = ConsoleLogin.of(ApiKey(API_KEY, {}))
    settings = {**SETTINGS, "API_KEYS": API_KEY}
    async with (
        running(
            folder,
            environment=ENVIRONMENT,
            seed=SEED,
            speed=SPEED,
            settings=settings,
            console=login,
            has_dead_letters=True,
        ) as system,
        httpx.AsyncClient(
            base_url=system.edge_url, headers={"X-API-Key": API_KEY}, timeout=60, trust_env=False
        ) as rest,
    ):
        assert system.console_url
        bus = await nats.connect(system.nats_url)
        try:
            run = SampleRun(system, rest, bus, system.console_url)
            await run.start_campaign(TERMS)
            wanted = dict(zip(BEHAVIOURS, requests("browser", len(BEHAVIOURS)), strict=True))
            await run.request_calls(wanted, BEHAVIOURS)
            await wait_until_projected(system.mongo_url, run.calls.values(), timeout=120)
            yield run
        finally:
            await bus.close()
