"""The metadata of the stream REQUESTS: since when the log shows what became of each erased request (ADR 49)."""

from dataclasses import replace

from nats.aio.client import Client

from chassis.stream_api import jetstream_of
from contracts.streams import RECORDED_AFTER, REQUESTS


async def begin_record(client: Client) -> None:
    """Begins the record after the present end of the stream, unless it has begun."""
    js = jetstream_of(client, REQUESTS.name)
    info = await js.stream_info(REQUESTS.name)
    if RECORDED_AFTER not in (info.config.metadata or {}):
        await _set(client)


async def begin_record_again(client: Client) -> None:
    """Begins the record after the present end of the stream: messages were removed that no service has decided."""
    await _set(client)


async def _set(client: Client) -> None:
    js = jetstream_of(client, REQUESTS.name)
    info = await js.stream_info(REQUESTS.name)
    metadata = {**(info.config.metadata or {}), RECORDED_AFTER: str(info.state.last_seq)}
    await js.update_stream(replace(info.config, metadata=metadata))
