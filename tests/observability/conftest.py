"""One small campaign, observed by traces, logs and, where it is installed, Prometheus."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import nats
import pytest
from nats.aio.client import Client
from pydantic import SecretStr

from centralita.demo.campaign import requests
from centralita.demo.documents import wait_until_projected
from centralita.embedded.system import running
from centralita.monitoring.prometheus import INSTALLED, prometheus, series, stored_queries
from centralita.monitoring.spans import TraceReceiver, receive_traces
from chassis.event_log import EventLog, StoredEvent
from chassis.keyring import Keyring
from chassis.settings import key_bytes
from contracts import (
    AudioRequested,
    CallRequested,
    ReplyGenerated,
    SpeechHeard,
    TelephonyStatus,
    TelephonyStatusReported,
    call_id_of,
)
from contracts.filters import call_filters
from contracts.streams import CALLS
from sealing import MasterKey

CALLS_MADE = 6
SCRAPES_AFTER = 3.0
WAIT_SECONDS = 60


@dataclass
class Observed:
    """The observations of the campaign. `series` and `rules` are empty without Prometheus."""

    requests: list[CallRequested]
    traces: TraceReceiver
    logs: dict[str, str] = field(default_factory=dict)
    spoken: set[str] = field(default_factory=set)
    reports: dict[tuple[UUID, int], list[TelephonyStatus]] = field(default_factory=dict)
    """What the telephone network reported of each attempt, in log order."""
    series: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    rules: list[dict[str, Any]] = field(default_factory=list)

    @property
    def call_ids(self) -> list[UUID]:
        """The ids of its calls."""
        return [call_id_of(request.request_id or "") for request in self.requests]


@pytest.fixture(scope="session")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Observed:
    """Runs the campaign: half of the callees answer, one number is busy at first, both languages are spoken."""
    return asyncio.run(_observe(tmp_path_factory.mktemp("observed") / "run"))


async def _observe(folder: Path) -> Observed:
    with receive_traces() as traces:
        observed = Observed(requests(run="observed", count=CALLS_MADE), traces)
        settings = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": traces.url,
            "LOG_LEVEL": "DEBUG",
            "MAX_CONCURRENT_CALLS": "50",
            "TWILIO_CALLS_PER_SECOND": "50",
        }
        environment = {"PATH": "/usr/bin:/bin"}
        async with AsyncExitStack() as stack:
            system = await stack.enter_async_context(
                running(
                    folder, environment=environment, seed=5, speed=20, behaviours="human=3,busy=1", settings=settings
                )
            )
            client = await nats.connect(system.nats_url)
            stack.push_async_callback(client.close)
            http = await stack.enter_async_context(prometheus(folder / "prom", system.urls)) if INSTALLED else None
            if http:
                await _wait_for_scrapes(http, len(system.urls))  # the counters before the first call
            for request in observed.requests:
                await client.jetstream().publish(CallRequested.event_name, request.model_dump_json().encode())
            await wait_until_projected(system.mongo_url, observed.call_ids, timeout=180)
            await _read_events(client, system.master_key, observed)
            if http:
                await _query_all(http, observed)
        observed.logs = {log.stem: log.read_text() for log in folder.glob("*.log")}
        return observed


async def _wait_for_scrapes(http: httpx.AsyncClient, services: int) -> None:
    """Waits until each service has been scraped twice."""
    async with asyncio.timeout(WAIT_SECONDS):
        while len(await series(http, "count_over_time(up[5m]) >= 2 and up == 1")) < services:
            await asyncio.sleep(0.2)


async def _query_all(http: httpx.AsyncClient, observed: Observed) -> None:
    """Reads each query once it has series, and then the rules. A query that has none after a time is noted as such."""
    await asyncio.sleep(SCRAPES_AFTER)
    give_up_at = asyncio.get_running_loop().time() + WAIT_SECONDS
    for name, expression in stored_queries().items():
        while not (found := await series(http, expression)) and asyncio.get_running_loop().time() < give_up_at:
            await asyncio.sleep(0.5)
        observed.series[name] = found
    answer = await http.get("/api/v1/rules")
    observed.rules = [rule for group in answer.json()["data"]["groups"] for rule in group["rules"]]


async def _read_events(client: Client, master_key: str, observed: Observed) -> None:
    async with Keyring(client, MasterKey(key_bytes(SecretStr(master_key)))).is_current() as keyring:
        log = EventLog(client, CALLS.name, source="test", keyring=keyring)
        for call_id in observed.call_ids:
            _note(call_id, await log.read(call_filters(call_id)), observed)


def _note(call_id: UUID, events: Sequence[StoredEvent], observed: Observed) -> None:
    for stored in events:
        match stored.event:
            case AudioRequested() | SpeechHeard() | ReplyGenerated() as event if event.text:
                observed.spoken.add(event.text)
            case TelephonyStatusReported() as event:
                observed.reports.setdefault((call_id, event.attempt), []).append(event.status)
