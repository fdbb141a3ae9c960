"""The edge takes an outcome for that of its request only if it is about the position at which the request is stored."""

import asyncio
from typing import TYPE_CHECKING

from nats.aio.client import Client

from contracts import Call, CommandOutcome, outcome_subject
from contracts.streams import REQUESTS

if TYPE_CHECKING:
    from tests.integration.edge.conftest import As, Orchestrator

REFUSED = CommandOutcome(accepted=False, reasons=("the call has ended",))


async def publish(client: Client, message_id: str, outcome: CommandOutcome) -> None:
    await client.publish(outcome_subject(message_id), outcome.model_dump_json().encode())


async def test_the_outcome_of_another_message_with_the_same_id_is_ignored(
    as_: "As", waiting: Call, orchestrator: "Orchestrator", bus_client: Client
) -> None:
    """A user that reads REQUESTS publishes a command with the id of the edge's, and it is decided first."""
    orchestrator.silent = True
    asked = await bus_client.subscribe("call.cancel_requested.*")
    answering = asyncio.create_task(as_("desk").post(f"/api/v1/calls/{waiting.call_id}/cancel"))
    message_id = ((await asked.next_msg(timeout=60)).headers or {})["Nats-Msg-Id"]
    sequence = (await bus_client.jetstream().stream_info(REQUESTS.name)).state.last_seq
    await publish(bus_client, message_id, CommandOutcome(accepted=True, request_sequence=sequence + 1))
    await publish(bus_client, message_id, REFUSED.model_copy(update={"request_sequence": sequence}))
    assert (await answering).status_code == 409
