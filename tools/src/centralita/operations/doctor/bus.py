"""Checks of NATS: the connection, its clock, and that streams and consumers are as the contracts define them."""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from centralita.embedded.credentials import without_credentials
from centralita.operations.doctor.checks import Finding, failed, ok, skipped, warning
from centralita.operations.doctor.limits import check_payload
from centralita.operations.doctor.storage import check_storage
from centralita.operations.doctor.stream_settings import PROVISION, check_settings
from chassis.bus_clock import NoServerTime, read_server_time, wall_clock
from chassis.dead_letter_acts import message_of
from chassis.dead_letters import read_dead_letters
from chassis.provision import consumer_config
from contracts.consumers import CONSUMERS, Consumer
from contracts.streams import DEAD_LETTERS, STREAMS, Stream

MAX_SKEW = timedelta(seconds=1)
"""The orchestrator decides by the time of the server; logs, traces and the other services use that of their machine."""
AREA = "NATS"
NANOSECONDS = 1_000_000_000
"""Per second; durations in JetStream's API are in nanoseconds."""
MAX_DEAD_LETTERS = 1_000
"""So many of the oldest dead letters are compared with their streams."""
_MAX_SHOWN = 10
_MAY_NOT_READ = "give NATS_URL of a user that may read JetStream's API: operator or admin"


async def check(client: Client, replicas: int = 1, max_bytes: Mapping[str, int] | None = None) -> list[Finding]:
    """Returns the findings about the server. Raises nats.errors.Error if it does not answer.

    `replicas`: the number of replicas of each stream that the operator wants (``NATS_REPLICAS``). `max_bytes`: sizes of
    streams that differ from those of the contracts, by the stream's name.
    """
    await client.flush(timeout=5)
    version = str(client.connected_server_version).strip("<>")
    findings = [ok(AREA, "connection", version), await _anonymous_access(client), await _clock(client)]
    findings.append(check_payload(client))
    sized = [replace(stream, max_bytes=(max_bytes or {}).get(stream.name, stream.max_bytes)) for stream in STREAMS]
    findings += [await _stream(client, stream, replicas) for stream in sized]
    findings += await check_storage(client)
    findings += [await _consumer(client, consumer) for consumer in CONSUMERS]
    return [*findings, await _dead_letters(client)]


async def _anonymous_access(client: Client) -> Finding:
    """Warns if the server accepts a connection without a user, because then no permission is in force."""
    assert client.connected_url is not None  # noqa: S101  it is connected

    async def ignore(_: Exception) -> None:
        """Ignores the reported error: a refusal is the expected result."""

    anonymous = Client()
    try:
        address = without_credentials(client.connected_url.geturl())
        await anonymous.connect(
            address,
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


async def _api(client: Client, subject: str) -> dict[str, Any]:
    """Returns the answer of the JetStream API as it is on the wire: nats-py omits the server's time."""
    answer = await client.request(f"$JS.API.{subject}", b"", timeout=5)
    body: dict[str, Any] = json.loads(answer.data)
    return body


async def _clock(client: Client) -> Finding:
    try:
        reading = await read_server_time(client)
    except NoServerTime as error:
        return warning(AREA, "clock", "the server's answer does not contain its time", str(error))
    skew = reading.time_at(time.monotonic()) - wall_clock()
    found = f"the server's clock differs by {skew.total_seconds():+.3f} s"
    if abs(skew) > MAX_SKEW + timedelta(seconds=reading.round_trip_seconds / 2):
        return failed(AREA, "clock", found, "run NTP on both machines")
    return ok(AREA, "clock", found)


async def _stream(client: Client, stream: Stream, replicas: int) -> Finding:
    name = f"stream {stream.name}"
    try:
        answer = await _api(client, f"STREAM.INFO.{stream.name}")
    except NatsError as error:
        return failed(AREA, name, f"its settings could not be read ({type(error).__name__})", _MAY_NOT_READ)
    if "error" in answer:
        return failed(AREA, name, str(answer["error"].get("description")), PROVISION)
    wrong = check_settings(AREA, stream, answer["config"], replicas)
    return wrong or ok(AREA, name, f"{answer['state']['messages']} messages")


async def _consumer(client: Client, consumer: Consumer) -> Finding:
    name = f"consumer {consumer.name}"
    try:
        answer = await _api(client, f"CONSUMER.INFO.{consumer.stream.name}.{consumer.name}")
    except NatsError as error:
        return failed(AREA, name, f"its settings could not be read ({type(error).__name__})", _MAY_NOT_READ)
    if "error" in answer:
        return failed(AREA, name, str(answer["error"].get("description")), PROVISION)
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


async def _dead_letters(client: Client) -> Finding:
    """Warns if dead letters refer to messages that no longer exist: these cannot be resent."""
    name = "dead letters"
    try:
        found = [stored async for stored in read_dead_letters(client)]
        oldest = [stored for stored in found if stored.is_reference][:MAX_DEAD_LETTERS]
        lost = [str(stored.sequence) for stored in oldest if await message_of(client, stored) is None]
    except NotFoundError:  # the stream has its own finding
        return skipped(AREA, name, f"there is no stream {DEAD_LETTERS.name}")
    except NatsError as error:
        return failed(AREA, name, f"they could not be read ({type(error).__name__})", _MAY_NOT_READ)
    if lost:
        shown = " ".join(lost[:_MAX_SHOWN])
        more = f" and {len(lost) - _MAX_SHOWN} more" if len(lost) > _MAX_SHOWN else ""
        found_text = f"the messages of {len(lost)} no longer exist and cannot be resent: {shown}{more}"
        advice = (
            f"`centralita dead-letters show` shows their reasons, `centralita dead-letters drop {shown}` removes them"
        )
        return warning(AREA, name, found_text, advice)
    if found:
        return warning(AREA, name, f"{len(found)}", "`centralita dead-letters list` shows them with their reasons")
    return ok(AREA, name, "none")
