"""A system like that of the demo: campaigns, and calls with every outcome that the tests look at."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import nats
from nats.aio.client import Client
from pydantic import SecretStr
from tests.builders.calls import a_call
from tests.builders.live_call import live_call_events
from tests.builders.requests import request
from tests.builders.turns import an_utterance

from centralita.demo.campaign import publish, requests
from centralita.demo.documents import wait_until_projected
from centralita.embedded.console import ApiKey, ConsoleLogin
from centralita.embedded.secret_keys import secret_keys
from centralita.embedded.system import System, running
from chassis.event_log import EventLog
from chassis.keyring import Keyring
from chassis.settings import key_bytes
from contracts import CallDecision, CallRequested, CallStatus, Service, call_id_of
from contracts.permissions import inbox_of
from contracts.streams import CALLS
from sealing import MasterKey

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}
API_KEY = "the-key-of-the-browser"
SETTINGS = {"LOG_LEVEL": "INFO", "MAX_CONCURRENT_CALLS": "50", "ALLOWED_COUNTRIES": "US"}
SEED, SPEED = 363, 20.0
WAIT_SECONDS = 60
CAMPAIGN = "appointment-reminders"
TERMS = {"campaign_id": CAMPAIGN, "name": "Appointment reminders", "purpose": "service", "company": "Example Clinic"}
MARKUP = '<img src=x onerror="alert(1)"></title><script>alert(2)</script> {{ 7 * 7 }}'
HOSTILE = MARKUP + "\u202e\u2067 turned"
LONG_WORD = "W" * 19_000
HOSTILE_CAMPAIGN = "hostile-" + "w" * 90
HOSTILE_TERMS = {"campaign_id": HOSTILE_CAMPAIGN, "name": MARKUP, "company": "Example Clinic"}
HOSTILE_NUMBER = "+12125550140"
DRAFT = "spring-offer"
DRAFT_TERMS = {
    "campaign_id": DRAFT,
    "name": MARKUP,
    "company": "Example Clinic",
    "purpose": "service",
    "script_template": "Hello {{name}}, we have an offer.",
}
WRONG_REQUESTS: tuple[object, ...] = (
    {"phone_number": "212 555 0141", "contact_id": "c-1"},
    {"phone_number": "212 555 0142", "contact_id": "c-2"},
    {"phone_number": "212 555 0143", "variables": {HOSTILE: [HOSTILE]}, MARKUP: HOSTILE, "note": LONG_WORD},
)
"""Requests that become dead letters: two of them for the same reason, then `HOSTILE_DEAD_LETTER`."""
HOSTILE_DEAD_LETTER = len(WRONG_REQUESTS)
_HOSTILE_CELL = '"{}"'.format(HOSTILE.replace('"', '""'))
BEHAVIOURS = {
    "retried": ["busy", "human"],
    "invalid": ["invalid"],
    "unanswered": ["no_answer"],
    "voicemail": ["voicemail"],
    "spoken": ["human"],
    "live": ["human"],
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
        for name, one in wanted.items():
            path = f"{self.system.vendors.control}/_simulator/callees/{one.phone_number}"
            answer = await self.rest.put(path, json={"behaviours": behaviours[name]})
            assert answer.is_success, answer.text
            self.calls[name] = call_id_of(one.request_id or "")
        await publish(self.bus, list(wanted.values()))

    async def start_campaign(self, terms: Mapping[str, Any]) -> str:
        """Creates and starts a campaign, and returns its id once it runs."""
        campaign_id = await self.draft_campaign(terms)
        await self._act(campaign_id, "start", {}, status="running")
        return campaign_id

    async def draft_campaign(self, terms: Mapping[str, Any]) -> str:
        """Creates a campaign, and returns its id once contacts can be added."""
        answer = await self.rest.post("/api/v1/campaigns", json=terms)
        assert answer.is_success, answer.text
        await self._until_campaign(str(terms["campaign_id"]), status="draft")
        return str(terms["campaign_id"])

    async def _act(self, campaign_id: str, act: str, body: Mapping[str, Any], **expected: object) -> None:
        answer = await self.rest.post(f"/api/v1/campaigns/{campaign_id}/{act}", json=body)
        assert answer.is_success, answer.text
        await self._until_campaign(campaign_id, **expected)

    async def _until_campaign(self, campaign_id: str, **expected: object) -> None:
        """Returns once a campaign is as expected: a command may be answered before it is decided."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not expected.items() <= (await self.rest.get(f"/api/v1/campaigns/{campaign_id}")).json().items():
                await asyncio.sleep(0.1)

    async def add_contacts(self, campaign_id: str, rows: str) -> None:
        """Adds contacts to a campaign from the text of a CSV file."""
        path, headers = f"/api/v1/campaigns/{campaign_id}/contacts", {"Content-Type": "text/csv"}
        answer = await self.rest.post(path, content=rows.encode(), headers=headers)
        assert answer.is_success, answer.text

    async def dead_letters(self, count: int, known: Collection[int] = ()) -> list[dict[str, Any]]:
        """Returns the dead letters without those at the `known` sequences, once there are so many."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                listed = (await self.rest.get("/api/v1/dead-letters")).json()["dead_letters"]
                found: list[dict[str, Any]] = [one for one in listed if one["sequence"] not in known]
                if len(found) >= count:
                    return found
                await asyncio.sleep(0.1)

    async def pause(self, campaign_id: str, reason: str) -> None:
        """Pauses a campaign, and returns when it is paused."""
        await self._act(campaign_id, "pause", {"reason": reason}, paused=True)

    async def until_connected(self) -> None:
        """Returns once every service, and this connection, reach NATS again."""
        ready = [f"{url}/health/ready" for url in self.system.urls.values()]
        async with asyncio.timeout(WAIT_SECONDS):
            for path in (*ready, "/api/v1/calls", "/api/v1/outcomes?interval=1h", "/api/v1/dead-letters"):
                while not (await self.rest.get(path)).is_success:
                    await asyncio.sleep(0.1)
            while not self.bus.is_connected:
                await asyncio.sleep(0.1)

    async def hear(self, name: str, text: str) -> None:
        """Appends an utterance of the callee, as the edge does."""
        master_key = MasterKey(key_bytes(SecretStr(self.system.master_key)))
        async with self.connected(Service.EDGE) as client, Keyring(client, master_key).is_current() as keyring:
            log = EventLog(client, CALLS.name, source="test", keyring=keyring)
            await log.append(an_utterance(self.calls[name], 9, text))

    async def hold_live(self, name: str, text: str) -> None:
        """Appends what a live conversation adds to the log, as its services do. The callee hears `text`."""
        master_key = MasterKey(key_bytes(SecretStr(self.system.master_key)))
        call = a_call(CallStatus.IN_PROGRESS, call_id=self.calls[name])
        facts = [one for one in live_call_events(call, text, text) if not isinstance(one, CallDecision)]
        for event in facts:
            [owner, *_] = sorted(event.owners)
            async with self.connected(owner) as client, Keyring(client, master_key).is_current() as keyring:
                await EventLog(client, CALLS.name, source="test", keyring=keyring).append(event)

    async def acts_on(self, campaign_id: str) -> list[tuple[str, str, str]]:
        """Returns the audited acts on a campaign: the act, its stage and the name of the key."""
        answer = await self.rest.get("/api/v1/audit", params={"campaign_id": campaign_id})
        assert answer.is_success, answer.text
        return [(one["act"], one["stage"], one["key_name"]) for one in answer.json()["entries"]]

    async def acts(self, act: str, target: str) -> list[str]:
        """Returns the audited stages of an act."""
        answer = await self.rest.get("/api/v1/audit", params={"act": act})
        assert answer.is_success, answer.text
        return [one["stage"] for one in answer.json()["entries"] if one["target"] == target]

    @asynccontextmanager
    async def connected(self, user: str) -> AsyncIterator[Client]:
        """Yields a connection to the bus as one of its users."""
        assert self.system.nats
        client = await nats.connect(self.system.access.url(self.system.nats.url, user), inbox_prefix=inbox_of(user))
        try:
            yield client
        finally:
            await client.close()

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
            subprocess.run, line, env=environment, capture_output=True, text=True, timeout=200
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


def _hostile_request() -> CallRequested:
    texts: dict[str, object] = {
        "campaign_id": HOSTILE_CAMPAIGN,
        "contact_id": HOSTILE + "w" * 100,
        "script_template": f"Hello {{{{name}}}}.\n\n{MARKUP.partition(' {{')[0]} {LONG_WORD}",
        "variables": {"name": MARKUP},
    }
    return request("hostile " + MARKUP, HOSTILE_NUMBER, **texts)


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
            await run.start_campaign(HOSTILE_TERMS)
            wanted = dict(zip(BEHAVIOURS, requests("browser", len(BEHAVIOURS)), strict=True))
            await run.request_calls(wanted, BEHAVIOURS)
            await run.request_calls({"hostile": _hostile_request()}, {"hostile": ["human"]})
            await wait_until_projected(system.mongo_url, run.calls.values(), timeout=300)
            await run.hear("hostile", f"{HOSTILE} {LONG_WORD}")
            await run.hold_live("live", f"{HOSTILE} {LONG_WORD}")
            await run.pause(HOSTILE_CAMPAIGN, MARKUP)
            await run.draft_campaign(DRAFT_TERMS)
            await run.add_contacts(DRAFT, f"phone_number,contact_id,name\n{HOSTILE_NUMBER},{_HOSTILE_CELL},Ana\n")
            for number, wrong in enumerate(WRONG_REQUESTS, start=1):
                await bus.jetstream().publish(CallRequested.event_name, json.dumps(wrong).encode())
                await run.dead_letters(number)
            yield run
        finally:
            await bus.close()
