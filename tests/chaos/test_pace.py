"""Three replicas share one pace and one set of slots: the provider's own ledger says that neither is ever exceeded."""

import asyncio
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client

from centralita.demo.campaign import publish
from centralita.demo.documents import wait_until_projected
from centralita.embedded.ledger import (
    dials,
    max_concurrent,
    max_dials_in_window,
    rate_utilization,
    set_callee_behaviour,
    slot_utilization,
)
from centralita.embedded.system import System, running
from contracts import CallRequested, call_id_of

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}
PER_SECOND, AT_ONCE, OF_ONE_CAMPAIGN = 6, 8, 7
BUSY, RINGS = "+12125550101", "+12125550102"
SETTINGS = {
    "TWILIO_CALLS_PER_SECOND": str(PER_SECOND),
    "MAX_CONCURRENT_CALLS": str(AT_ONCE),
    "MAX_CONCURRENT_CALLS_PER_CAMPAIGN": str(OF_ONE_CAMPAIGN),
}
STALLED = 0.6
"""Below it something waits that need not: `python -m bench.pace` measures the share on a machine of its own."""


def requests(campaign: str, number: str, count: int) -> list[CallRequested]:
    return [
        CallRequested(
            request_id=f"{campaign}-{index}",
            campaign_id=campaign,
            contact_id=str(index),
            phone_number=number,
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


def ids(wanted: list[CallRequested]) -> set[str]:
    return {str(call_id_of(request.request_id or "")) for request in wanted}


@pytest.mark.timeout(420)
async def test_no_second_and_no_slot_holds_more_than_it_may_whatever_is_killed(tmp_path: Path) -> None:
    fleet = {"call-orchestrator": 3, "voice": 3}
    async with running(tmp_path, environment=ENVIRONMENT, speed=10, settings=SETTINGS, replicas=fleet) as system:
        client = await nats.connect(system.nats_url)
        assert system.vendors.control
        await set_callee_behaviour(system.vendors.control, BUSY, "busy")
        await set_callee_behaviour(system.vendors.control, RINGS, "no_answer")

        quick = requests("quick", BUSY, 36)
        await call_all(client, system, quick)
        by_pace = await dials(system.vendors.control)
        assert max_dials_in_window(dial.created_at for dial in by_pace) <= PER_SECOND
        assert rate_utilization([dial.created_at for dial in by_pace], PER_SECOND) > STALLED

        large, small = requests("large", RINGS, 30), requests("small", RINGS, 8)
        await call_all(client, system, large, small)
        by_slots = (await dials(system.vendors.control))[len(by_pace) :]
        assert max_dials_in_window(dial.created_at for dial in by_slots) <= PER_SECOND
        assert max_concurrent(by_slots) <= AT_ONCE
        assert max_concurrent(dial for dial in by_slots if dial.call_id in ids(large)) <= OF_ONE_CAMPAIGN
        assert slot_utilization(by_slots, AT_ONCE) > STALLED
        order = [dial.call_id in ids(small) for dial in by_slots]
        assert order.index(True) <= AT_ONCE, "the small campaign has not waited for the large one"
        assert sum(order[: 2 * AT_ONCE + len(small)]) == len(small), "it took every other turn"

        killed = requests("killed", RINGS, 24)
        publishing = asyncio.create_task(call_all(client, system, killed))
        for name in ("call-orchestrator", "voice-2", "call-orchestrator-3"):
            await asyncio.sleep(0.7)
            system.services[name].kill()
        await publishing
        through_it_all = (await dials(system.vendors.control))[len(by_pace) + len(by_slots) :]
        assert max_dials_in_window(dial.created_at for dial in through_it_all) <= PER_SECOND
        assert max_concurrent(through_it_all) <= AT_ONCE
        await client.close()
