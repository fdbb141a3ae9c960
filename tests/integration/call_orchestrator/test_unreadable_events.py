"""Events about slots that a replica cannot decode."""

import asyncio

from nats.aio.client import Client
from nats.js.errors import NotFoundError
from tests.integration.call_orchestrator.conftest import Ask, running

from chassis.metrics import UNREADABLE
from contracts import AdmissionGranted
from contracts.streams import CALLS


async def test_a_replica_that_cannot_decode_a_grant_grants_nothing_until_it_can(
    nats_url: str, bus_client: Client, ask: Ask
) -> None:
    js, met = bus_client.jetstream(), UNREADABLE.labels(reader="admission")
    before = met._value.get()
    unreadable = await js.publish(AdmissionGranted.subjects(), b'{"due_sequence": "of a newer build"}')
    async with running(nats_url, 1):
        await ask("spring", 1)
        async with asyncio.timeout(60):
            while met._value.get() < before + 2:
                await asyncio.sleep(0.05)
    assert (await js.get_last_msg(CALLS.name, AdmissionGranted.subjects())).seq == unreadable.seq
    await js.delete_msg(CALLS.name, unreadable.seq)
    async with running(nats_url, 1), asyncio.timeout(60):
        while True:  # a grant is appended now
            try:
                await js.get_last_msg(CALLS.name, AdmissionGranted.subjects())
                break
            except NotFoundError:
                await asyncio.sleep(0.05)
