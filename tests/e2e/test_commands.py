"""The commands as processes, as a user runs them."""

import asyncio
import json
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import nats
import pytest

from centralita.demo.campaign import requests
from centralita.embedded.credentials import without_credentials
from centralita.embedded.run_files import SETTINGS_FILE
from centralita.embedded.servers import CannotStart
from centralita.embedded.system import System, running
from centralita.embedded.vendors import real_vendors
from contracts import CallRequested, CommandOutcome
from contracts.queries import CALL_REQUEST

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


def centralita(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    command, environment = [sys.executable, "-m", "centralita", *arguments], {**ENVIRONMENT, "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment, cwd=folder)


def test_the_demo_ends_every_call_and_its_three_records_agree() -> None:
    ended = centralita("demo", "--calls", "6")
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
    assert "agree, call by call" in ended.stdout
    assert "Campaign statistics, read back from MongoDB" in ended.stdout
    assert "callee" in ended.stdout


def test_a_demo_whose_calls_do_not_end_in_time_fails_with_a_reason() -> None:
    ended = centralita("demo", "--calls", "3", "--timeout", "0.2")
    assert ended.returncode == 1
    assert "calls have not ended within" in ended.stdout


def test_incomplete_settings_of_a_vendor_are_refused_with_the_missing_names() -> None:
    with pytest.raises(CannotStart, match="TWILIO_AUTH_TOKEN, TWILIO_PHONE_NUMBER is not"):
        real_vendors({"TWILIO_ACCOUNT_SID": "AC1"})
    with pytest.raises(CannotStart, match="APP_BASE_URL"):
        real_vendors({"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "x", "TWILIO_PHONE_NUMBER": "+12125550100"})
    assert real_vendors({"OPENAI_API_KEY": "x"}) == ("openai",)


async def _wait_until_ended(http: httpx.AsyncClient, path: str) -> dict[str, object]:
    async with asyncio.timeout(120):
        while True:
            call = (await http.get(path)).json()
            if call.get("ended_at"):
                return dict(call)
            await asyncio.sleep(0.1)


async def _request_over_rest(system: System) -> dict[str, object]:
    request = requests(run="rest", count=1)[0]
    body = json.loads(request.model_dump_json(exclude_none=True, exclude={"request_id"}))
    async with httpx.AsyncClient(base_url=system.edge_url, headers={"X-API-Key": "k"}, timeout=60) as http:
        assert (await http.get("/api/v1/calls/metrics", headers={"X-API-Key": "wrong"})).status_code == 401
        created = await http.post("/api/v1/calls", json=body, headers={"Idempotency-Key": "rest-1"})
        again = await http.post("/api/v1/calls", json=body, headers={"Idempotency-Key": "rest-1"})
        assert created.status_code in (201, 202), created.text  # 202: decided later
        assert created.json()["id"] == again.json()["id"]
        if created.status_code == 201:
            assert (await http.get(created.headers["Location"])).status_code == 200, "it can be read at once"
        return await _wait_until_ended(http, created.headers["Location"])


async def _acts_of_a_refused_retry(system: System, call: dict[str, object]) -> list[tuple[str, str]]:
    """Retries a completed call, and returns the call's acts in the audit log."""
    async with httpx.AsyncClient(base_url=system.edge_url, headers={"X-API-Key": "k"}, timeout=60) as http:
        assert (await http.post(f"/api/v1/calls/{call['id']}/retry")).status_code == 409
        entries = (await http.get("/api/v1/audit", params={"call_id": str(call["id"])})).json()["entries"]
        return [(entry["act"], entry["stage"]) for entry in entries]


async def _request_over_nats(system: System) -> CommandOutcome:
    client = await nats.connect(system.nats_url)
    try:
        request: CallRequested = requests(run="bus", count=1)[0]
        answer = await client.request(CALL_REQUEST, request.model_dump_json().encode(), timeout=60)
        return CommandOutcome.model_validate_json(answer.data)
    finally:
        await client.close()


async def test_commands_in_the_folder_of_a_running_system_need_no_settings(tmp_path: Path) -> None:
    environment = {**ENVIRONMENT, "OPENAI_MODEL": "gpt-4.1-mini", "LOG_LEVEL": "INFO"}
    async with running(tmp_path / ".data", environment=environment, settings={"API_KEYS": "k"}) as system:
        where = ("--nats", without_credentials(system.nats_url), "--json")
        doctor = await asyncio.to_thread(centralita, "doctor", *where, folder=tmp_path)
        rebuilt = await asyncio.to_thread(centralita, "replay", "rebuild", "--check", *where, folder=tmp_path)
        elsewhere = await asyncio.to_thread(centralita, "replay", "rebuild", "--check", *where, folder=tmp_path.parent)
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    assert {finding["result"] for finding in json.loads(doctor.stdout)} <= {"ok", "warning"}
    assert rebuilt.returncode == 0, rebuilt.stdout + rebuilt.stderr
    assert elsewhere.returncode == 2
    assert "--mongo" in elsewhere.stderr
    stored = tmp_path / ".data" / SETTINGS_FILE.name
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600
    assert "OPENAI_MODEL" not in stored.read_text(), "settings of the environment are not stored"


async def test_a_running_system_answers_over_rest_and_over_nats(tmp_path: Path) -> None:
    settings = {"API_KEYS": "k"}
    async with running(
        tmp_path, environment=ENVIRONMENT, seed=3, speed=20, behaviours="human=1", settings=settings
    ) as system:
        call = await _request_over_rest(system)
        acts = await _acts_of_a_refused_retry(system, call)
        outcome = await _request_over_nats(system)
        async with httpx.AsyncClient(base_url=system.edge_url, headers={"X-API-Key": "k"}, timeout=60) as http:
            by_request = await _wait_until_ended(http, "/api/v1/calls/by-request/bus-00")
        logs = "".join(log.read_text() for log in tmp_path.glob("*.log"))
    assert call["status"] == "completed"
    created_twice = [("call.create", "asked"), ("call.create", "accepted")] * 2  # with the same idempotency key
    assert acts == [*created_twice, ("call.retry", "asked"), ("call.retry", "refused")]
    assert outcome.accepted
    assert by_request["id"] == str(outcome.call_id)
    assert "+1212555" not in logs, "logs contain ids, no phone numbers"
    assert "appointment" not in logs, "no spoken text"
    assert '"level": "error"' not in logs
    assert "Traceback" not in logs
