"""JetStream's API for a stream, in whose account it may be (`contracts.accounts`)."""

from contextlib import suppress

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import StreamInfo
from nats.js.errors import NotFoundError

from chassis.leader_retry import REQUEST_TIMEOUT_SECONDS
from contracts.accounts import account_of_stream


def jetstream_of(
    client: Client, stream: str, timeout: float = REQUEST_TIMEOUT_SECONDS, *, account: str | None = None
) -> JetStreamContext:
    """Returns JetStream as the user of `client` finds it for a stream. `timeout`: in seconds, of each request.

    `account`: in which the stream is, if it is not where it belongs.
    """
    return client.jetstream(timeout=timeout, domain=account or account_of_stream(stream))


async def find_stream(js: JetStreamContext, stream: str) -> StreamInfo | None:
    """Returns what the server knows about a stream; None if there is none."""
    with suppress(NotFoundError):
        return await js.stream_info(stream)
    return None
