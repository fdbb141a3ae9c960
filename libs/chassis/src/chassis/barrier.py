"""Waiting until the server has processed what was sent."""

from nats.aio.client import Client


async def wait_until_processed(client: Client) -> None:
    """Returns when the server has processed everything that this connection has sent, such as subscriptions.

    One `flush` of nats-py is not enough: it writes its PING before commands that wait for the flusher task
    (``Client._send_ping``, nats-py 2.16). When the first PONG arrives, that task has run; the second PONG follows what
    the task wrote. Raises nats.errors.FlushTimeoutError after 10 s without an answer.
    """
    for _ in range(2):
        await client.flush()
