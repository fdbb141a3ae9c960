"""NATS: whether it answers, whether its clock is ours, whether it holds what the contracts say."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError

from centralita.embedded.credentials import without_credentials
from centralita.operations.doctor.checks import Finding, failed, ok, warning
from centralita.operations.doctor.guarantees import PROVISION, broken
from chassis.provision import consumer_config
from contracts.streams import CALLS, CONSUMERS, STREAMS, Consumer, Stream

MAX_SKEW = timedelta(seconds=1)
"""Deadlines are instants of the orchestrator's clock, kept by the server's, to the second."""
AREA = "NATS"


async def check(client: Client, replicas: int = 1) -> list[Finding]:
    """Asks the server itself. Raises nats.errors.Error if it does not answer at all.

    `replicas`: on how many nodes the operator wants each stream to stand.
    """
    await client.flush(timeout=5)
    findings = [ok(AREA, "connection", str(client.connected_server_version).strip("<>")), await _doors(client)]
    findings.append(await _clock(client))
    findings += [await _stream(client, stream, replicas) for stream in STREAMS]
    return findings + [await _consumer(client, consumer) for consumer in CONSUMERS]


async def _doors(client: Client) -> Finding:
    """Whether somebody without a name is let in: then no permission is in force."""
    assert client.connected_url is not None  # noqa: S101  it is connected

    async def silent(_: Exception) -> None:
        """To be refused is right."""

    stranger = Client()
    try:
        address = without_credentials(client.connected_url.geturl())
        await stranger.connect(
            address,
            connect_timeout=5,
            allow_reconnect=False,  # else, refused by a node, it would ask all of a cluster, over and over
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            error_cb=silent,
        )
    except (NatsError, OSError):
        return ok(AREA, "permissions", "who gives no name is not let in")
    finally:
        await stranger.close()
    advice = "run nats-server with the users of the contracts: deploy/nats, `python -m contracts`"
    return warning(AREA, "permissions", "who gives no name may do everything", advice)


async def _asked(client: Client, subject: str) -> dict[str, Any]:
    """The server's answer as it is on the wire: nats-py leaves out its time."""
    answer = await client.request(f"$JS.API.{subject}", b"", timeout=5)
    found: dict[str, Any] = json.loads(answer.data)
    return found


async def _clock(client: Client) -> Finding:
    before = datetime.now(UTC)
    answer = await _asked(client, f"STREAM.INFO.{CALLS.name}")
    after = datetime.now(UTC)
    if "ts" not in answer:
        return warning(AREA, "clock", "the server does not say its time", PROVISION)
    skew = datetime.fromisoformat(answer["ts"]) - (before + (after - before) / 2)
    seconds = f"{skew.total_seconds():+.3f} s"
    if abs(skew) > MAX_SKEW + (after - before) / 2:
        return failed(AREA, "clock", f"the server's differs by {seconds}", "run NTP on both machines")
    return ok(AREA, "clock", f"the server's differs by {seconds}")


async def _stream(client: Client, stream: Stream, replicas: int) -> Finding:
    name = f"stream {stream.name}"
    try:
        answer = await _asked(client, f"STREAM.INFO.{stream.name}")
    except NatsError as error:
        return failed(AREA, name, f"may not be asked ({type(error).__name__})", "a user that may read JetStream's API")
    if "error" in answer:
        return failed(AREA, name, str(answer["error"].get("description")), PROVISION)
    return broken(AREA, stream, answer["config"], replicas) or ok(AREA, name, f"{answer['state']['messages']} messages")


async def _consumer(client: Client, consumer: Consumer) -> Finding:
    name = f"consumer {consumer.name}"
    try:
        answer = await _asked(client, f"CONSUMER.INFO.{consumer.stream.name}.{consumer.name}")
    except NatsError as error:
        return failed(AREA, name, f"may not be asked ({type(error).__name__})", "a user that may read JetStream's API")
    if "error" in answer:
        return failed(AREA, name, str(answer["error"].get("description")), PROVISION)
    config, wanted = answer["config"], consumer_config(consumer)
    filters = config.get("filter_subjects") or [config.get("filter_subject")]
    if set(filters) != set(wanted.filter_subjects or []) or config.get("deliver_group") != wanted.deliver_group:
        return failed(AREA, name, "not as these contracts say", PROVISION)
    waiting = answer["num_pending"] + answer["num_ack_pending"]
    if not answer.get("push_bound"):
        found = f"nobody listens; {waiting} messages wait"
        return warning(AREA, name, found, f"start {consumer.name.partition('-')[0]}, if it is to run")
    return ok(AREA, name, f"{waiting} messages wait")
