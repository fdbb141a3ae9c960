"""`centralita campaign` as a process, against the real edge."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from starlette.types import ASGIApp
from tests.integration.edge.conftest import secret_of

from chassis.barrier import wait_until_processed
from contracts import CampaignStatistics, CampaignStatisticsQuery

if TYPE_CHECKING:
    from tests.integration.edge.conftest import Orchestrator

OnAPort = Callable[[ASGIApp], AbstractAsyncContextManager[str]]


@pytest.fixture
async def counted(bus_client: Client) -> None:
    """Answers like a campaign-stats that has counted seven calls of each campaign."""

    async def count(message: Msg) -> None:
        query = CampaignStatisticsQuery.model_validate_json(message.data)
        counted = CampaignStatistics(campaign_id=query.campaign_id, total=7)
        await message.respond(counted.model_dump_json().encode())

    await bus_client.subscribe(CampaignStatisticsQuery.subject, cb=count)
    await wait_until_processed(bus_client)


@pytest.mark.usefixtures("orchestrator", "counted")
async def test_a_campaign_is_paused_shown_and_resumed(app: ASGIApp, on_a_port: OnAPort) -> None:
    async with on_a_port(app) as url:
        paused = await command(url, secret_of("caller"), "pause", "spring", "--reason", "wrong price")
        shown = await command(url, secret_of("reader"), "show", "spring", "--json")
        resumed = await command(url, secret_of("caller"), "resume", "spring")
    assert (paused.returncode, paused.stdout) == (0, "spring is paused (wrong price)\n"), paused.stderr
    document = json.loads(shown.stdout)
    assert (document["paused"], document["reason"], document["calls"]["total_calls"]) == (True, "wrong price", 7)
    assert (resumed.returncode, resumed.stdout) == (0, "spring is not paused\n"), resumed.stderr


@pytest.mark.usefixtures("orchestrator", "counted")
async def test_a_campaign_is_created_changed_started_and_finished(
    app: ASGIApp, on_a_port: OnAPort, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    first.write_text(json.dumps({"campaign_id": "spring", "max_concurrent_calls": 5}))
    second.write_text(json.dumps({"campaign_id": "spring", "ends_at": "2020-01-01T00:00:00Z"}))
    key = secret_of("caller")
    async with on_a_port(app) as url:
        created = await command(url, key, "create", "--file", str(first))
        refused = await command(url, key, "change", "--file", str(second))
        changed = await command(url, key, "change", "--file", str(first), "--json")
        started = await command(url, key, "start", "spring")
        finished = await command(url, key, "finish", "spring")
    assert (created.returncode, created.stdout) == (0, "spring is draft\n"), created.stderr
    assert refused.returncode == 2
    assert "ends_at: is over; give a later instant, or leave it out" in refused.stderr
    assert json.loads(changed.stdout)["terms"]["max_concurrent_calls"] == 5, changed.stderr
    assert (started.returncode, started.stdout) == (0, "spring is running\n"), started.stderr
    assert (finished.returncode, finished.stdout) == (0, "spring is finished\n"), finished.stderr


@pytest.mark.usefixtures("orchestrator", "counted")
async def test_a_change_that_names_its_version_replaces_no_newer_terms(
    app: ASGIApp, on_a_port: OnAPort, tmp_path: Path
) -> None:
    file, key = tmp_path / "spring.json", secret_of("desk")

    def with_limit(calls: int) -> None:
        file.write_text(json.dumps({"campaign_id": "spring", "max_concurrent_calls": calls}))

    async with on_a_port(app) as url:
        with_limit(5)
        await command(url, key, "create", "--file", str(file))
        version = str(json.loads((await command(url, key, "show", "spring", "--json")).stdout)["version"])
        shown = await command(url, key, "show", "spring")
        with_limit(6)
        changed = await command(url, key, "change", "--file", str(file), "--version", version, "--json")
        with_limit(7)
        refused = await command(url, key, "change", "--file", str(file), "--version", version)
        terms = json.loads((await command(url, key, "show", "spring", "--json")).stdout)["terms"]

    assert f"version {version}" in " ".join(shown.stdout.split())
    assert json.loads(changed.stdout)["terms"]["max_concurrent_calls"] == 6, changed.stderr
    assert (refused.returncode, terms["max_concurrent_calls"]) == (1, 6)
    assert f"spring has changed since version {version}" in " ".join(refused.stderr.split())
    assert "`centralita campaign show spring`" in " ".join(refused.stderr.split())
    assert "--version" in refused.stderr


async def test_a_wrong_key_or_a_missing_scope_is_wrong_use_and_changes_nothing(
    app: ASGIApp, on_a_port: OnAPort, orchestrator: "Orchestrator"
) -> None:
    async with on_a_port(app) as url:
        wrong = await command(url, "a-wrong-key", "pause", "spring")
        missing = await command(url, secret_of("reader"), "pause", "spring")
    assert (wrong.returncode, missing.returncode) == (2, 2)
    assert "refuses the API key" in wrong.stderr
    assert "The API key does not permit this" in missing.stderr
    assert "call" in missing.stderr, "the missing scope is named"
    for ended, key in ((wrong, "a-wrong-key"), (missing, secret_of("reader"))):
        assert key not in ended.stdout + ended.stderr
    assert orchestrator.asked == []


async def test_a_reason_that_is_too_long_and_statistics_that_do_not_answer_are_explained(
    app: ASGIApp, on_a_port: OnAPort, orchestrator: "Orchestrator"
) -> None:
    async with on_a_port(app) as url:
        invalid = await command(url, secret_of("caller"), "pause", "spring", "--reason", "x" * 501)
        unavailable = await command(url, secret_of("reader"), "show", "spring")
    assert (invalid.returncode, unavailable.returncode) == (2, 3)
    assert "reason: " in invalid.stderr
    assert "The REST API is not available: " in unavailable.stderr
    assert "Try again in 5 s." in unavailable.stderr


async def command(url: str, key: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "centralita", "campaign", *arguments]
    environment = {"PATH": os.environ["PATH"], "COLUMNS": "200", "API_URL": url, "API_KEY": key}
    return await asyncio.to_thread(subprocess.run, line, env=environment, capture_output=True, text=True, timeout=200)
