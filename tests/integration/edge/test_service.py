"""The edge as a process."""

import json
import os
import subprocess
import sys
from typing import Any

import httpx
import pytest

from edge.application.keys import digest_of

SECRET, OTHER = "a" * 32, "b" * 32
ENTRIES = ",".join(f"desk:read:{digest_of(secret)}" for secret in (SECRET, OTHER))
ENOUGH = {"APP_BASE_URL": "https://calls.example.com", "TWILIO_AUTH_TOKEN": "a-token", "API_KEYS": ENTRIES}


def environment(**settings: str) -> dict[str, str]:
    """Returns the test's environment without settings of the machine."""
    names = {"APP_BASE_URL", "MEDIA_BASE_URL", "VOICE_URL", "TWILIO_AUTH_TOKEN", "API_KEYS", "EMBEDDED_RUN", "NATS_URL"}
    return {**{name: value for name, value in os.environ.items() if name not in names}, **settings}


@pytest.mark.parametrize("missing", ENOUGH)
def test_the_service_exits_with_the_name_of_a_missing_setting(missing: str) -> None:
    settings = {name: value for name, value in ENOUGH.items() if name != missing}

    result = subprocess.run(
        [sys.executable, "-m", "edge"], env=environment(**settings), capture_output=True, text=True, timeout=200
    )

    assert result.returncode == 2
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == [missing]
    assert "a-token" not in result.stderr


def test_the_service_exits_at_a_plain_key_and_names_the_entry_and_the_remedy() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "edge"],
        env=environment(**{**ENOUGH, "API_KEYS": f"{ENTRIES},a-plain-key-of-more-than-32-characters"}),
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert result.returncode == 2
    assert result.stderr.startswith("API_KEYS: entry 3: a key without name")
    assert "python -m edge.make_key" in result.stderr
    assert "a-plain-key" not in result.stderr


def listening(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Returns the line that the service logs when it listens. Warnings may come before it."""
    assert process.stdout
    return next(line for line in map(json.loads, process.stdout) if line["event"] == "listening")


@pytest.mark.usefixtures("bus_client")
def test_the_service_answers_until_it_is_terminated(nats_url: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "edge"],
        env=environment(**ENOUGH, NATS_URL=nats_url),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            started = listening(process)
            assert started["service"] == "edge"
            url = f"http://127.0.0.1:{started['port']}"
            with httpx.Client(base_url=url, trust_env=False, timeout=60) as http:
                assert (http.get("/health/ready")).status_code == 200
                assert (http.get("/api/v1/calls/by-request/x")).status_code == 401
                known = http.get("/api/v1/calls/by-request/x", headers={"X-API-Key": OTHER})
                assert known.status_code == 404
        finally:
            process.terminate()
        assert process.wait(timeout=60) == 0


@pytest.mark.usefixtures("bus_client")
def test_an_open_stream_of_events_is_completed_when_the_service_is_terminated(nats_url: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "edge"],
        env=environment(**ENOUGH, NATS_URL=nats_url),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            url = f"http://127.0.0.1:{listening(process)['port']}/api/v1/events"
            with httpx.stream("GET", url, headers={"X-API-Key": SECRET}, trust_env=False, timeout=60) as answer:
                assert answer.status_code == 200
                process.terminate()
                assert answer.read().endswith(b"\n\n")  # raises an error if the last chunk is missing
        finally:
            process.terminate()
        assert process.wait(timeout=60) == 0
