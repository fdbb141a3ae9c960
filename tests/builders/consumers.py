"""Whether a consumer has nothing left to do."""

from contextlib import suppress

from nats.aio.client import Client
from nats.js.errors import NotFoundError

from chassis.stream_api import jetstream_of
from contracts.consumers import Consumer


async def is_settled(client: Client, consumer: Consumer) -> bool:
    """Returns whether every stored message is delivered, and each of them acknowledged or terminated.

    The server counts a message as pending some time after it has stored it. So its sequence is compared, too.
    """
    js, newest = jetstream_of(client, consumer.stream.name), 0
    for filter in consumer.filters:
        with suppress(NotFoundError):
            newest = max(newest, (await js.get_last_msg(consumer.stream.name, filter)).seq or 0)
    info = await js.consumer_info(consumer.stream.name, consumer.name)
    delivered = info.delivered.stream_seq if info.delivered else 0
    return delivered >= newest and not info.num_pending and not info.num_ack_pending
