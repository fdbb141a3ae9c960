"""``kill -9`` of the orchestrator around a pause: no call is dialled until the resume, and each once after it."""

import asyncio
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import httpx
import nats
import pytest

from centralita.demo.campaign import publish, requests
from centralita.demo.documents import wait_until_projected
from centralita.demo.reconciliation import reconcile
from centralita.embedded.system import running
from chassis.event_log import EventLog
from chassis.stream_api import jetstream_of
from contracts import (
    AdmissionGranted,
    AdmissionReleased,
    CallDecision,
    CallDue,
    CallRequested,
    CallStatus,
    CallStatusChanged,
    call_id_of,
)
from contracts.streams import CALLS

BEGUN = f"{CallStatusChanged.event_name}.*.{CallStatus.DIALING}"
STUCK_SECONDS = 8
"""After which time a grant counts as one that its replica does not carry out."""


def requests_of(campaign_id: str, count: int = 4) -> list[CallRequested]:
    return [one.model_copy(update={"campaign_id": campaign_id}) for one in requests(run=campaign_id, count=count)]


async def wait_until_counted(http: httpx.AsyncClient, calls: int) -> None:
    async with asyncio.timeout(60):
        while (await http.get("/api/v1/campaigns/held")).json()["calls"]["total_calls"] < calls:
            await asyncio.sleep(0.1)


async def act(http: httpx.AsyncClient, name: str, body: dict[str, str], *, is_paused: bool) -> None:
    """Pauses or resumes the campaign, and returns when that is decided: the answer may come before."""
    (await http.post(f"/api/v1/campaigns/held/{name}", json=body)).raise_for_status()
    async with asyncio.timeout(60):
        while (await http.get("/api/v1/campaigns/held")).json()["paused"] is not is_paused:
            await asyncio.sleep(0.1)


@pytest.mark.timeout(480)
async def test_a_pause_survives_the_orchestrator_and_no_attempt_is_dialled_twice_after_it(tmp_path: Path) -> None:
    environment, settings = {"PATH": "/usr/bin:/bin"}, {"API_KEYS": "k"}
    paused, others = requests_of("held"), requests_of("others")
    ids = [call_id_of(request.request_id or "") for request in (*paused, *others)]
    async with running(tmp_path, environment=environment, seed=5, speed=20, settings=settings) as system:
        client = await nats.connect(system.nats_url)
        async with httpx.AsyncClient(base_url=system.edge_url, headers={"X-API-Key": "k"}, timeout=60) as http:
            await act(http, "pause", {"reason": "the wrong script"}, is_paused=True)
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
            await act(http, "resume", {}, is_paused=False)
            await wait_until_projected(system.mongo_url, ids[:4], timeout=100)
        result = await reconcile(client, system, ids)
        await client.close()
    assert result.problems == ()
    assert result.max_dials_of_one_attempt == 1
    assert system.services["call-orchestrator"].restarts == 1


class Grants:
    """The grants of a log, and what followed them."""

    def __init__(self, log: EventLog) -> None:
        self.log = log

    async def begun(self, after_sequence: int = 0) -> set[UUID]:
        """Returns the calls whose attempt was decided after this position."""
        stored = await self.log.read([BEGUN], after_sequence=after_sequence)
        return {one.event.call_id for one in stored if isinstance(one.event, CallDecision)}

    async def stuck(self) -> set[UUID]:
        """Returns the calls whose slot was granted some seconds ago, and whose attempt has not begun."""
        granted = await self.log.read([AdmissionGranted.subjects()])
        latest_at = self.log.now() - timedelta(seconds=STUCK_SECONDS)
        old = [one.event for one in granted if one.stored_at and one.stored_at < latest_at]
        return {event.call_id for event in old if isinstance(event, AdmissionGranted)} - await self.begun()

    async def put_back(self, after_sequence: int) -> set[UUID]:
        """Returns the calls whose slot was freed after this position: they wait for another one."""
        released = await self.log.read([AdmissionReleased.subjects()], after_sequence=after_sequence)
        due = await self.log.read([f"{CallDue.event_name}.>"], after_sequence=after_sequence)
        return {one.event.call_id for one in (*released, *due) if isinstance(one.event, AdmissionReleased | CallDue)}


@pytest.mark.timeout(400)
async def test_a_grant_of_a_killed_replica_is_not_carried_out_after_an_acknowledged_pause(tmp_path: Path) -> None:
    """One replica receives grants and does nothing, until it is killed. The other one decides the pause after that.

    The server delivers these grants again 30 s later.
    """
    settings = {"API_KEYS": "k", "TWILIO_CALLS_PER_SECOND": "4"}
    wanted = requests_of("held", 24)
    ids = [call_id_of(request.request_id or "") for request in wanted]
    replicas = {"call-orchestrator": 2}
    environment = {"PATH": "/usr/bin:/bin"}
    async with running(
        tmp_path, environment=environment, seed=5, speed=20, settings=settings, replicas=replicas
    ) as system:
        client = await nats.connect(system.nats_url)
        grants, dying = Grants(EventLog(client, CALLS.name, source="test")), system.services["call-orchestrator-2"]
        async with httpx.AsyncClient(base_url=system.edge_url, headers={"X-API-Key": "k"}, timeout=60) as http:
            dying.pause()
            await publish(client, wanted)
            async with asyncio.timeout(100):
                while not await grants.stuck():
                    await asyncio.sleep(0.2)
            dying.kill()
            await act(http, "pause", {"reason": "the wrong script"}, is_paused=True)
            paused_at = (await jetstream_of(client, CALLS.name).stream_info(CALLS.name)).state.last_seq
            held = await grants.stuck()
            assert held, "the killed replica has received grants"
            async with asyncio.timeout(120):
                while not held <= await grants.put_back(paused_at) | await grants.begun(paused_at):
                    await asyncio.sleep(0.2)
            assert await grants.begun(paused_at) == set()
            await act(http, "resume", {}, is_paused=False)
            await wait_until_projected(system.mongo_url, ids, timeout=150)
        result = await reconcile(client, system, ids)
        await client.close()
    assert result.problems == ()
    assert result.max_dials_of_one_attempt == 1
    assert dying.restarts == 1
