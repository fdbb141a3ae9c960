"""Requests at ten times capacity: refused with a reason while the backlog is full, and every accepted call ends."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from bench.flood import (
    CAMPAIGN,
    MAX_GROWTH_MB,
    calls_in_log,
    drain,
    flood,
    flooded_system,
    memory_mb,
    request,
    set_paused,
)
from nats.aio.client import Client

from centralita.embedded.system import System
from contracts import CallRequested, CommandOutcome
from contracts.consumers import ORCHESTRATOR_REQUESTS
from contracts.queries import CALL_REQUEST
from contracts.vocabulary import RefusalCode

LIMIT = 20
COUNT = 10 * LIMIT
MAX_ACCEPTED = LIMIT + 2 * ORCHESTRATOR_REQUESTS.workers
"""Calls of requests that are decided at the same time are not counted yet."""


async def ask(client: Client, wanted: CallRequested) -> CommandOutcome:
    reply = await client.request(CALL_REQUEST, wanted.body(), timeout=60)
    return CommandOutcome.model_validate_json(reply.data)


async def post(system: System, wanted: CallRequested) -> httpx.Response:
    async with httpx.AsyncClient(base_url=system.edge_url, headers={"X-API-Key": "k"}, timeout=60) as http:
        return await http.post("/api/v1/calls", content=wanted.body(), headers={"Content-Type": "application/json"})


async def test_a_flood_is_refused_with_a_reason_and_every_accepted_call_ends(tmp_path: Path) -> None:
    async with flooded_system(tmp_path, LIMIT) as (system, client):
        await set_paused(system, is_paused=True)
        first = await flood(client, "first", COUNT)
        assert LIMIT <= len(first.accepted) <= MAX_ACCEPTED
        assert len(first.accepted) + len(first.refused) == COUNT
        assert {outcome.code for outcome in first.refused.values()} == {RefusalCode.BACKLOG_FULL}
        assert all("MAX_BACKLOG" in outcome.reasons[0] for outcome in first.refused.values())
        assert await calls_in_log(client) == len(first.accepted), "a refused request leaves nothing in the log"

        refused = await post(system, request("rest"))
        assert refused.status_code == 429
        assert refused.headers["Retry-After"]
        assert refused.json()["type"] == "urn:centralita:problem:backlog-full"
        assert "MAX_BACKLOG" in refused.json()["detail"]
        assert (await ask(client, request("asked"))).code is RefusalCode.BACKLOG_FULL
        assert (await ask(client, request(next(iter(first.accepted))))).accepted, "its call exists"
        later = CallRequested(
            request_id="later",
            campaign_id=CAMPAIGN,
            contact_id="1",
            phone_number="+12125550101",
            script_template="Hello.",
            language="en",
            scheduled_at=datetime.now(UTC) + timedelta(days=1),
        )
        assert (await ask(client, later)).accepted

        await drain(system, first.accepted)
        before = memory_mb(system)
        await set_paused(system, is_paused=True)
        second = await flood(client, "second", COUNT)
        await drain(system, second.accepted)
        assert len(second.accepted) + len(second.refused) == COUNT
        assert await calls_in_log(client) == len(first.accepted) + len(second.accepted) + 1
        growth = {name: after - before[name] for name, after in memory_mb(system).items()}
    assert max(growth.values()) <= MAX_GROWTH_MB, growth
