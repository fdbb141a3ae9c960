"""What no event tells: how much waits for each consumer, what nobody could use, how the busiest campaigns stand."""

import asyncio

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from prometheus_client import Gauge
from pymongo.errors import PyMongoError

from campaign_stats.store import Store
from contracts import CallStatus
from contracts.streams import CONSUMERS, DEAD_LETTERS, Consumer

EVERY_SECONDS = 5.0
CAMPAIGNS = 20
"""So many have series of their own; the sum of all has them always. Without a bound, each campaign would cost memory in
Prometheus for as long as it keeps anything."""

PENDING = Gauge("centralita_consumer_pending_messages", "Messages that a consumer has not been given yet", ["consumer"])
UNACKNOWLEDGED = Gauge("centralita_consumer_unacknowledged_messages", "Messages that are being handled", ["consumer"])
REDELIVERED = Gauge("centralita_consumer_redelivered_messages", "Of these, those that came before", ["consumer"])
UNUSABLE = Gauge("centralita_dead_letter_messages", "Messages in the stream of dead letters")
CALLS = Gauge(
    "centralita_campaign_calls", "Calls by status, of the campaigns with most calls open", ["campaign", "status"]
)

logger = structlog.get_logger()


async def watch(client: Client, store: Store) -> None:
    """Looks every few seconds until cancelled. What cannot be looked at has no series meanwhile, rather than old ones.

    Every replica looks: their series are the same, so take the maximum of them and not the sum.
    """
    while True:
        try:
            await _bus(client.jetstream())
            await _campaigns(store)
        except (NatsError, PyMongoError, TimeoutError) as error:
            for gauge in (PENDING, UNACKNOWLEDGED, REDELIVERED, CALLS):
                gauge.clear()
            logger.warning("not_watched", error=type(error).__name__)
        await asyncio.sleep(EVERY_SECONDS)


async def _bus(js: JetStreamContext) -> None:
    await asyncio.gather(*(_consumer(js, consumer) for consumer in CONSUMERS))
    UNUSABLE.set((await js.stream_info(DEAD_LETTERS.name)).state.messages)


async def _consumer(js: JetStreamContext, consumer: Consumer) -> None:
    info = await js.consumer_info(consumer.stream.name, consumer.name)
    PENDING.labels(consumer=consumer.name).set(info.num_pending or 0)
    UNACKNOWLEDGED.labels(consumer=consumer.name).set(info.num_ack_pending or 0)
    REDELIVERED.labels(consumer=consumer.name).set(info.num_redelivered or 0)


async def _campaigns(store: Store) -> None:
    busiest = await store.busiest(CAMPAIGNS)
    CALLS.clear()
    for campaign, sums in busiest.items():
        for status in CallStatus:
            if status.value in sums:
                CALLS.labels(campaign=campaign, status=status.value).set(sums[status.value])
