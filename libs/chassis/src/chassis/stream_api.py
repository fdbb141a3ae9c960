"""JetStream's API for a stream, in whose account it may be (`contracts.accounts`)."""

from nats.aio.client import Client
from nats.js import JetStreamContext

from chassis.leader_retry import REQUEST_TIMEOUT_SECONDS
from contracts.accounts import account_of_stream


def jetstream_of(client: Client, stream: str, timeout: float = REQUEST_TIMEOUT_SECONDS) -> JetStreamContext:
    """Returns JetStream as the user of `client` finds it for a stream. `timeout`: in seconds, of each request."""
    return client.jetstream(timeout=timeout, domain=account_of_stream(stream))
