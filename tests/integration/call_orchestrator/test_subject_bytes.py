"""A message whose subject is not UTF-8 does not silence a service."""

import asyncio
from urllib.parse import urlsplit

from nats.aio.client import Client
from tests.integration.call_orchestrator.conftest import outcome_of, running

from contracts import CallCancelRequested
from contracts.streams import DEAD_LETTERS, REQUESTS


async def publish_raw(nats_url: str, subject: bytes) -> None:
    """Publishes a message without a client, because nats-py encodes subjects as UTF-8."""
    address = urlsplit(nats_url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    await reader.readline()
    writer.write(b'CONNECT {"verbose":false}\r\nPUB ' + subject + b" 2\r\n{}\r\nPING\r\n")
    assert await reader.readline() == b"PONG\r\n"
    writer.close()


async def test_a_command_with_such_a_subject_becomes_a_dead_letter_and_the_next_one_is_decided(
    nats_url: str, bus_client: Client
) -> None:
    js = bus_client.jetstream()
    async with running(nats_url, 1):
        await publish_raw(nats_url, b"call.cancel_requested.\xff\xfe")
        async with asyncio.timeout(60):
            while not (await js.stream_info(DEAD_LETTERS.name)).state.messages:
                await asyncio.sleep(0.05)
        outcome = await outcome_of(bus_client, CallCancelRequested.model_validate({"call_id": "0" * 32}))
    assert not outcome.accepted
    assert (await js.stream_info(REQUESTS.name)).state.last_seq == 2
