"""Makes the server hold the streams and consumers that the contracts describe. Safe to run again.

``python -m chassis.provision``, once before the services start and after every change of the contracts, with a
``NATS_URL`` that holds the user ``admin``: no service may make or change a stream or a durable consumer.
"""

import asyncio
import sys
from dataclasses import replace
from functools import partial

import nats
import structlog
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import APIError, BadRequestError, NotFoundError
from pydantic import Field

from chassis import logging_setup as logs
from chassis.addresses import connection
from chassis.buckets import buckets
from chassis.connection_errors import on_bus_error
from chassis.leader_retry import retry_until_leader
from chassis.replicas import Replicas, no_fewer
from chassis.settings import ServiceSettings, read
from contracts import Service
from contracts.permissions import ADMIN, WORK
from contracts.streams import CONSUMERS, STREAMS, Consumer, Stream

_NAME_IN_USE = 10058
_TOO_FEW_NODES = (10005, 10074)
"""No suitable peers for placement; replicas > 1 not supported in non-clustered mode (nats-server ``errors.json``)."""
_MAX_PAUSE_SECONDS = 5.0

logger = structlog.get_logger()


class NotEnoughNodes(Exception):
    """Fewer servers than each stream is to stand on."""


class Settings(ServiceSettings):
    """What provisioning is told."""

    nats_replicas: Replicas = Field(default=Replicas.ONE, description="on so many nodes each stream stands: 1, 3 or 5")


async def provision(js: JetStreamContext, *, replicas: int = 1) -> None:
    """Creates or updates every stream, every durable consumer, and the buckets of clips and of answers.

    Each stands on `replicas` nodes at least: one that stands on more of them stays there, and the log says so.
    Durable consumers are where their stream is. Raises NotEnoughNodes.
    """
    try:
        for stream in STREAMS:
            await _stream(js, stream_config(stream, replicas=replicas))
        for consumer in CONSUMERS:
            await js.add_consumer(consumer.stream.name, config=consumer_config(consumer))
        await buckets(js, replicas)
    except APIError as error:
        if error.err_code in _TOO_FEW_NODES:
            raise NotEnoughNodes(f"this NATS has no {replicas} nodes that keep streams: {error.description}") from error
        raise


async def _stream(js: JetStreamContext, config: StreamConfig) -> None:
    try:
        await js.add_stream(config)
    except BadRequestError as error:
        if error.err_code != _NAME_IN_USE:
            raise
        there = (await js.stream_info(config.name or "")).config
        await js.update_stream(replace(config, num_replicas=no_fewer(there, config.num_replicas or 1)))


def stream_config(stream: Stream, *, replicas: int = 1) -> StreamConfig:
    """What the contracts say of a stream, as the server is told it; on how many nodes it stands is the operator's."""
    return StreamConfig(
        name=stream.name,
        description=stream.description,
        subjects=list(stream.subjects),
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        num_replicas=replicas,
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


async def wait_until_provisioned(js: JetStreamContext, service: Service) -> None:
    """Waits until the server holds what `service` works on. It may have been started before anybody made it."""
    work, pause = WORK[service], 0.2
    while True:
        try:
            for stream in (*work.reads, *work.follows):
                await retry_until_leader(partial(js.stream_info, stream.name))
            for consumer in work.handles:
                await retry_until_leader(partial(js.consumer_info, consumer.stream.name, consumer.name))
        except NotFoundError:
            logger.warning("not_provisioned", again_in_seconds=pause, advice="run python -m chassis.provision")
            await asyncio.sleep(pause)
            pause = min(2 * pause, _MAX_PAUSE_SECONDS)
        else:
            return


async def _main() -> None:
    settings = read(Settings)
    logs.configure("provision", settings.log_level)
    to = connection(settings.nats_url)
    client = await nats.connect(**to, name=ADMIN, error_cb=on_bus_error, allow_reconnect=False)
    try:
        await provision(client.jetstream(), replicas=settings.nats_replicas)
    except NotEnoughNodes as error:
        sys.stderr.write(f"NATS_REPLICAS: {error} (see .env.example)\n")
        raise SystemExit(1) from None
    finally:
        await client.close()
    logger.info("provisioned")


if __name__ == "__main__":
    asyncio.run(_main())
