"""``kill -9`` of each service in turn during a campaign: every call ends, and no attempt is dialled twice."""

import asyncio
from pathlib import Path

import nats
import pytest

from centralita.demo.campaign import publish, requests
from centralita.demo.documents import wait_until_projected
from centralita.demo.reconciliation import reconcile
from centralita.embedded.system import MODULES, running
from contracts import call_id_of

CALL_COUNT = 24


@pytest.mark.timeout(420)
async def test_every_call_ends_and_no_attempt_is_dialled_twice_when_any_service_is_killed(tmp_path: Path) -> None:
    environment = {"PATH": "/usr/bin:/bin"}
    async with running(tmp_path, environment=environment, seed=5, speed=10) as system:
        client = await nats.connect(system.nats_url)
        wanted = [
            request.model_copy(update={"call_timeout_seconds": 5})
            for request in requests(run="chaos", count=CALL_COUNT)
        ]
        ids = [call_id_of(request.request_id or "") for request in wanted]
        await publish(client, wanted)
        for name in MODULES:
            await asyncio.sleep(1.5)
            system.services[name].kill()
        await wait_until_projected(system.mongo_url, ids, timeout=300)
        result = await reconcile(client, system, ids)
        await client.close()
    assert result.problems == ()
    assert result.max_dials_of_one_attempt == 1
    assert result.dials + result.refused + result.unsent == result.attempts
    assert all(service.restarts == 1 for service in system.services.values())
