"""The checks of the doctor that need the bus alone, with the permissions of the edge."""

import asyncio
from datetime import UTC, datetime

from nats.aio.client import Client
from nats.errors import Error as NatsError

from chassis.bus_checks import AREA, check_anonymous_access, check_clock, check_consumers, check_streams
from chassis.findings import Finding, failed, ok, warning
from chassis.jetstream_info import JetStreamInfo, StreamState, consumer_states, read_info, stream_states
from chassis.service_checks import check_breakers, check_services
from chassis.service_status import collect_statuses
from chassis.storage_checks import check_storage
from contracts.streams import AUDIT, CONTACTS, DEAD_LETTERS, REQUESTS
from edge.adapters.ack_floors import AckFloors, check_acknowledgements
from edge.adapters.nats import translate_errors
from edge.ports import Unavailable
from edge.ports.health import Health

OF_THE_OPERATOR = (REQUESTS, CONTACTS, AUDIT)
"""The streams whose size the operator chooses, in settings that the edge does not have."""


class NatsInstallation:
    """Implements `edge.ports.health.Installation`. Reads no message, so its cost does not depend on the log."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._floors = AckFloors()

    async def examine(self) -> Health:
        """Returns the health. Raises nothing if NATS does not answer: that is a finding."""
        try:
            async with translate_errors(self._client, "NATS does not answer"):
                return await self._examine()
        except Unavailable as error:
            advice = "start nats-server, or set NATS_URL of edge to its address; then look with: centralita doctor"
            return Health(datetime.now(UTC), [failed(AREA, "connection", str(error), advice)], [], [], [])

    async def _examine(self) -> Health:
        client = self._client
        await client.flush(timeout=5)
        version = str(client.connected_server_version).strip("<>")
        anonymous, clock, info, processes = await asyncio.gather(
            check_anonymous_access(client), _clock(client), read_info(client), collect_statuses(client)
        )
        streams, consumers = stream_states(info), consumer_states(info)
        findings = [ok(AREA, "connection", version), anonymous, clock, *_streams(info, streams)]
        now = datetime.now(UTC)
        since = self._floors.since(consumers, now)
        findings += [*check_storage(info), *check_consumers(info), *check_acknowledgements(since, now)]
        findings += [*check_services(processes), *check_breakers(processes), *_dead_letters(streams)]
        return Health(now, findings, streams, consumers, processes, since)


async def _clock(client: Client) -> Finding:
    try:
        return await check_clock(client)
    except NatsError as error:
        advice = "load deploy/nats/permissions.conf of this version into nats-server"
        return failed(AREA, "clock", f"it could not be read ({type(error).__name__})", advice)


def _streams(info: JetStreamInfo, states: list[StreamState]) -> list[Finding]:
    """Compares the streams with the contracts. What only the operator's settings say is taken as it is."""
    sizes = {one.name: one.max_bytes for one in states}
    chosen = {stream.name: size for stream in OF_THE_OPERATOR if (size := sizes.get(stream.name))}
    return check_streams(info, replicas=max((one.replicas for one in states), default=1), max_bytes=chosen)


def _dead_letters(states: list[StreamState]) -> list[Finding]:
    [count] = [one.messages for one in states if one.name == DEAD_LETTERS.name] or [0]
    if not count:
        return [ok(AREA, "dead letters", "none")]
    advice = "look at their reasons: `centralita dead-letters list`, or the console's page of dead letters"
    return [warning(AREA, "dead letters", str(count), advice)]
