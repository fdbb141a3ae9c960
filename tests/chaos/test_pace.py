"""Three replicas share one rate limit and one set of slots; the provider's own ledger shows that both are kept.

`python -m bench.pace` measures on an idle machine whether both are used, without needless waiting.
"""

import asyncio
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client

from centralita.demo.campaign import publish
from centralita.demo.documents import wait_until_projected
from centralita.embedded.fictional_numbers import fictional_number
from centralita.embedded.ledger import (
    dials,
    max_concurrent,
    max_dials_in_window,
    set_callee_behaviour,
)
from centralita.embedded.system import System, running
from chassis.stream_api import jetstream_of
from contracts import CallCreated, CallRequested, call_id_of
from contracts.streams import CALLS

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}
DIALS_PER_SECOND, SLOTS, CAMPAIGN_SLOTS = 6, 8, 7
SETTINGS = {
    "TWILIO_CALLS_PER_SECOND": str(DIALS_PER_SECOND),
    "MAX_CONCURRENT_CALLS": str(SLOTS),
    "MAX_CONCURRENT_CALLS_PER_CAMPAIGN": str(CAMPAIGN_SLOTS),
}
VOICES = ("voice", "voice-2", "voice-3")


def requests(campaign: str, first: int, count: int) -> list[CallRequested]:
    return [
        CallRequested(
            request_id=f"{campaign}-{index}",
            campaign_id=campaign,
            contact_id=str(index),
            phone_number=fictional_number(first + index),
            script_template="Hello.",
            language="en",
            max_retries=0,
            call_timeout_seconds=20,
        )
        for index in range(count)
    ]


async def call_all(client: Client, system: System, *campaigns: list[CallRequested]) -> None:
    for wanted in campaigns:
        await publish(client, wanted)
    ids = [call_id_of(request.request_id or "") for wanted in campaigns for request in wanted]
    await wait_until_projected(system.mongo_url, ids, timeout=240)


async def until_created(client: Client, count: int) -> None:
    """Waits until the log has so many calls."""
    async with asyncio.timeout(60):
        while True:
            info = await jetstream_of(client, CALLS.name, timeout=60).stream_info(
                CALLS.name, subjects_filter=CallCreated.subjects()
            )
            if sum((info.state.subjects or {}).values()) >= count:
                return
            await asyncio.sleep(0.1)


def ids(wanted: list[CallRequested]) -> set[str]:
    return {str(call_id_of(request.request_id or "")) for request in wanted}


@pytest.mark.timeout(420)
async def test_rate_limit_and_slots_are_kept_when_replicas_are_killed(tmp_path: Path) -> None:
    replicas = {"call-orchestrator": 3, "voice": 3}
    async with running(tmp_path, environment=ENVIRONMENT, speed=10, settings=SETTINGS, replicas=replicas) as system:
        client = await nats.connect(system.nats_url)
        assert system.vendors.control
        for index in range(300):
            behaviour = "busy" if index < 100 else "no_answer"
            await set_callee_behaviour(system.vendors.control, fictional_number(index), behaviour)

        quick = requests("quick", 0, 36)
        await call_all(client, system, quick)
        at_rate_limit = await dials(system.vendors.control)
        assert max_dials_in_window(dial.created_at for dial in at_rate_limit) <= DIALS_PER_SECOND

        large, small = requests("large", 100, 30), requests("small", 150, 8)
        for name in VOICES:  # no call is dialled before those of both campaigns wait
            system.services[name].pause()
        for wanted in (large, small):
            await publish(client, wanted)
        await until_created(client, len(quick) + len(large) + len(small))
        for name in VOICES:
            system.services[name].resume()
        await call_all(client, system, large, small)
        at_slot_limit = (await dials(system.vendors.control))[len(at_rate_limit) :]
        assert max_dials_in_window(dial.created_at for dial in at_slot_limit) <= DIALS_PER_SECOND
        assert max_concurrent(at_slot_limit) <= SLOTS
        assert max_concurrent(dial for dial in at_slot_limit if dial.call_id in ids(large)) <= CAMPAIGN_SLOTS
        order = [dial.call_id in ids(small) for dial in at_slot_limit]
        assert order.index(True) <= SLOTS, "the small campaign did not wait for the large one"
        assert sum(order[: 2 * SLOTS + len(small)]) == len(small), "the two campaigns were served alternately"

        killed = requests("killed", 200, 24)
        publishing = asyncio.create_task(call_all(client, system, killed))
        for name in ("call-orchestrator", "voice-2", "call-orchestrator-3"):
            await asyncio.sleep(0.7)
            system.services[name].kill()
        await publishing
        during_kills = (await dials(system.vendors.control))[len(at_rate_limit) + len(at_slot_limit) :]
        assert max_dials_in_window(dial.created_at for dial in during_kills) <= DIALS_PER_SECOND
        assert max_concurrent(during_kills) <= SLOTS
        await client.close()
