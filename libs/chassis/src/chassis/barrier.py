"""To know that the server has what was sent."""

from nats.aio.client import Client


async def wait_until_processed(client: Client) -> None:
    """Returns when the server has taken everything that was sent on this connection before, subscriptions above all.

    nats-py's `flush` alone is no such barrier: it writes its PING at once, past commands that wait for its flusher task
    (``Client._send_ping``, nats-py 2.16), so the PONG may come before the server has them. By the first PONG that task
    has run; the second follows what it wrote. Raises nats.errors.FlushTimeoutError after 10 s without an answer.
    """
    for _ in range(2):
        await client.flush()
