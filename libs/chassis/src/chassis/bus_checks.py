"""Checks of NATS: permissions in force, its clock, and that streams and consumers are as the contracts define them."""

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from nats.aio.client import Client
from nats.errors import Error as NatsError

from chassis.addresses import connection
from chassis.bus_clock import NoServerTime, read_server_time, wall_clock
from chassis.findings import Finding, failed, ok, warning
from chassis.jetstream_info import UNANSWERED, Info, JetStreamInfo
from chassis.provision import consumer_config
from chassis.stream_checks import PROVISION, check_settings
from contracts.consumers import CONSUMERS, Consumer
from contracts.streams import STREAMS, Stream

MAX_SKEW = timedelta(seconds=1)
"""The orchestrator decides by the time of the server; logs, traces and the other services use that of their machine."""
AREA = "NATS"
NANOSECONDS = 1_000_000_000
"""Per second; durations in JetStream's API are in nanoseconds."""
MAY_NOT_READ = "give NATS_URL of a user that may read JetStream's API: operator or admin"


async def check_anonymous_access(client: Client) -> Finding:
    """Warns if the server accepts a connection without a user, because then no permission is in force."""
    assert client.connected_url is not None  # noqa: S101  it is connected

    async def ignore(_: Exception) -> None:
        """Ignores the reported error: a refusal is the expected result."""

    anonymous = Client()
    try:
        await anonymous.connect(
            connection(client.connected_url.geturl())["servers"],
            connect_timeout=5,
            allow_reconnect=False,  # else, refused by one node of a cluster, it would try all nodes without end
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            error_cb=ignore,
        )
    except (NatsError, OSError):
        return ok(AREA, "permissions", "connections without a user are refused")
    finally:
        await anonymous.close()
    advice = "run nats-server with the users of the contracts: deploy/nats, written by `make contracts`"
    return warning(AREA, "permissions", "connections without a user are accepted and may do everything", advice)


async def check_clock(client: Client) -> Finding:
    """Compares the server's clock with that of this machine."""
    try:
        reading = await read_server_time(client)
    except NoServerTime as error:
        return warning(AREA, "clock", "the server's answer does not contain its time", str(error))
    skew = reading.time_at(time.monotonic()) - wall_clock()
    found = f"the server's clock differs by {skew.total_seconds():+.3f} s"
    if abs(skew) > MAX_SKEW + timedelta(seconds=reading.round_trip_seconds / 2):
        return failed(AREA, "clock", found, "run NTP on both machines")
    return ok(AREA, "clock", found)


def check_streams(info: JetStreamInfo, replicas: int, max_bytes: Mapping[str, int]) -> list[Finding]:
    """Compares the settings of each stream with the contracts.

    `replicas`: the number of replicas of each stream that the operator wants (``NATS_REPLICAS``). `max_bytes`: sizes of
    streams that differ from those of the contracts, by the stream's name.
    """
    sized = [replace(stream, max_bytes=max_bytes.get(stream.name, stream.max_bytes)) for stream in STREAMS]
    return [_stream(stream, info.streams[stream.name], replicas) for stream in sized]


def check_consumers(info: JetStreamInfo) -> list[Finding]:
    """Compares each durable consumer with the contracts, and warns of one to which no service subscribes."""
    return [_consumer(consumer, info.consumers[consumer.name]) for consumer in CONSUMERS]


def _unreadable(name: str, answer: Info) -> Finding | None:
    if reason := answer.get(UNANSWERED):
        return failed(AREA, name, f"its settings could not be read ({reason})", MAY_NOT_READ)
    if "error" in answer:
        return failed(AREA, name, str(answer["error"].get("description")), PROVISION)
    return None


def _stream(stream: Stream, answer: Info, replicas: int) -> Finding:
    name = f"stream {stream.name}"
    if unreadable := _unreadable(name, answer):
        return unreadable
    wrong = check_settings(AREA, stream, answer["config"], replicas)
    return wrong or ok(AREA, name, f"{answer['state']['messages']} messages")


def _consumer(consumer: Consumer, answer: Info) -> Finding:
    name = f"consumer {consumer.name}"
    if unreadable := _unreadable(name, answer):
        return unreadable
    config, expected = answer["config"], consumer_config(consumer)
    filters = config.get("filter_subjects") or [config.get("filter_subject")]
    if set(filters) != set(expected.filter_subjects or []) or config.get("deliver_group") != expected.deliver_group:
        return failed(AREA, name, "its filters or its group differ from the contracts", PROVISION)
    if config.get("max_ack_pending") != consumer.max_ack_pending:
        found = f"max_ack_pending is {config.get('max_ack_pending')}, not {consumer.max_ack_pending}"
        return failed(AREA, name, f"{found}: delayed messages block new ones", PROVISION)
    ack_wait = config.get("ack_wait", 0) / NANOSECONDS
    if ack_wait != consumer.ack_wait:
        found = f"ack_wait is {ack_wait:g} s, not {consumer.ack_wait} s"
        return failed(
            AREA, name, f"{found}: messages of a dead replica are delivered again too late or early", PROVISION
        )
    waiting = answer["num_pending"] + answer["num_ack_pending"]
    if not answer.get("push_bound"):
        found = f"no service subscribes to it; {waiting} messages wait"
        return warning(AREA, name, found, f"start {consumer.name.partition('-')[0]}, unless it is stopped on purpose")
    found = f"{waiting} messages wait; max_ack_pending {consumer.max_ack_pending}, ack_wait {consumer.ack_wait} s"
    return ok(AREA, name, found)
