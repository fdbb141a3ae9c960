"""After an erasure nothing in the system contains the number or a sentence of the person, also not with all keys."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import nats
from nats.js.errors import NotFoundError

from centralita.demo.campaign import requests
from centralita.demo.erasure import personal_texts
from centralita.demo.text_search import (
    DOCUMENTS,
    EXPORTS,
    LOGS,
    MESSAGES,
    RAW_FILES,
    TextSearch,
    search_files,
    search_servers,
)
from centralita.embedded.ledger import set_callee_behaviour
from centralita.embedded.system import System, running
from contracts import CallChangeRequested, CallRequested
from contracts.accounts import ADMIN
from contracts.personal import ERASED
from contracts.streams import DEAD_LETTERS, REQUESTS

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "COLUMNS": "200"}
BEHAVIOURS = ("human", "voicemail", "opts_out", "human")
"""Those of the erased persons, and of the last one, who is not erased."""
IN_CLEAR = ("The gate code is Zorzal 4471", "Quintanilla prefers the blue door")
"""What upstream systems publish in clear: in a request that becomes a dead letter, and in one that is refused."""


async def test_no_stream_bucket_collection_log_export_or_file_contains_an_erased_person(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    settings = {"API_KEYS": "k"}
    async with running(
        folder, environment=ENVIRONMENT, seed=3, speed=20, behaviours="human=1", settings=settings
    ) as system:
        wanted = requests(run="rest", count=5)[1:]  # the number of the first one is that of the caller, a setting
        async with httpx.AsyncClient(base_url=system.edge_url, headers={"X-API-Key": "k"}, timeout=60) as http:
            calls = [
                await _made(system, http, one, behaviour) for one, behaviour in zip(wanted, BEHAVIOURS, strict=True)
            ]
            others = await _texts(http, calls[-1])  # the agent says some sentences to everyone
            texts = {text for one in calls[:-1] for text in await _texts(http, one) - others}
            search = TextSearch(texts | set(IN_CLEAR))
            assert sum(" " in text for text in search.texts) >= 10, "utterances, replies, their sentences, a message"
            await _publish_in_clear(system, calls[0]["phone_number"])
            before = await _statistics(http, len(calls))
            for call in calls[:-1]:
                erased = await http.post("/api/v1/persons/erase", json={"phone_number": call["phone_number"]})
                assert erased.status_code == 200, erased.text
                assert erased.json()["certificate"]["had_key"]
            assert await _statistics(http, len(calls)) == before
            left = [(await http.get(f"/api/v1/calls/{call['id']}")).json()["phone_number"] for call in calls]
            assert left == [ERASED, ERASED, ERASED, calls[-1]["phone_number"]]
            why = (await http.get(f"/api/v1/calls/{calls[0]['id']}/decisions")).json()
            assert why[-1]["status"] == "completed"
        for arguments in (("verify", "--strict"), ("rebuild", "--check"), ("export", str(folder / "export.jsonl.gz"))):
            ended = await _replay(system, *arguments)
            assert ended.returncode == 0, ended.stdout + ended.stderr
        await search_servers(search, system)
        control = TextSearch({calls[-1]["phone_number"]})
        await search_servers(control, system)
        assert control.found, "the last person is not erased"
    search_files(search, folder)
    assert search.searched.keys() == {MESSAGES, DOCUMENTS, LOGS, EXPORTS, RAW_FILES}
    assert search.found == []


async def _made(system: System, http: httpx.AsyncClient, request: CallRequested, behaviour: str) -> Mapping[str, Any]:
    """Requests a call with a message for a machine, and waits until it has ended."""
    assert system.vendors.control
    await set_callee_behaviour(system.vendors.control, request.phone_number, behaviour)
    body = request.model_dump(mode="json", exclude_none=True)
    body["voicemail"] = {"message": f"Hello, {request.variables['name']}, this is a message for {request.contact_id}."}
    created = await http.post("/api/v1/calls", json=body)
    assert created.status_code in (201, 202), created.text  # 202: decided later
    async with asyncio.timeout(120):
        while not (call := (await http.get(created.headers["Location"])).json()).get("ended_at"):
            await asyncio.sleep(0.1)
    return dict(call)


async def _statistics(http: httpx.AsyncClient, count: int) -> Mapping[str, Any]:
    """Returns the counters, once so many ended calls are projected."""
    async with asyncio.timeout(120):
        while True:
            listed = (await http.get("/api/v1/calls")).json()["calls"]
            if sum(bool(call["ended_at"]) for call in listed) == count:
                return dict((await http.get("/api/v1/calls/metrics")).json())
            await asyncio.sleep(0.1)


async def _texts(http: httpx.AsyncClient, call: Mapping[str, Any]) -> set[str]:
    return personal_texts((await http.get(f"/api/v1/calls/{call['id']}/events")).json())


async def _publish_in_clear(system: System, number: str) -> None:
    """Publishes a request that becomes a dead letter, and one that is refused; returns when both are erased."""
    invalid = {"phone_number": number, "metadata": {"note": IN_CLEAR[0]}}
    change = CallChangeRequested(call_id=UUID(int=1), metadata={"note": IN_CLEAR[1]})
    client = await nats.connect(system.access.url(system.nats_url.rpartition("@")[2], ADMIN))
    try:
        js = client.jetstream()
        published = [
            await js.publish("call.requested", json.dumps(invalid).encode()),
            await js.publish(change.subject, change.body()),
        ]
        async with asyncio.timeout(120):
            for ack in published:
                with suppress(NotFoundError):
                    while await js.get_msg(REQUESTS.name, ack.seq):
                        await asyncio.sleep(0.1)
        assert (await js.stream_info(DEAD_LETTERS.name)).state.messages == 1
    finally:
        await client.close()


async def _replay(system: System, *arguments: str) -> "subprocess.CompletedProcess[str]":
    address = system.access.url(system.nats_url.rpartition("@")[2], ADMIN)
    line = [sys.executable, "-m", "centralita", "replay", *arguments, "--nats", address]
    if arguments[0] == "rebuild":
        line += ["--mongo", system.mongo_url]
    run = asyncio.to_thread
    return await run(subprocess.run, line, capture_output=True, text=True, env=ENVIRONMENT, timeout=200, check=False)
