"""Makes the server hold the streams and consumers that the contracts describe. Safe to run again.

``python -m chassis.provision``, once before the services start and after every change of the contracts, with a
``NATS_URL`` that holds the user ``admin``: no service may make or change a stream or a durable consumer.
"""

import asyncio

import nats
import structlog
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    KeyValueConfig,
    ObjectStoreConfig,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import BadRequestError, NotFoundError

from chassis import logs
from chassis.refusals import on_bus_error
from chassis.settings import ServiceSettings, read
from contracts import Service
from contracts.permissions import ADMIN, WORK
from contracts.streams import ANSWERS_BUCKET, CLIPS_BUCKET, CONSUMERS, STREAMS, Consumer, Stream

CLIPS_MAX_BYTES = 512 * 1024 * 1024
CLIPS_MAX_AGE = 7 * 24 * 3600.0
ANSWERS_MAX_BYTES = 16 * 1024 * 1024
ANSWERS_MAX_AGE = 24 * 3600.0
ANSWER_MAX_BYTES = 4096
_NAME_IN_USE = 10058
_LONGEST_PAUSE_SECONDS = 5.0

logger = structlog.get_logger()


async def provision(js: JetStreamContext) -> None:
    """Creates or updates every stream, every durable consumer, and the buckets of clips and of answers."""
    for stream in STREAMS:
        await _stream(js, stream)
    for consumer in CONSUMERS:
        await js.add_consumer(consumer.stream.name, config=consumer_config(consumer))
    try:
        await js.object_store(CLIPS_BUCKET)
    except NotFoundError:
        config = ObjectStoreConfig(description="Speech that repeats", max_bytes=CLIPS_MAX_BYTES, ttl=CLIPS_MAX_AGE)
        await js.create_object_store(CLIPS_BUCKET, config=config)
    try:
        await js.key_value(ANSWERS_BUCKET)
    except NotFoundError:
        await js.create_key_value(
            KeyValueConfig(
                ANSWERS_BUCKET,
                description="Answers to frequent questions; each expires by itself",
                max_bytes=ANSWERS_MAX_BYTES,
                max_value_size=ANSWER_MAX_BYTES,
                ttl=ANSWERS_MAX_AGE,
                direct=True,
            )
        )


async def _stream(js: JetStreamContext, stream: Stream) -> None:
    config = stream_config(stream)
    try:
        await js.add_stream(config)
    except BadRequestError as error:
        if error.err_code != _NAME_IN_USE:
            raise
        await js.update_stream(config)


def stream_config(stream: Stream) -> StreamConfig:
    """What the contracts say of a stream, as the server is told it."""
    return StreamConfig(
        name=stream.name,
        description=stream.description,
        subjects=list(stream.subjects),
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        # A full stream refuses the newest, loudly, before it is accepted (law 5). The server allows no schedules in a
        # stream that does so (error 10052): the log has no limit instead, and so never drops its oldest.
        discard=DiscardPolicy.OLD if stream.schedules else DiscardPolicy.NEW,
        max_age=stream.max_age,
        max_bytes=stream.max_bytes,
        max_msgs_per_subject=1 if stream.newest_only else -1,
        deny_delete=stream.append_only,
        deny_purge=stream.append_only,
        allow_direct=True,
        allow_msg_schedules=stream.schedules or None,
    )


def consumer_config(consumer: Consumer) -> ConsumerConfig:
    """A durable push consumer with a queue group: a message goes to one replica, and to another if that one dies.

    ``max_deliver`` is left open: giving up is done by `chassis.subscriptions`, which keeps the message.
    """
    return ConsumerConfig(
        durable_name=consumer.name,
        filter_subjects=list(consumer.filters),
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=consumer.ack_wait,
        max_ack_pending=1 if consumer.in_order else consumer.workers * 4,
        deliver_subject=consumer.deliver_subject,
        deliver_group=consumer.name,
    )


async def until_provisioned(js: JetStreamContext, service: Service) -> None:
    """Waits until the server holds what `service` works on. It may have been started before anybody made it."""
    work, pause = WORK[service], 0.2
    while True:
        try:
            for stream in (*work.reads, *work.follows):
                await js.stream_info(stream.name)
            for consumer in work.handles:
                await js.consumer_info(consumer.stream.name, consumer.name)
        except NotFoundError:
            logger.warning("not_provisioned", again_in_seconds=pause, advice="run python -m chassis.provision")
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        else:
            return


async def _main() -> None:
    settings = read(ServiceSettings)
    logs.configure("provision", settings.log_level)
    client = await nats.connect(str(settings.nats_url), name=ADMIN, error_cb=on_bus_error, allow_reconnect=False)
    try:
        await provision(client.jetstream())
    finally:
        await client.close()
    logger.info("provisioned")


if __name__ == "__main__":
    asyncio.run(_main())
