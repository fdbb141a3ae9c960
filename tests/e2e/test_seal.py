"""The data folder of an older build is sealed by the command, and then one of its persons is erased."""

import asyncio
import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import nats
from nats.aio.client import Client

from centralita.embedded.credentials import Credentials
from centralita.embedded.run_files import SETTINGS_FILE, env_lines
from centralita.embedded.secret_keys import secret_keys
from centralita.embedded.servers import nats_server
from centralita.embedded.system import running
from centralita.replay.export_file import read_messages
from centralita.replay.importing import import_file
from chassis.provision import consumer_config
from chassis.stream_reader import last_sequence
from contracts.accounts import ADMIN
from contracts.consumers import CONSUMERS
from contracts.personal import ERASED
from contracts.streams import CALLS, REQUESTS

LOG = Path(__file__).parents[1] / "data" / "log-a45b024.jsonl.gz"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "COLUMNS": "200"}


async def test_an_old_folder_is_sealed_and_a_person_of_it_is_erased(tmp_path: Path) -> None:
    folder, export = tmp_path / "run", tmp_path / "export.jsonl.gz"
    folder.mkdir()
    keys = folder / "keys.env"
    keys.write_text(env_lines(secret_keys(folder, {})))
    access = Credentials.generate()
    with nats_server(folder / "nats", access=access) as address:
        url = access.url(address, ADMIN)
        client = await nats.connect(url, name="a service")
        await _import_old_log(client)
        before = await _command("replay", "verify", "--strict", "--json", "--nats", url)
        refused = await _command("seal", "--nats", url, "--env-file", str(keys))
        assert (refused.returncode, "a service. Stop all services first" in refused.stderr) == (1, True)
        await client.close()
        planned = await _command("seal", "--dry-run", "--json", "--nats", url, "--env-file", str(keys))
        assert planned.returncode == 0, planned.stderr
        assert json.loads(planned.stdout)["streams"]["CALLS"] == {
            "messages": 975,
            "in_clear": 617,
            "unreadable": 0,
            "unknown": 0,
        }
        sealed = await _command("seal", "--json", "--nats", url, "--env-file", str(keys))
        assert sealed.returncode == 0, sealed.stderr
        assert json.loads(planned.stdout) == json.loads(sealed.stdout)
        after = await _command("replay", "verify", "--strict", "--json", "--nats", url)
        assert (before.returncode, after.returncode) == (0, 0), after.stdout + after.stderr
        assert json.loads(after.stdout) == json.loads(before.stdout)
    again = await _command("seal", "--folder", str(folder))
    assert (again.returncode, again.stdout) == (0, "No message is in clear that can be sealed.\n"), again.stderr
    person, other = _persons()
    settings = {"API_KEYS": "k"}
    async with running(folder, environment=ENVIRONMENT, speed=20, settings=settings) as system:
        async with httpx.AsyncClient(base_url=system.edge_url, headers={"X-API-Key": "k"}, timeout=60) as http:
            assert await _number(http, person) == person["phone_number"]
            erased = await http.post("/api/v1/persons/erase", json={"phone_number": person["phone_number"]})
            assert erased.status_code == 200, erased.text
            assert erased.json()["certificate"]["had_key"]
            assert await _number(http, person) == ERASED
            assert await _number(http, other) == other["phone_number"]
        url = system.access.url(system.nats_url.rpartition("@")[2], ADMIN)
        while_running = await _command("seal", "--folder", str(folder))
        assert (while_running.returncode, "Stop `centralita up` first" in while_running.stderr) == (1, True)
        for arguments in (("verify", "--strict"), ("rebuild", "--check", "--mongo", system.mongo_url)):
            ended = await _command("replay", *arguments, "--nats", url)
            assert ended.returncode == 0, ended.stdout + ended.stderr
        ended = await _command("replay", "export", str(export), "--nats", url)
        assert ended.returncode == 0, ended.stderr
        own = (folder / SETTINGS_FILE.name).read_text()
    texts = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    texts["the export"] = gzip.decompress(export.read_bytes())
    secrets = {secret for secret in _secrets() if secret not in own}  # the number of the caller is a setting
    assert len(secrets) > 40
    assert [(name, secret) for name, data in texts.items() for secret in secrets if secret.encode() in data] == []


async def _import_old_log(client: Client) -> None:
    """Imports the log, all of which the services of the older build have acknowledged."""
    await import_file(client, LOG, speed=None, force=True)
    js = client.jetstream()
    for consumer in CONSUMERS:
        if consumer.stream in (CALLS, REQUESTS):
            end = await last_sequence(client, consumer.stream.name)
            await js.delete_consumer(consumer.stream.name, consumer.name)
            await js.add_consumer(consumer.stream.name, config=consumer_config(consumer, start_sequence=end + 1))


async def _number(http: httpx.AsyncClient, call: dict[str, Any]) -> str:
    return str((await http.get(f"/api/v1/calls/{call['call_id']}")).json()["phone_number"])


async def _command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, "-m", "centralita", *arguments]
    run = asyncio.to_thread
    return await run(subprocess.run, line, capture_output=True, text=True, env=ENVIRONMENT, timeout=200, check=False)


def _bodies() -> list[dict[str, Any]]:
    return [json.loads(message.body) for message in read_messages(LOG)]


def _persons() -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns calls of two persons with different numbers."""
    calls = [body["call"] for body in _bodies() if "call" in body]
    first = calls[0]
    return first, next(call for call in calls if call["phone_number"] != first["phone_number"])


def _secrets() -> set[str]:
    """Returns the numbers, and what was said or written, of everyone; short words may be in any file."""
    texts: set[str] = set()
    for body in _bodies():
        fields = body.get("call", body)
        texts |= {fields.get(name) or "" for name in ("phone_number", "text", "summary", "script_template")}
    return {text for text in texts if len(text) > 10}
