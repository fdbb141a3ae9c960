"""Storing the messages of a stream once more, each at the same sequence: for `chassis.stream_move` and sealing.

nats-server accepts neither a sequence nor a time from a client. So a gap is filled by messages that are removed
afterwards, and the time at which a message was first stored becomes a header
(`contracts.envelope.FIRST_STORED_HEADER`). Each message names the sequence after which it is stored. So the server
refuses all that follow one that it could not store, and a second process that writes the same copy.
"""

import json
from dataclasses import dataclass, field

from nats.aio.client import Client

from chassis.direct_get import StoredMessage
from chassis.request_reply import request_all
from contracts.accounts import stored_again
from contracts.envelope import FIRST_STORED_HEADER

MAX_IN_FLIGHT = 500
_STORE_SECONDS = 60.0
"""How long the server may take to store that many messages: it may sync its file after each."""
GAPS = "gap.>"
"""The filter of the messages that fill gaps. Each has its own subject: a work queue stores one on each."""
_GUARD = "Nats-Expected-Last-Sequence"


class CopyInterrupted(RuntimeError):
    """The server did not store a message. Running the command again continues after the last one that it stored."""


def kept_headers(message: StoredMessage) -> dict[str, str]:
    """Returns the headers of a message without those of the server, and with its id and its time."""
    own = {name: value for name, value in message.headers.items() if not name.lower().startswith("nats-")}
    kept = {FIRST_STORED_HEADER: message.time.isoformat()}
    if message_id := message.headers.get("Nats-Msg-Id"):
        kept["ce-id"] = message_id
    return {**kept, **own}


def is_filler(message: StoredMessage) -> bool:
    """Returns whether a message fills a gap."""
    return message.subject.startswith(GAPS.removesuffix(">"))


@dataclass(slots=True)
class Writer:
    """Stores messages of `stream` in a copy of it, each at the next sequence after `sequence`."""

    client: Client
    stream: str
    sequence: int
    pending: list[tuple[str, bytes, dict[str, str]]] = field(default_factory=list)

    async def fill_gap(self, end_sequence: int) -> None:
        """Stores a filler at each sequence up to `end_sequence` that has no message."""
        while (next_sequence := self._next_sequence()) <= end_sequence:
            await self.add(GAPS.replace(">", str(next_sequence)), b"", {})

    async def add(self, subject: str, body: bytes, headers: dict[str, str]) -> None:
        """Stores a message, at the latest with `flush`."""
        guard = {_GUARD: str(self._next_sequence() - 1)}
        self.pending.append((stored_again(self.stream, subject), body, {**headers, **guard}))
        if len(self.pending) == MAX_IN_FLIGHT:
            await self.flush()

    async def flush(self) -> None:
        """Returns when all messages are stored. Raises CopyInterrupted."""
        pending, self.pending = self.pending, []
        for reply in await request_all(self.client, pending, _STORE_SECONDS):
            self.sequence += 1
            answer = json.loads(reply.data or b"{}") if reply else {}
            if answer.get("seq") != self.sequence:
                reason = (answer.get("error") or {}).get("description") or f"it answered {answer or 'nothing'}"
                raise CopyInterrupted(f"the server did not store message {self.sequence} of {self.stream}: {reason}")

    def _next_sequence(self) -> int:
        return self.sequence + len(self.pending) + 1
