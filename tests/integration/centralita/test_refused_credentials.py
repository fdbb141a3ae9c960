"""Twilio refuses the token for a while during a campaign: no call is lost, and few requests are sent meanwhile."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from nats.aio.client import Client
from tests.builders.policies import ANY_TIME_POLICY
from tests.integration.centralita.conftest import NOTHING, connected

from centralita.demo.campaign import publish, requests
from centralita.demo.documents import call_documents, wait_until_projected
from centralita.demo.fallbacks import breakers
from centralita.demo.reconciliation import reconcile
from centralita.embedded.system import System, running
from centralita.replay.record import from_streams
from centralita.replay.scope import Scope
from centralita.replay.verifying import verify
from chassis.event_log import EventLog
from contracts import CallEvent, DialPlaced, DialRefused, call_id_of
from contracts.streams import CALLS

COUNT = 20
MAX_REFUSED = COUNT // 2
"""An upper bound of refused requests: three open the breaker, then a probe follows every two seconds."""
SETTINGS = {
    "API_KEYS": "k",
    "BREAKER_FAILURES": "3",
    "BREAKER_COOL_DOWN_SECONDS": "2",
    "TWILIO_CALLS_PER_SECOND": "3",
}


async def wait_until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.1)


async def events_of(client: Client, event_type: type[CallEvent]) -> list[object]:
    return [stored.event for stored in await EventLog(client, CALLS.name, source="test").read([event_type.subjects()])]


async def refused_by_twilio(client: Client) -> int:
    return sum(isinstance(event, DialRefused) and event.code == 20003 for event in await events_of(client, DialRefused))


async def refuse_for_a_while(system: System, client: Client) -> None:
    """Makes Twilio answer HTTP 401 until the breaker has opened, a probe has failed, and it has opened again."""
    rule = {"target": "twilio", "kind": "status", "status": 401}
    async with httpx.AsyncClient(base_url=system.vendors.control or "", timeout=60) as http:
        (await http.put("/_simulator/faults", json=[rule])).raise_for_status()

        async def has_probed() -> bool:
            opened = (await breakers(http, system))["twilio"].opened
            return opened > 1 and await refused_by_twilio(client) > 0

        await wait_until(has_probed)
        (await http.put("/_simulator/faults", json=[])).raise_for_status()


@pytest.mark.timeout(480)
async def test_no_call_is_lost_while_the_token_is_refused(tmp_path: Path) -> None:
    call_requests = [one.model_copy(update={"max_retries": 0}) for one in requests(run="rotated", count=COUNT)]
    ids = [call_id_of(one.request_id or "") for one in call_requests]
    async with (
        running(tmp_path, environment=NOTHING, speed=20, behaviours="human=1", settings=SETTINGS) as system,
        connected(system.nats_url) as client,
    ):
        await publish(client, call_requests)

        async def has_dialled() -> bool:
            return len(await events_of(client, DialPlaced)) >= 3

        await wait_until(has_dialled)
        await refuse_for_a_while(system, client)
        await wait_until_projected(system.mongo_url, ids, timeout=120)
        findings, refused = await reconcile(client, system, ids), await refused_by_twilio(client)
        documents = await call_documents(system.mongo_url, ids)
        verified = await verify(await from_streams(client, Scope()), calling_policy=ANY_TIME_POLICY)
    assert Counter(document["status"] for document in documents.values()) == {"completed": COUNT}
    assert findings.problems == ()
    assert (findings.dials, findings.max_dials_of_one_attempt) == (COUNT, 1), "each callee is dialled once"
    assert 0 < refused < MAX_REFUSED
    assert (verified.calls, verified.drifts) == (COUNT, ())
