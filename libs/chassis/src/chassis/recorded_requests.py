"""The metadata of the stream REQUESTS: since when the log shows what became of each erased request (ADR 49)."""

from dataclasses import replace

from nats.js import JetStreamContext

from contracts.streams import RECORDED_AFTER, REQUESTS


async def begin_record(js: JetStreamContext) -> None:
    """Begins the record after the present end of the stream, unless it has begun."""
    info = await js.stream_info(REQUESTS.name)
    if RECORDED_AFTER not in (info.config.metadata or {}):
        await _set(js)


async def begin_record_again(js: JetStreamContext) -> None:
    """Begins the record after the present end of the stream: messages were removed that no service has decided."""
    await _set(js)


async def _set(js: JetStreamContext) -> None:
    info = await js.stream_info(REQUESTS.name)
    metadata = {**(info.config.metadata or {}), RECORDED_AFTER: str(info.state.last_seq)}
    await js.update_stream(replace(info.config, metadata=metadata))
