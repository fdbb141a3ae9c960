"""Counts the requests to JetStream and the acknowledgements of a run, by service, in a run that is not timed.

The requester is known by the prefix of its inbox, the consumer of an acknowledgement by its subject. Across accounts
the server replaces the inbox, so the requester is not known, and requests about the streams of an owner are not seen.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from nats.aio.client import Client
from nats.aio.msg import Msg

from bench.calls.streams import LOG

LEADER_READ, DIRECT_READ, ACKNOWLEDGEMENT, OTHER_REQUEST = "leader read", "direct read", "acknowledgement", "other"


@dataclass
class Counts:
    """Requests by kind and requester, acknowledgements by consumer, and events of the log by type."""

    requests: Counter[tuple[str, str]] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)

    def total(self, kind: str) -> int:
        """Returns the number of requests of this kind."""
        return sum(count for (one, _), count in self.requests.items() if one == kind)


@asynccontextmanager
async def counting(client: Client) -> AsyncIterator[Counts]:
    """Counts during the block. `client` is connected as admin."""
    counts = Counts()

    async def on_request(message: Msg) -> None:
        parts = message.subject.split(".")[2:]
        kind = OTHER_REQUEST
        if parts[:3] == ["STREAM", "MSG", "GET"]:
            kind = LEADER_READ
        elif parts[:2] == ["DIRECT", "GET"]:
            kind = DIRECT_READ
        else:
            counts.others[".".join(parts[:2])] += 1
        inbox = message.reply.split(".")
        counts.requests[kind, inbox[1] if inbox[0] == "_INBOX" else "other accounts"] += 1

    async def on_acknowledgement(message: Msg) -> None:
        parts = message.subject.split(".")
        stream, consumer = (parts[2], parts[3]) if len(parts) == 9 else (parts[4], parts[5])
        kind = ACKNOWLEDGEMENT if message.data in (b"", b"+ACK") else f"{message.data[:5].decode()} acknowledgement"
        counts.requests[kind, f"{stream}/{consumer}"] += 1

    async def on_event(message: Msg) -> None:
        counts.events[".".join(message.subject.split(".")[:2])] += 1

    subscriptions = [
        await client.subscribe("$JS.API.>", cb=on_request),
        await client.subscribe("$JS.ACK.>", cb=on_acknowledgement),
        *[await client.subscribe(subject, cb=on_event) for subject in await _subjects(client)],
    ]
    await client.flush()
    await asyncio.sleep(0.05)
    counts.requests.clear()
    counts.others.clear()
    yield counts
    await client.flush()
    await asyncio.sleep(0.2)
    for subscription in subscriptions:
        await subscription.unsubscribe()


async def _subjects(client: Client) -> list[str]:
    info = await client.jetstream().stream_info(LOG)
    return list(info.config.subjects or ())
