"""Dead letters as services store them, and the process that resends them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nats.aio.client import Client

from chassis.barrier import wait_until_processed
from chassis.dead_letter_service import Settings, build
from chassis.serve import connect_bus
from contracts.dead_letters import DeadLetter
from contracts.examples import EXAMPLES
from contracts.work import DEAD_LETTER_USER

REQUEST = EXAMPLES["call.requested"].model_dump_json().encode()


async def store_dead_letter(
    client: Client,
    subject: str = "call.requested",
    body: bytes = REQUEST,
    headers: dict[str, str] | None = None,
    **changes: object,
) -> int:
    """Publishes a message and a dead letter that refers to it; returns the number of the dead letter."""
    js = client.jetstream()
    ack = await js.publish(subject, body, headers=headers)
    dead_letter = DeadLetter.of(
        stream=ack.stream,
        sequence=ack.seq,
        consumer="orchestrator-requests",
        subject=subject,
        reasons=["Conflict at try 9"],
        deliveries=9,
    ).model_copy(update=changes)
    stored = await js.publish(dead_letter.dead_letter_subject, dead_letter.model_dump_json().encode())
    return stored.seq


@asynccontextmanager
async def dead_letter_process(url: str) -> AsyncIterator[Client]:
    """Runs the process of dead letters during the block, in this process; yields its connection."""
    bus = await connect_bus(DEAD_LETTER_USER, url)
    try:
        async with build(Settings(), bus), bus.before_drain:
            await bus.broker.start()
            await wait_until_processed(bus.client)
            yield bus.client
    finally:
        await bus.broker.stop()
