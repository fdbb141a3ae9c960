"""Publishing to streams in order, many messages at a time, with the result of each.

nats-py's `publish_async` is not used. When the server refuses a message, nats-py 2.16 raises the error in a task that
no caller awaits. A full stream would therefore look like a server that does not answer.
"""

import asyncio
import json
from typing import Self

from nats.aio.client import Client
from nats.aio.msg import Msg

ANSWER_SECONDS = 30.0
_CONNECTION_CHECK_SECONDS = 0.5
_NO_RESPONDERS = "503"


class PublishFailed(RuntimeError):
    """The server refused a message, or did not acknowledge it in time."""


class BatchPublisher:
    """Publishes without waiting for each acknowledgement. `open` it, then `publish`; `flush` waits for all results."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = client.new_inbox()
        self._published = 0
        self._unacknowledged: set[str] = set()
        self._refusal: str | None = None
        self._answered = asyncio.Event()

    @classmethod
    async def open(cls, client: Client) -> Self:
        """Returns a publisher that receives acknowledgements for as long as the client is connected."""
        publisher = cls(client)
        await client.subscribe(f"{publisher._inbox}.*", cb=publisher._on_answer)
        return publisher

    @property
    def unacknowledged(self) -> int:
        """The number of messages that the server has not answered yet."""
        return len(self._unacknowledged)

    async def publish(self, subject: str, body: bytes, headers: dict[str, str]) -> None:
        """Publishes one message without waiting for its acknowledgement."""
        self._published += 1
        answer_subject = f"{self._inbox}.{self._published}"
        self._unacknowledged.add(answer_subject)
        await self._client.publish(subject, body, reply=answer_subject, headers=headers)

    async def flush(self) -> None:
        """Returns when every published message is stored. Raises PublishFailed."""
        loop = asyncio.get_running_loop()
        deadline_at = loop.time() + ANSWER_SECONDS
        while self._unacknowledged and self._refusal is None:
            if not self._client.is_connected:
                raise PublishFailed("the connection was lost")
            if loop.time() > deadline_at:
                raise PublishFailed(
                    f"the server did not acknowledge {self.unacknowledged} messages within {ANSWER_SECONDS:.0f} s"
                )
            self._answered.clear()
            waiting = asyncio.create_task(self._answered.wait())
            await asyncio.wait([waiting], timeout=_CONNECTION_CHECK_SECONDS)
            waiting.cancel()
        if self._refusal is not None:
            raise PublishFailed(self._refusal)

    async def _on_answer(self, message: Msg) -> None:
        self._unacknowledged.discard(message.subject)
        if (message.headers or {}).get("Status") == _NO_RESPONDERS:
            self._refusal = self._refusal or "no stream stores its subject"
        elif error := json.loads(message.data).get("error"):
            self._refusal = self._refusal or str(error.get("description"))
        self._answered.set()
