"""The Object Store of clips and the key-value bucket of answers, as the server is told them."""

from dataclasses import replace

from nats.js import JetStreamContext
from nats.js.api import KeyValueConfig, ObjectStoreConfig
from nats.js.errors import NotFoundError

from chassis.replicas import no_fewer
from contracts.streams import ANSWERS_BUCKET, CLIPS_BUCKET

CLIPS_MAX_BYTES = 512 * 1024 * 1024
CLIPS_MAX_AGE = 7 * 24 * 3600.0
ANSWERS_MAX_BYTES = 16 * 1024 * 1024
ANSWERS_MAX_AGE = 24 * 3600.0
ANSWER_MAX_BYTES = 4096
_ANSWERS = KeyValueConfig(
    ANSWERS_BUCKET,
    description="Answers to frequent questions; each expires by itself",
    max_bytes=ANSWERS_MAX_BYTES,
    max_value_size=ANSWER_MAX_BYTES,
    ttl=ANSWERS_MAX_AGE,
    direct=True,
)


async def buckets(js: JetStreamContext, replicas: int) -> None:
    """Makes the buckets, or gives those that are there as many replicas."""
    try:
        await js.object_store(CLIPS_BUCKET)
    except NotFoundError:
        clips = ObjectStoreConfig(description="Speech that repeats", max_bytes=CLIPS_MAX_BYTES, ttl=CLIPS_MAX_AGE)
        await js.create_object_store(CLIPS_BUCKET, config=replace(clips, replicas=replicas))
    try:
        await js.key_value(ANSWERS_BUCKET)
    except NotFoundError:
        await js.create_key_value(replace(_ANSWERS, replicas=replicas))
    for name in (f"OBJ_{CLIPS_BUCKET}", f"KV_{ANSWERS_BUCKET}"):
        there = (await js.stream_info(name)).config
        if (wanted := no_fewer(there, replicas)) != there.num_replicas:
            await js.update_stream(replace(there, num_replicas=wanted))
