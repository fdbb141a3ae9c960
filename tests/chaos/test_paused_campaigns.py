"""``kill -9`` of the orchestrator while a campaign is paused: it stays paused, and its calls are dialled once later."""

import asyncio
from pathlib import Path

import httpx
import nats
import pytest

from centralita.demo.campaign import publish, requests
from centralita.demo.documents import wait_until_projected
from centralita.demo.reconciliation import reconcile
from centralita.embedded.system import running
from contracts import CallRequested, call_id_of


def requests_of(campaign_id: str) -> list[CallRequested]:
    return [one.model_copy(update={"campaign_id": campaign_id}) for one in requests(run=campaign_id, count=4)]


async def wait_until_counted(http: httpx.AsyncClient, calls: int) -> None:
    async with asyncio.timeout(60):
        while (await http.get("/api/v1/campaigns/held")).json()["calls"]["total_calls"] < calls:
            await asyncio.sleep(0.1)


@pytest.mark.timeout(240)
async def test_a_pause_survives_the_orchestrator_and_no_attempt_is_dialled_twice_after_it(tmp_path: Path) -> None:
    environment, settings = {"PATH": "/usr/bin:/bin"}, {"API_KEYS": "k"}
    paused, others = requests_of("held"), requests_of("others")
    ids = [call_id_of(request.request_id or "") for request in (*paused, *others)]
    async with running(tmp_path, environment=environment, seed=5, speed=20, settings=settings) as system:
        client = await nats.connect(system.nats_url)
        async with httpx.AsyncClient(base_url=system.edge_url, headers={"X-API-Key": "k"}, timeout=20) as http:
            response = await http.post("/api/v1/campaigns/held/pause", json={"reason": "the wrong script"})
            assert response.json()["paused"] is True
            await publish(client, paused)
            await wait_until_counted(http, 4)
            system.services["call-orchestrator"].kill()
            await publish(client, others)
            await wait_until_projected(system.mongo_url, ids[4:], timeout=100)
            campaign = (await http.get("/api/v1/campaigns/held")).json()
            assert (await reconcile(client, system, ids[:4])).dials == 0
            assert (campaign["paused"], campaign["reason"], campaign["calls"]["total_calls"]) == (
                True,
                "the wrong script",
                4,
            )
            assert (await http.post("/api/v1/campaigns/held/resume")).json()["paused"] is False
            await wait_until_projected(system.mongo_url, ids[:4], timeout=100)
        result = await reconcile(client, system, ids)
        await client.close()
    assert result.problems == ()
    assert result.max_dials_of_one_attempt == 1
    assert system.services["call-orchestrator"].restarts == 1
