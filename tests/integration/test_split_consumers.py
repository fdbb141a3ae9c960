"""Provisioning splits the consumer of an older build and delivers nothing that was handled."""

import asyncio

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import ConsumerInfo

from chassis.provision import consumer_config, provision
from contracts import CallCancelRequested, CallRequested, CallRetryRequested, Event, call_id_of
from contracts.consumers import ORCHESTRATOR_COMMANDS, ORCHESTRATOR_REQUESTS
from contracts.examples import EXAMPLES
from contracts.streams import REQUESTS

CALL_ID = call_id_of("r-1")
REQUEST = EXAMPLES[CallRequested.event_name]
CANCEL, RETRY = CallCancelRequested(call_id=CALL_ID), CallRetryRequested(call_id=CALL_ID)


async def use_the_old_consumer(js: JetStreamContext) -> None:
    """Replaces both consumers by the one of an older build, which delivered requests and commands."""
    for consumer in (ORCHESTRATOR_REQUESTS, ORCHESTRATOR_COMMANDS):
        await js.delete_consumer(REQUESTS.name, consumer.name)
    old = consumer_config(ORCHESTRATOR_REQUESTS)
    old.filter_subjects = [*ORCHESTRATOR_REQUESTS.filters, *ORCHESTRATOR_COMMANDS.filters]
    old.max_ack_pending = 256
    await js.add_consumer(REQUESTS.name, config=old)


async def publish(js: JetStreamContext, *events: Event) -> None:
    for event in events:
        await js.publish(event.subject, event.model_dump_json().encode())


async def handle(client: Client, count: int) -> None:
    """Acknowledges this many messages of the old consumer."""
    name = ORCHESTRATOR_REQUESTS.name
    messages = await client.subscribe(ORCHESTRATOR_REQUESTS.deliver_subject, queue=name)
    for _ in range(count):
        await (await messages.next_msg(timeout=60)).ack_sync()
    await messages.unsubscribe()


async def pending(js: JetStreamContext) -> tuple[int, int]:
    """Returns how many requests and how many commands the server has yet to deliver."""
    requests, commands = [
        await js.consumer_info(REQUESTS.name, one.name) for one in (ORCHESTRATOR_REQUESTS, ORCHESTRATOR_COMMANDS)
    ]
    return _waiting(requests), _waiting(commands)


def _waiting(info: ConsumerInfo) -> int:
    return (info.num_pending or 0) + (info.num_ack_pending or 0)


async def until_pending(js: JetStreamContext, requests: int, commands: int) -> None:
    """Waits until the server has yet to deliver so many of both: it counts a message some time after it is stored."""
    async with asyncio.timeout(60):
        while await pending(js) != (requests, commands):
            await asyncio.sleep(0.02)


async def test_the_new_consumer_begins_after_what_the_old_one_has_handled(bus_client: Client) -> None:
    js = bus_client.jetstream()
    await use_the_old_consumer(js)
    await publish(js, REQUEST, RETRY, CANCEL)
    await handle(bus_client, 3)
    await publish(js, CANCEL, REQUEST, RETRY)
    await provision(bus_client)
    await until_pending(js, 1, 2)
    commands = await js.consumer_info(REQUESTS.name, ORCHESTRATOR_COMMANDS.name)
    assert commands.config.opt_start_seq == 4


async def test_provisioning_again_changes_nothing(bus_client: Client) -> None:
    js = bus_client.jetstream()
    await use_the_old_consumer(js)
    await publish(js, RETRY)
    await handle(bus_client, 1)
    await provision(bus_client)
    await publish(js, REQUEST, RETRY)
    await provision(bus_client)
    await until_pending(js, 1, 1)
    requests = await js.consumer_info(REQUESTS.name, ORCHESTRATOR_REQUESTS.name)
    assert requests.config.filter_subjects == ["call.requested"] or requests.config.filter_subject == "call.requested"


async def test_a_new_installation_delivers_every_command(bus_client: Client) -> None:
    js = bus_client.jetstream()
    await js.delete_consumer(REQUESTS.name, ORCHESTRATOR_COMMANDS.name)
    await publish(js, REQUEST, RETRY)
    await handle(bus_client, 1)
    await provision(bus_client)
    await until_pending(js, 0, 1)  # the consumer of requests never delivered commands


async def test_the_new_consumer_delivers_a_command_that_the_old_one_had_not_acknowledged(bus_client: Client) -> None:
    js = bus_client.jetstream()
    await use_the_old_consumer(js)
    await publish(js, REQUEST, RETRY, REQUEST, CANCEL)
    messages = await bus_client.subscribe(ORCHESTRATOR_REQUESTS.deliver_subject, queue=ORCHESTRATOR_REQUESTS.name)
    delivered = [await messages.next_msg(timeout=60) for _ in range(4)]
    await delivered[0].ack_sync()
    await messages.unsubscribe()
    await provision(bus_client)
    assert (await pending(js))[1] == 2
