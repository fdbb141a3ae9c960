"""Creates the streams, durable consumers and buckets that the contracts describe. It may be run again at any time.

Run ``python -m chassis.provision`` once before the services start and after every change of the contracts. Use a
``NATS_URL`` of the user ``admin``: services may not create or change a stream or a durable consumer.
"""

import asyncio
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial

import nats
import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    ConsumerInfo,
    DeliverPolicy,
    DiscardPolicy,
    RePublish,
    RetentionPolicy,
    StorageType,
    StreamConfig,
    StreamSource,
    SubjectTransform,
)
from nats.js.errors import APIError, BadRequestError, NotFoundError
from pydantic import Field

from chassis import logging_setup
from chassis.account_checks import LOAD_ACCOUNTS, LOAD_PERMISSIONS, find_missing_accounts
from chassis.addresses import connection
from chassis.buckets import provision_buckets
from chassis.connection_errors import on_bus_error
from chassis.leader_retry import NO_ANSWER, retry_until_leader
from chassis.migration_checks import NotMigrated, check_migrated
from chassis.recorded_requests import begin_record
from chassis.replicas import Replicas, at_least_existing
from chassis.settings import ServiceSettings, read
from chassis.stream_api import jetstream_of
from contracts.accounts import ADMIN
from contracts.consumers import CONSUMERS, RETIRED_CONSUMERS, Consumer
from contracts.streams import (
    AUDIT,
    CONTACTS,
    MEGABYTE,
    REQUESTS,
    STREAMS,
    Stream,
)

_NAME_IN_USE = 10058
_TOO_FEW_NODES = (10005, 10074)
"""The server's error codes (``errors.json``): no suitable peers for placement; not a cluster."""
CONNECT_SECONDS = 10
"""How long a server that is busy may take to accept the connection of an administrator."""
DUPLICATE_WINDOW_SECONDS = 120
"""How long a stream remembers each ``Nats-Msg-Id``."""

logger = structlog.get_logger()


class NotEnoughNodes(Exception):
    """The cluster has fewer nodes than each stream needs."""


class Settings(ServiceSettings):
    """The settings of ``python -m chassis.provision``."""

    nats_replicas: Replicas = Field(default=Replicas.ONE, description="nodes that keep each stream: 1, 3 or 5")
    requests_max_megabytes: int = Field(default=2048, ge=1, description="size of REQUESTS at which it refuses more")
    contacts_max_megabytes: int = Field(default=2048, ge=1, description="size of CONTACTS at which it refuses more")
    audit_max_megabytes: int = Field(default=512, ge=1, description="size of AUDIT at which it refuses more")

    @property
    def max_bytes(self) -> Mapping[str, int]:
        """The sizes of streams that the operator chooses, by the stream's name."""
        return {
            REQUESTS.name: self.requests_max_megabytes * MEGABYTE,
            CONTACTS.name: self.contacts_max_megabytes * MEGABYTE,
            AUDIT.name: self.audit_max_megabytes * MEGABYTE,
        }


async def provision(client: Client, *, replicas: int = 1, max_bytes: Mapping[str, int] | None = None) -> None:
    """Creates or updates every stream, durable consumer and bucket, each on at least `replicas` nodes.

    `max_bytes`: sizes that replace those of the contracts, by the stream's name.

    Removes the consumers that only older builds read.

    A stream that is on more nodes already stays on them; this is logged. A step without an answer is repeated, because
    a cluster that elects another leader answers nothing meanwhile. Raises NotMigrated, NotSealed, NotEnoughNodes.
    """
    await retry_until_leader(partial(check_migrated, client))
    try:
        for stream in STREAMS:
            size = (max_bytes or {}).get(stream.name, stream.max_bytes)
            config = stream_config(replace(stream, max_bytes=size), replicas=replicas)
            await retry_until_leader(partial(_stream, jetstream_of(client, stream.name), config))
        await retry_until_leader(partial(begin_record, client))
        for consumer in sorted(CONSUMERS, key=lambda one: one.split_from is None):  # before the other gives them up
            await retry_until_leader(partial(_consumer, jetstream_of(client, consumer.stream.name), consumer))
        for stream, name in RETIRED_CONSUMERS:
            with suppress(NotFoundError):
                await retry_until_leader(partial(jetstream_of(client, stream.name).delete_consumer, stream.name, name))
        await retry_until_leader(partial(provision_buckets, client, replicas))
    except APIError as error:
        if error.err_code in _TOO_FEW_NODES:
            raise NotEnoughNodes(f"fewer than {replicas} nodes keep streams: {error.description}") from error
        raise


async def _stream(js: JetStreamContext, config: StreamConfig) -> None:
    try:
        await js.add_stream(config)
    except BadRequestError as error:
        if error.err_code != _NAME_IN_USE:
            raise
        existing = (await js.stream_info(config.name or "")).config
        num_replicas = at_least_existing(existing, config.num_replicas or 1)
        await js.update_stream(replace(config, num_replicas=num_replicas, metadata=existing.metadata))


