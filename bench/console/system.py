"""The processes of the measurement: nats-server, MongoDB, campaign-stats, edge and console; nothing is simulated.

The other services do not run, because they would act on the events of the driver. The driver answers for admission.
"""

import asyncio
import json
import os
import secrets
import signal
from base64 import b64decode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nats.aio.msg import Msg
from pymongo import AsyncMongoClient

from bench.calls.prefill import set_checkpoint
from bench.calls.streams import LOG, move_consumers
from bench.calls.system import Checkout, Variant, base_environment, running_servers, running_services
from bench.console.calls import Driver, append_call, fill
from bench.console.watching import log_in
from centralita.demo.documents import DATABASE
from centralita.embedded.console import ConsoleLogin, console_process
from centralita.embedded.processes import SupervisedProcess
from centralita.embedded.servers import listen
from chassis.event_log import EventLog
from chassis.keyring import Keyring
from contracts import Call
from contracts.queries import AdmissionQuery, AdmissionState
from edge.application.keys import digest_of
from sealing import MasterKey

NAMES = ("campaign-stats", "edge")
CALL_EVENTS = 200
SHORT_CALL_EVENTS = 8
SPOKEN_PER_SECOND = 2.0
"""Events of the call that is watched, beside the decisions about others."""


@dataclass(frozen=True)
class ConsoleSystem:
    """A running console before a filled log. `cookies`: a session for each API key. `call`: one of 200 events."""

    url: str
    cookies: Sequence[str]
    call: Call
    short_call: Call
    driver: Driver
    processes: Sequence[SupervisedProcess]

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to each Python process."""
        for one in self.processes:
            if one.process:
                one.process.send_signal(number)


@asynccontextmanager
async def running_console_system(
    folder: Path, events: int, keys: int, profile: Path | None = None
) -> AsyncIterator[ConsoleSystem]:
    """Runs the processes before a log of so many events, with this number of API keys and sessions."""
    variant = Variant(profile=profile)
    secret_keys = [secrets.token_urlsafe(24) for _ in range(keys)]
    async with running_servers(Checkout("present"), folder, variant) as system, system.admin() as client:
        settings = json.loads((folder / "settings.json").read_text())
        entries = [f"k{number}:read+call+admin:{digest_of(key)}" for number, key in enumerate(secret_keys)]
        (folder / "settings.json").write_text(json.dumps(settings | {"API_KEYS": ",".join(entries)}))
        keyring = Keyring(client, MasterKey(b64decode(settings["MASTER_KEY"])))
        await keyring.start()
        log = EventLog(client, LOG, source="bench", keyring=keyring)
        async with running_services(system, variant, NAMES[:1]):
            short_call, call = [await append_call(log, events) for events in (SHORT_CALL_EVENTS, CALL_EVENTS)]
            await _wait_until_projected(system.mongo_url, call)
        await fill(client, log, events)
        await set_checkpoint(client, system.mongo_url)
        await move_consumers(client)
        await client.subscribe(AdmissionQuery.subject, cb=_answer)
        async with running_services(system, variant, NAMES):
            with listen("console", 0) as listener:
                process = console_process(ConsoleLogin("", None), system.urls["edge"], listener, os.environ, folder)
                process.environment = {**base_environment(variant, "console"), **process.environment}
                await process.start()
                url = f"http://127.0.0.1:{listener.getsockname()[1]}"
                try:
                    cookies = [await log_in(url, key) for key in secret_keys]
                    driver = Driver(log, call, SPOKEN_PER_SECOND)
                    processes = [process, *system.services.values()]
                    yield ConsoleSystem(url, cookies, call, short_call, driver, processes)
                finally:
                    await process.stop()


async def _wait_until_projected(mongo_url: str, call: Call) -> None:
    async with asyncio.timeout(60), AsyncMongoClient[dict[str, Any]](mongo_url) as mongo:
        wanted = {"_id": str(call.call_id), "status": str(call.status)}
        while not await mongo[DATABASE]["calls"].find_one(wanted):  # noqa: ASYNC110  MongoDB has no event for it here
            await asyncio.sleep(0.1)


async def _answer(message: Msg) -> None:
    """Answers for admission as call-orchestrator does."""
    query = AdmissionQuery.model_validate_json(message.data)
    state = AdmissionState(
        campaign_id=query.campaign_id,
        at=datetime.now(UTC),
        is_open=True,
        live=150,
        max_live=200,
        waiting=50,
        waiting_closed=0,
        oldest_due_at=None,
        dials_in_second=20,
        dials_in_minute=1_200,
        max_dials_per_second=20,
        max_calls_per_minute=None,
    )
    await message.respond(state.model_dump_json().encode())
