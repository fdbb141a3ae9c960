"""Gauges that no event updates: backlogs, sizes of streams, dead letters, calls of the busiest campaigns."""

import asyncio

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from pymongo.errors import PyMongoError

from campaign_stats.metrics import (
    CAMPAIGN_CALLS,
    DEAD_LETTER_MESSAGES,
    PENDING,
    REDELIVERED,
    STREAM_BYTES,
    STREAM_MAX_BYTES,
    UNACKNOWLEDGED,
    WAITING_CONTACTS,
)
from campaign_stats.store import Store
from chassis.stream_api import jetstream_of
from contracts import CallStatus, ContactGroupAdded
from contracts.buckets import WATCHED_STREAMS
from contracts.consumers import CONSUMERS, Consumer
from contracts.streams import CONTACTS, DEAD_LETTERS, Stream

INTERVAL_SECONDS = 5.0
MAX_CAMPAIGNS = 20
"""Campaigns with series of their own; the sum of all campaigns always has them. Prometheus keeps every series it has
seen, so their number must be bounded."""

logger = structlog.get_logger()


async def watch(client: Client, store: Store) -> None:
    """Updates the gauges at each interval until cancelled. A gauge that cannot be updated has no series meanwhile.

    Every replica does this and their series are equal: take the maximum, not the sum.
    """
    while True:
        try:
            await _update_bus(client)
            await _update_campaigns(store)
        except (NatsError, PyMongoError, TimeoutError) as error:
            for gauge in (PENDING, UNACKNOWLEDGED, REDELIVERED, CAMPAIGN_CALLS, STREAM_BYTES):
                gauge.clear()
            logger.warning("gauges_not_updated", error=type(error).__name__)
        await asyncio.sleep(INTERVAL_SECONDS)


async def _update_bus(client: Client) -> None:
    await asyncio.gather(*(_update_consumer(client, consumer) for consumer in CONSUMERS))
    await asyncio.gather(*(_update_stream(client, stream) for stream in WATCHED_STREAMS))


async def _update_consumer(client: Client, consumer: Consumer) -> None:
    info = await jetstream_of(client, consumer.stream.name).consumer_info(consumer.stream.name, consumer.name)
    PENDING.labels(consumer=consumer.name).set(info.num_pending or 0)
    UNACKNOWLEDGED.labels(consumer=consumer.name).set(info.num_ack_pending or 0)
    REDELIVERED.labels(consumer=consumer.name).set(info.num_redelivered or 0)


async def _update_stream(client: Client, stream: Stream) -> None:
    groups = ContactGroupAdded.subjects() if stream == CONTACTS else None
    info = await jetstream_of(client, stream.name).stream_info(stream.name, subjects_filter=groups)
    STREAM_BYTES.labels(stream=stream.name).set(info.state.bytes)
    if (max_bytes := info.config.max_bytes or 0) > 0:
        STREAM_MAX_BYTES.labels(stream=stream.name).set(max_bytes)
    if stream == DEAD_LETTERS:
        DEAD_LETTER_MESSAGES.set(info.state.messages)
    if stream == CONTACTS:  # a message of it is a contact or a group
        WAITING_CONTACTS.set(info.state.messages - len(info.state.subjects or ()))


async def _update_campaigns(store: Store) -> None:
    busiest = await store.busiest(MAX_CAMPAIGNS)
    CAMPAIGN_CALLS.clear()
    for campaign, sums in busiest.items():
        for status in CallStatus:
            if status.value in sums:
                CAMPAIGN_CALLS.labels(campaign=campaign, status=status.value).set(sums[status.value])
