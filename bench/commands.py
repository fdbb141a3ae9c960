"""What a cancel of an existing call costs while thousands of requests are queued: one orchestrator, in this process."""

import asyncio
import statistics
import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from nats.aio.client import Client
from structlog.testing import capture_logs

from call_orchestrator.composition import build
from call_orchestrator.settings import Settings
from chassis.provision import provision
from chassis.serve import connect_bus
from contracts import CallCancelRequested, CallRequested, CommandOutcome, Event, Service, call_id_of, outcome_subject
from contracts.consumers import ORCHESTRATOR_REQUESTS
from contracts.streams import REQUESTS

QUEUED = 3_000
ROUNDS = 3
MAX_CANCEL_SECONDS = 1


async def cancel_times(url: str) -> tuple[float, float, float]:
    """Returns the median seconds of a cancel behind `QUEUED` requests, and of one without, and their ratio."""
    bus = await connect_bus(Service.ORCHESTRATOR, url)
    await provision(bus.client)
    with capture_logs():
        async with build(
            Settings.model_validate({"allowed_countries": "US", "number_digest_key": "A" * 43 + "="}), bus
        ):
            await bus.broker.start()
            queued, alone = [], []
            for _ in range(ROUNDS):
                alone.append(await _cancel(bus.client, behind=0))
                queued.append(await _cancel(bus.client, behind=QUEUED))
            await bus.broker.stop()
    behind_seconds, alone_seconds = statistics.median(queued), statistics.median(alone)
    return behind_seconds, alone_seconds, behind_seconds / alone_seconds


async def _cancel(client: Client, *, behind: int) -> float:
    request_id = str(uuid4())
    await _outcome(client, _request(request_id))
    js = client.jetstream(publish_async_max_pending=QUEUED)
    acks = [await js.publish_async(one.subject, one.model_dump_json().encode()) for one in _requests(behind)]
    await asyncio.gather(*acks)
    began_at = time.perf_counter()
    outcome = await _outcome(client, CallCancelRequested(call_id=call_id_of(request_id)))
    seconds = time.perf_counter() - began_at
    assert outcome.accepted
    while await _is_busy(client):  # noqa: ASYNC110  the server does not report it
        await asyncio.sleep(0.1)
    return seconds


def _requests(count: int) -> list[CallRequested]:
    return [_request(str(uuid4())) for _ in range(count)]


def _request(request_id: str) -> CallRequested:
    return CallRequested(
        request_id=request_id,
        campaign_id="bench",
        contact_id="1",
        phone_number="+12125550123",
        script_template="Hello.",
        language="en",
        scheduled_at=datetime.now(UTC) + timedelta(days=1),
    )


async def _outcome(client: Client, event: Event) -> CommandOutcome:
    id = str(uuid4())
    outcomes = await client.subscribe(outcome_subject(id))
    await client.jetstream().publish(event.subject, event.model_dump_json().encode(), headers={"ce-id": id})
    message = await outcomes.next_msg(timeout=60)
    await outcomes.unsubscribe()
    return CommandOutcome.model_validate_json(message.data)


async def _is_busy(client: Client) -> bool:
    info = await client.jetstream().consumer_info(REQUESTS.name, ORCHESTRATOR_REQUESTS.name)
    return bool(info.num_pending or info.num_ack_pending)