async def _consumer(js: JetStreamContext, consumer: Consumer) -> None:
    """Creates or updates a durable consumer. The server never changes where an existing one began."""
    config = consumer_config(consumer)
    if existing := await _existing(js, consumer):
        begin = existing.config
        config = replace(config, deliver_policy=begin.deliver_policy, opt_start_seq=begin.opt_start_seq)
    elif (handled_sequence := await _handled_sequence(js, consumer)) is not None:
        config = consumer_config(consumer, start_sequence=handled_sequence + 1)
    await js.add_consumer(consumer.stream.name, config=config)


async def _handled_sequence(js: JetStreamContext, consumer: Consumer) -> int | None:
    """Returns up to which sequence another consumer of an older build has handled these events; None if there is none.

    A new consumer that began at sequence 1 would deliver years of old commands again, and some would now be accepted.
    """
    former = await _existing(js, consumer.split_from) if consumer.split_from else None
    if former is None or not set(consumer.filters) <= set(former.config.filter_subjects or ()):
        return None
    return former.ack_floor.stream_seq if former.ack_floor else 0


async def _existing(js: JetStreamContext, consumer: Consumer) -> ConsumerInfo | None:
    info: ConsumerInfo | None = None
    with suppress(NotFoundError):
        info = await js.consumer_info(consumer.stream.name, consumer.name)
    return info


def stream_config(stream: Stream, *, replicas: int = 1) -> StreamConfig:
    """Returns the server's configuration of a stream. The contracts define all of it except the number of nodes."""
    return StreamConfig(
        name=stream.name,
        description=stream.description,
        subjects=list(stream.subjects),
        retention=RetentionPolicy.WORK_QUEUE if stream.work_queue else RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        num_replicas=replicas,
        # A full stream refuses new messages before they are accepted (law 5). The server refuses this setting in a
        # stream with schedules (error 10052). That stream has no limits, so it never drops its oldest message.
        discard=DiscardPolicy.OLD if stream.schedules else DiscardPolicy.NEW,
        max_age=stream.max_age,
        max_bytes=stream.max_bytes,
        max_msgs_per_subject=1 if stream.newest_only or stream.work_queue else -1,
        discard_new_per_subject=stream.work_queue,
        deny_delete=stream.append_only,
        deny_purge=stream.append_only,
        allow_direct=True,
        republish=None if stream.schedules else RePublish(src=">", dest=stream.live(">")),
        sources=_sources(stream),
        # Written out, because the server gives none to a stream with sources: it would store an event twice.
        duplicate_window=DUPLICATE_WINDOW_SECONDS,
        allow_msg_schedules=stream.schedules or None,
        allow_msg_ttl=stream.schedules or stream.has_ttls or None,
    )


def _sources(stream: Stream) -> list[StreamSource] | None:
    if (source := stream.source) is None:
        return None
    transform = SubjectTransform(src=source.subjects, dest=source.stored_as)
    return [StreamSource(name=source.stream.name, subject_transforms=[transform])]


def consumer_config(consumer: Consumer, *, start_sequence: int | None = None) -> ConsumerConfig:
    """Returns the server's configuration of a durable push consumer with a queue group, which begins at a sequence.

    The server delivers a message to one replica, and to another one if that replica dies. ``max_deliver`` is unlimited:
    `chassis.delivery` ends the retries and keeps the message as a dead letter.
    """
    return ConsumerConfig(
        durable_name=consumer.name,
        filter_subjects=list(consumer.filters),
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=consumer.ack_wait,
        max_ack_pending=consumer.max_ack_pending,
        deliver_subject=consumer.deliver_subject,
        deliver_group=consumer.name,
        deliver_policy=DeliverPolicy.ALL if start_sequence is None else DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=start_sequence,
    )


async def _main() -> None:
    settings = read(Settings)
    logging_setup.configure("provision", settings.log_level)
    client = await nats.connect(
        **connection(settings.nats_url),
        name=ADMIN,
        error_cb=on_bus_error,
        allow_reconnect=False,
        connect_timeout=CONNECT_SECONDS,
    )
    try:
        if missing := await find_missing_accounts(client):
            sys.stderr.write(f"Nothing was changed: {missing}. Remedy: {LOAD_ACCOUNTS}.\n")
            raise SystemExit(1)
        await provision(client, replicas=settings.nats_replicas, max_bytes=settings.max_bytes)
    except NO_ANSWER as error:
        sys.stderr.write(f"JetStream does not answer ({type(error).__name__}). Remedy: {LOAD_PERMISSIONS}.\n")
        raise SystemExit(1) from None
    except NotEnoughNodes as error:
        sys.stderr.write(f"NATS_REPLICAS: {error} (see .env.example)\n")
        raise SystemExit(1) from None
    except NotMigrated as error:
        sys.stderr.write(f"Nothing was changed: {error}.\n")
        raise SystemExit(1) from None
    finally:
        await client.close()
    logger.info("provisioned")


if __name__ == "__main__":
    asyncio.run(_main())
