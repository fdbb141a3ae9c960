"""What follows once a request or command is decided: its sender gets the outcome, and personal data in clear is erased.

Requests of the edge are sealed, and stay. Upstream systems have no keys, so their requests arrive in clear. What is
decided on one is in the log, sealed, and so `replay verify` needs no such request.

If the process dies before the erasure, the request is delivered again. Its decision is found then, and the rest is
repeated.
"""

from collections.abc import Awaitable, Callable

from nats.aio.client import Client

from chassis.event_log import StoredEvent
from contracts import CommandOutcome, PersonalRequest, outcome_subject


class Handled:
    """Ends requests and commands."""

    def __init__(self, client: Client, erase: Callable[[int], Awaitable[None]]) -> None:
        """`erase`: removes the message at a position in the stream REQUESTS, and its bytes."""
        self._client = client
        self._erase = erase

    async def end(self, stored: StoredEvent, outcome: CommandOutcome) -> None:
        """Publishes the outcome on the subject that the id of the request determines; no header names a subject."""
        await self._client.publish(outcome_subject(stored.envelope.id), outcome.model_dump_json().encode())
        if stored.envelope.person is None and isinstance(stored.event, PersonalRequest):
            await self._erase(stored.sequence)
