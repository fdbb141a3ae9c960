"""Makes the server hold the streams and consumers that the contracts describe. Safe to run by every replica."""

from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, ObjectStoreConfig, StorageType, StreamConfig
from nats.js.errors import BadRequestError, NotFoundError

from contracts.streams import CLIPS_BUCKET, CONSUMERS, STREAMS, Consumer, Stream

CLIPS_MAX_BYTES = 512 * 1024 * 1024
CLIPS_MAX_AGE = 7 * 24 * 3600.0
_NAME_IN_USE = 10058


async def provision(js: JetStreamContext) -> None:
    """Creates or updates every stream, every durable consumer and the Object Store of clips."""
    for stream in STREAMS:
        await _stream(js, stream)
    for consumer in CONSUMERS:
        await js.add_consumer(consumer.stream.name, config=consumer_config(consumer))
    try:
        await js.object_store(CLIPS_BUCKET)
    except NotFoundError:
        config = ObjectStoreConfig(description="Speech that repeats", max_bytes=CLIPS_MAX_BYTES, ttl=CLIPS_MAX_AGE)
        await js.create_object_store(CLIPS_BUCKET, config=config)


async def _stream(js: JetStreamContext, stream: Stream) -> None:
    config = StreamConfig(
        name=stream.name,
        description=stream.description,
        subjects=list(stream.subjects),
        storage=StorageType.FILE,
        # A full stream refuses the newest, loudly, before it is accepted (law 5). The server allows no schedules in a
        # stream that does so (error 10052): the log has no limit instead, and so never drops its oldest.
        discard=DiscardPolicy.OLD if stream.schedules else DiscardPolicy.NEW,
        max_age=stream.max_age,
        max_bytes=stream.max_bytes,
        allow_direct=True,
        allow_msg_schedules=stream.schedules or None,
    )
    try:
        await js.add_stream(config)
    except BadRequestError as error:
        if error.err_code != _NAME_IN_USE:
            raise
        await js.update_stream(config)


def consumer_config(consumer: Consumer) -> ConsumerConfig:
    """A durable push consumer with a queue group: a message goes to one replica, and to another if that one dies.

    ``max_deliver`` is left open: giving up is done by `chassis.subscriptions`, which keeps the message.
    """
    return ConsumerConfig(
        durable_name=consumer.name,
        filter_subjects=list(consumer.filters),
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=consumer.ack_wait,
        max_ack_pending=consumer.workers * 4,
        deliver_subject=consumer.deliver_subject,
        deliver_group=consumer.name,
    )
