"""After an erasure nothing in the system contains the number or a sentence of the person, also not with all keys."""

import asyncio
import gzip
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import nats
import pymongo
from nats.aio.client import Client
from pydantic import SecretStr

from centralita.demo.campaign import requests
from centralita.embedded.ledger import set_callee_behaviour
from centralita.embedded.system import System, running
from chassis.direct_get import get_page
from chassis.keyring import Keyring
from chassis.settings import key_bytes
from chassis.stored_event import load_keys, stored_event_of_raw
from chassis.unreadable import UnreadableEvent
from contracts import CallRequested, SpeechHeard
from contracts.buckets import WATCHED_STREAMS
from contracts.permissions import ADMIN
from contracts.personal import ERASED
from sealing import MasterKey

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "COLUMNS": "200"}
NOT_OURS = ("simulators.log",)
"""Files that the system does not write: the simulators are the vendors."""
BEHAVIOURS = ("human", "voicemail", "opts_out", "human")
"""Those of the erased persons, and of the last one, who is not erased."""


async def test_no_stream_bucket_collection_log_export_or_file_contains_an_erased_person(tmp_path: Path) -> None:
    folder, export = tmp_path / "run", tmp_path / "export.jsonl.gz"
    settings = {"API_KEYS": "k"}
    async with running(
        folder, environment=ENVIRONMENT, seed=3, speed=20, behaviours="human=1", settings=settings
    ) as system:
        wanted = requests(run="rest", count=5)[1:]  # the number of the first one is that of the caller, a setting
        async with httpx.AsyncClient(base_url=system.edge_url, headers={"X-API-Key": "k"}, timeout=20) as http:
            calls = [
                await _made(system, http, one, behaviour) for one, behaviour in zip(wanted, BEHAVIOURS, strict=True)
            ]
            others = await _secrets(http, calls[-1])  # the agent says some sentences to everyone
            secrets = [secret for one in calls[:-1] for secret in await _secrets(http, one) - others]
            assert sum(" " in secret for secret in secrets) >= 10, "utterances, replies, their sentences, a message"
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
        for arguments in (("verify", "--strict"), ("rebuild", "--check"), ("export", str(export))):
            ended = await _replay(system, *arguments)
            assert ended.returncode == 0, ended.stdout + ended.stderr
        opened = [text async for text in _opened(system)]
        documents = _documents(system)
        assert any(calls[-1]["phone_number"] in text for text in opened), "the last person is not erased"
    texts = {"opened messages": "\n".join(opened).encode(), "MongoDB": documents.encode()}
    texts["the export"] = gzip.decompress(export.read_bytes())
    files = {str(file.relative_to(folder)): file for file in folder.rglob("*") if file.is_file()}
    ours = {name: file for name, file in files.items() if file.name not in NOT_OURS}
    texts |= {name: file.read_bytes() for name, file in ours.items()}
    found = [(name, secret) for name, data in texts.items() for secret in secrets if secret.encode() in data]
    assert found == []


async def _made(system: System, http: httpx.AsyncClient, request: CallRequested, behaviour: str) -> Mapping[str, Any]:
    """Requests a call with a message for a machine, and waits until it has ended."""
    assert system.vendors.control
    await set_callee_behaviour(system.vendors.control, request.phone_number, behaviour)
    body = request.model_dump(mode="json", exclude_none=True)
    body["voicemail"] = {"message": f"Hello, {request.variables['name']}, this is a message for {request.contact_id}."}
    created = await http.post("/api/v1/calls", json=body)
    assert created.status_code == 201, created.text
    async with asyncio.timeout(60):
        while not (call := (await http.get(created.headers["Location"])).json()).get("ended_at"):
            await asyncio.sleep(0.1)
    return dict(call)


async def _statistics(http: httpx.AsyncClient, count: int) -> Mapping[str, Any]:
    """Returns the counters, once so many ended calls are projected."""
    async with asyncio.timeout(60):
        while True:
            listed = (await http.get("/api/v1/calls")).json()["calls"]
            if sum(bool(call["ended_at"]) for call in listed) == count:
                return dict((await http.get("/api/v1/calls/metrics")).json())
            await asyncio.sleep(0.1)


async def _secrets(http: httpx.AsyncClient, call: Mapping[str, Any]) -> set[str]:
    """Returns the number, and each sentence that was spoken or written about this person."""
    events = (await http.get(f"/api/v1/calls/{call['id']}/events")).json()
    texts = {event["data"].get(name) for event in events for name in ("text", "summary", "last_sentence")}
    heard = {event["data"]["text"] for event in events if event["type"].startswith(SpeechHeard.event_name)}
    message = events[0]["data"]["call"]["voicemail"]["message"]
    named = {text for text in texts if text and call["contact_id"] in text}
    return {call["phone_number"], call["phone_number"][1:], message, *heard, *named, *(text for text in texts if text)}


async def _replay(system: System, *arguments: str) -> "subprocess.CompletedProcess[str]":
    address = system.access.url(system.nats_url.rpartition("@")[2], ADMIN)
    line = [sys.executable, "-m", "centralita", "replay", *arguments, "--nats", address]
    if arguments[0] == "rebuild":
        line += ["--mongo", system.mongo_url]
    run = asyncio.to_thread
    return await run(subprocess.run, line, capture_output=True, text=True, env=ENVIRONMENT, timeout=100, check=False)


async def _opened(system: System) -> AsyncIterator[str]:
    """Yields each message of each stream and bucket, opened with the keys that exist."""
    client = await nats.connect(system.access.url(system.nats_url.rpartition("@")[2], ADMIN))
    try:
        async with Keyring(client, MasterKey(key_bytes(SecretStr(system.master_key)))).is_current() as keyring:
            for stream in WATCHED_STREAMS:
                async for text in _messages(client, stream.name, keyring):
                    yield text
    finally:
        await client.close()


async def _messages(client: Client, stream: str, keyring: Keyring) -> AsyncIterator[str]:
    sequence, has_more = 0, True
    while has_more:
        page = await get_page(client, stream, ">", start_sequence=sequence + 1)
        await load_keys(page.messages, keyring)
        for message in page.messages:
            sequence = message.seq
            yield f"{message.subject} {message.headers} {message.data.decode(errors='replace')}"
            try:
                yield stored_event_of_raw(message, stream, keyring).event.model_dump_json()
            except UnreadableEvent:  # of a bucket, a dead letter or an entry of the audit log
                continue
        has_more = page.has_more


def _documents(system: System) -> str:
    """Returns all documents of MongoDB."""
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(system.mongo_url)
    with client:
        return "\n".join(
            str(document)
            for database in client.list_database_names()
            if database not in ("admin", "config", "local")
            for collection in client[database].list_collection_names()
            for document in client[database][collection].find()
        )
