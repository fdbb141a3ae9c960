"""Creating the buckets that `contracts.buckets` describes."""

from dataclasses import replace

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import KeyValueConfig, ObjectStoreConfig
from nats.js.errors import NotFoundError

from chassis.replicas import at_least_existing
from chassis.stream_api import jetstream_of
from contracts.buckets import BUCKETS, Bucket, KeyValueBucket, ObjectBucket


async def provision_buckets(client: Client, replicas: int) -> None:
    """Creates the buckets that do not exist, and adds replicas to those that do."""
    for bucket in BUCKETS:
        js = jetstream_of(client, bucket.stream.name)
        try:
            existing = (await js.stream_info(bucket.stream.name)).config
        except NotFoundError:
            await _create(js, bucket, replicas)
            continue
        if (wanted := at_least_existing(existing, replicas)) != existing.num_replicas:
            await js.update_stream(replace(existing, num_replicas=wanted))


async def _create(js: JetStreamContext, bucket: Bucket, replicas: int) -> None:
    match bucket:
        case ObjectBucket():
            config = ObjectStoreConfig(
                description=bucket.description,
                max_bytes=bucket.max_bytes,
                ttl=float(bucket.max_age_seconds),
                replicas=replicas,
            )
            await js.create_object_store(bucket.name, config=config)
        case KeyValueBucket():
            await js.create_key_value(
                KeyValueConfig(
                    bucket.name,
                    description=bucket.description,
                    max_bytes=bucket.max_bytes,
                    max_value_size=bucket.max_value_bytes,
                    ttl=float(bucket.max_age_seconds),
                    direct=True,
                    replicas=replicas,
                )
            )
        case _:
            raise TypeError(f"bucket {bucket.name} is of no known kind")
