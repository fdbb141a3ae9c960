"""The story and the search of calls in the whole system, with the permissions of each service."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import httpx

from centralita.embedded.secret_keys import secret_keys
from centralita.embedded.system import running

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}
NUMBERS = {"spoken": "+12125550101", "busy": "+12125550102"}


async def test_a_call_is_found_by_its_number_and_its_story_is_that_of_the_command_line(tmp_path: Path) -> None:
    async with (
        running(tmp_path, environment=ENVIRONMENT, seed=3, speed=10, settings={"API_KEYS": "k"}) as system,
        httpx.AsyncClient(base_url=system.edge_url, headers={"X-API-Key": "k"}, timeout=60) as http,
    ):
        behaviour = f"{system.vendors.control}/_simulator/callees/{NUMBERS['busy']}"
        await http.put(behaviour, json={"behaviour": "busy"})
        calls = {name: await _ended(http, name, number) for name, number in NUMBERS.items()}
        environment = {**ENVIRONMENT, "NATS_URL": system.nats_url, **secret_keys(tmp_path, ENVIRONMENT)}
        for name, call_id in calls.items():
            path = f"/api/v1/calls/{call_id}/story"
            story = (await http.get(path)).json()
            middle = story["sequences"][len(story["sequences"]) // 2]
            for at in (story["sequence"], middle):
                line = [sys.executable, "-m", "centralita", "replay", "show", call_id, "--at", str(at), "--json"]
                shown = await asyncio.to_thread(
                    subprocess.run, line, env=environment, capture_output=True, text=True, timeout=200
                )
                assert shown.returncode == 0, shown.stderr
                told = (await http.get(path, params={"at": at})).json()
                assert told == json.loads(shown.stdout)
            assert "call.requested" in {one["event"] for one in story["timeline"]}
            assert {"admission.granted", "dial.cleared"} <= {one["event"] for one in story["timeline"]}
            async with asyncio.timeout(120):
                while not (found := await _found(http, NUMBERS[name])):
                    await asyncio.sleep(0.1)
            assert found == [call_id]


async def _ended(http: httpx.AsyncClient, name: str, number: str) -> str:
    body = {
        "campaign_id": "c",
        "contact_id": name,
        "request_id": name,
        "phone_number": number,
        "max_retries": 0,
        "script_template": "Hello.\n\nConfirm the appointment.",
        "language": "en",
    }
    created = await http.post("/api/v1/calls", json=body)
    assert created.status_code in (201, 202), created.text  # 202: decided later
    async with asyncio.timeout(120):
        while not (call := (await http.get(created.headers["Location"])).json()).get("ended_at"):
            await asyncio.sleep(0.1)
    return str(call["id"])


async def _found(http: httpx.AsyncClient, number: str) -> list[str]:
    answer = await http.post("/api/v1/calls/search", json={"phone_number": number})
    assert answer.status_code == 200, answer.text
    return [call["id"] for call in answer.json()["calls"]]
