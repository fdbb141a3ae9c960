"""The server compresses the streams of the record; provisioning switches that on for the streams of an older build."""

from dataclasses import replace

from nats.aio.client import Client
from nats.js.api import StoreCompression

from centralita.operations.doctor import bus
from centralita.operations.doctor.checks import Result
from chassis.event_log import EventLog
from chassis.provision import provision, stream_config
from contracts.examples import EXAMPLES
from contracts.streams import AUDIT, CALLS, DEAD_LETTERS, REQUESTS, STREAMS

COMPRESSED = {CALLS, REQUESTS, AUDIT, DEAD_LETTERS}


async def test_the_streams_of_the_record_are_compressed(bus_client: Client) -> None:
    js = bus_client.jetstream()
    infos = {stream: await js.stream_info(stream.name) for stream in STREAMS}
    compressed = {stream for stream, info in infos.items() if info.config.compression == StoreCompression.S2}
    assert compressed == COMPRESSED


async def test_the_stream_of_an_older_build_is_compressed_by_provisioning_and_keeps_its_events(
    bus_client: Client,
) -> None:
    js = bus_client.jetstream()
    await js.update_stream(stream_config(replace(CALLS, compressed=False)))
    stored = await EventLog(bus_client, CALLS.name, source="test").append(EXAMPLES["dial.claimed"])
    before = {finding.check: finding for finding in await bus.check(bus_client)}[f"stream {CALLS.name}"]
    assert before.result is Result.FAILED
    assert "compression is none, not s2" in before.found
    await provision(js)
    after = {finding.check: finding for finding in await bus.check(bus_client)}[f"stream {CALLS.name}"]
    assert after.result is Result.OK
    last = await EventLog(bus_client, CALLS.name, source="test").last(EXAMPLES["dial.claimed"].subject)
    assert last is not None
    assert (last.sequence, last.event) == (stored.sequence, EXAMPLES["dial.claimed"])
