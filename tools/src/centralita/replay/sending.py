"""Publishes to streams in order, many at a time, and learns of each message whether it is stored.

Not by nats-py's `publish_async`: there, what the server refuses is never answered (2.16 raises the refusal where nobody
hears it), so a full stream would look like one that has fallen silent.
"""

import asyncio
import json
from typing import Self

from nats.aio.client import Client
from nats.aio.msg import Msg

ANSWER_SECONDS = 30.0
LOOK_SECONDS = 0.5
_NO_RESPONDERS = "503"


class NotStored(RuntimeError):
    """The server refused a message, or did not say that it is stored."""


class Sender:
    """`open`; then `send` as often as wanted, and `stored` to know that all of it is."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = client.new_inbox()
        self._sent = 0
        self._missing: set[str] = set()
        self._refusal: str | None = None
        self._answered = asyncio.Event()

    @classmethod
    async def open(cls, client: Client) -> Self:
        """Its answers are heard as long as the client is connected."""
        sender = cls(client)
        await client.subscribe(f"{sender._inbox}.*", cb=sender._hear)
        return sender

    @property
    def missing(self) -> int:
        """Of how many messages the answer has not come."""
        return len(self._missing)

    async def send(self, subject: str, body: bytes, headers: dict[str, str]) -> None:
        """Sends one message and does not wait for its answer."""
        self._sent += 1
        answer = f"{self._inbox}.{self._sent}"
        self._missing.add(answer)
        await self._client.publish(subject, body, reply=answer, headers=headers)

    async def stored(self) -> None:
        """Returns when everything is stored that was sent. Raises NotStored."""
        loop = asyncio.get_running_loop()
        until = loop.time() + ANSWER_SECONDS
        while self._missing and self._refusal is None:
            if not self._client.is_connected:
                raise NotStored("the connection was lost")
            if loop.time() > until:
                raise NotStored(f"the server said nothing of {self.missing} messages for {ANSWER_SECONDS:.0f} s")
            self._answered.clear()
            waiting = asyncio.create_task(self._answered.wait())
            await asyncio.wait([waiting], timeout=LOOK_SECONDS)
            waiting.cancel()
        if self._refusal is not None:
            raise NotStored(self._refusal)

    async def _hear(self, message: Msg) -> None:
        self._missing.discard(message.subject)
        if (message.headers or {}).get("Status") == _NO_RESPONDERS:
            self._refusal = self._refusal or "no stream takes it"
        elif error := json.loads(message.data).get("error"):
            self._refusal = self._refusal or str(error.get("description"))
        self._answered.set()
