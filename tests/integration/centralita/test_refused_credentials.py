"""The token is rotated in the middle of a campaign: nobody is lost, and Twilio is hardly asked meanwhile."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from nats.aio.client import Client
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
MANY = COUNT // 2
"""More requests than Twilio may see while it refuses all: three open the breaker, and then one in two seconds."""
SETTINGS = {
    "API_KEYS": "k",
    "BREAKER_FAILURES": "3",
    "BREAKER_COOL_DOWN_SECONDS": "2",
    "TWILIO_CALLS_PER_SECOND": "3",
}


async def until(what: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await what():
            await asyncio.sleep(0.1)


async def facts(client: Client, kind: type[CallEvent]) -> list[object]:
    return [found.event for found in await EventLog(client, CALLS.name, source="test").read([kind.subjects()])]


async def refused_by_twilio(client: Client) -> int:
    return sum(isinstance(fact, DialRefused) and fact.code == 20003 for fact in await facts(client, DialRefused))


async def refuse_for_a_while(system: System, client: Client) -> None:
    """Until the breaker has opened, an order has tried, and it has opened again."""
    rule = {"target": "twilio", "kind": "status", "status": 401}
    async with httpx.AsyncClient(base_url=system.vendors.control or "", timeout=10) as http:
        (await http.put("/_simulator/faults", json=[rule])).raise_for_status()

        async def tried_again() -> bool:
            opened = (await breakers(http, system))["twilio"].opened
            return opened > 1 and await refused_by_twilio(client) > 0

        await until(tried_again)
        (await http.put("/_simulator/faults", json=[])).raise_for_status()


@pytest.mark.timeout(240)
async def test_a_token_that_is_refused_for_a_while_costs_no_call(tmp_path: Path) -> None:
    wanted = [one.model_copy(update={"max_retries": 0}) for one in requests(run="rotated", count=COUNT)]
    ids = [call_id_of(one.request_id or "") for one in wanted]
    async with (
        running(tmp_path, environment=NOTHING, speed=20, behaviours="human=1", settings=SETTINGS) as system,
        connected(system.nats_url) as client,
    ):
        await publish(client, wanted)

        async def begun() -> bool:
            return len(await facts(client, DialPlaced)) >= 3

        await until(begun)
        await refuse_for_a_while(system, client)
        await wait_until_projected(system.mongo_url, ids, timeout=120)
        findings, asked = await reconcile(client, system, ids), await refused_by_twilio(client)
        documents = await call_documents(system.mongo_url, ids)
        verified = await verify(await from_streams(client, Scope()))
    assert Counter(document["status"] for document in documents.values()) == {"completed": COUNT}
    assert findings.problems == ()
    assert (findings.dials, findings.max_dials_of_one_attempt) == (COUNT, 1), "everybody was dialled, once"
    assert 0 < asked < MANY
    assert (verified.calls, verified.drifts) == (COUNT, ())
