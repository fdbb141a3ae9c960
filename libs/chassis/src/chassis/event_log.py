"""Reading and appending facts, over nats-py's own JetStream context."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import uuid_utils
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import PubAck, RawStreamMsg
from nats.js.errors import APIError, NotFoundError

from chassis import tracing
from chassis.leader_retry import MAX_ELECTION_SECONDS, REQUEST_TIMEOUT_SECONDS, retry_until_leader
from chassis.stored_event import StoredEvent
from contracts import Envelope, Event, InvalidMessage, decode

__all__ = ["Conflict", "EventLog", "Guard", "StoredEvent", "publish"]

_WRONG_LAST_SEQUENCE = 10071
"""The server's error code for a lost compare-and-set (nats-server ``errors.json``)."""

_PAGE = 256
_LAG_SECONDS = 0.02


class Conflict(Exception):
    """Another replica appended first: reload and decide again."""


@dataclass(frozen=True, slots=True)
class Guard:
    """Append only if the last message on `subject` (wildcards allowed) has this sequence; 0: if there is none."""

    subject: str
    sequence: int

    def headers(self) -> dict[str, str]:
        """The server's own optimistic concurrency (ADR-50 of nats-architecture-and-design)."""
        return {
            "Nats-Expected-Last-Subject-Sequence": str(self.sequence),
            "Nats-Expected-Last-Subject-Sequence-Subject": self.subject,
        }


class EventLog:
    """One stream of facts, as one service sees it: `source` is what its events say they come from."""

    def __init__(self, client: Client, stream: str, *, source: str) -> None:
        self._client = client
        self._js: JetStreamContext = client.jetstream(timeout=REQUEST_TIMEOUT_SECONDS)
        self._stream = stream
        self._source = source

    async def append(
        self,
        event: Event,
        *,
        cause: Envelope | None = None,
        guard: Guard | None = None,
        event_id: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> StoredEvent:
        """Publishes and waits until the server has stored it; what stands in the log. Raises Conflict.

        The same `event_id` within the stream's duplicate window is stored once, so an append whose acknowledgement is
        lost is made again. Then its own first try may be what its guard fails at, which is no Conflict.
        """
        identity, time = event_id or str(uuid_utils.uuid7()), datetime.now(UTC)
        envelope = Envelope.of(event, id=identity, source=self._source, time=time, cause=cause)
        with tracing.span(f"publish {event.event_name}", tracing.PUBLISH, envelope.traceparent):
            envelope = tracing.carried(envelope)
            sent = {**(headers or {}), **envelope.headers(), **(guard.headers() if guard else {})}
            try:
                ack = await publish(self._js, event.subject, event.model_dump_json().encode(), sent)
            except Conflict:
                newest = await self.last(event.subject)
                if newest is None or newest.envelope.id != identity:
                    raise
                return newest
        return StoredEvent(event, envelope, ack.seq)

    async def last(self, subject: str) -> StoredEvent | None:
        """The newest event on a filter; none if there is none.

        The leader is asked: any other node may lag behind what was acknowledged or delivered a moment ago, and what is
        decided on an old state need not end in an append, which alone the server would refuse.
        """
        message = await self._newest(subject)
        return _recorded(message.subject or "", message.data or b"", self._place(message)) if message else None

    async def _newest(self, subject: str) -> RawStreamMsg | None:
        try:
            return await retry_until_leader(lambda: self._js.get_last_msg(self._stream, subject))
        except NotFoundError:
            return None

    def _place(self, message: RawStreamMsg) -> dict[str, str]:
        """The headers of a message, and its place as a direct get has it among them."""
        time = message.time.isoformat() if message.time else ""
        place = {"Nats-Sequence": str(message.seq), "Nats-Stream": self._stream, "Nats-Time-Stamp": time}
        return {**(message.headers or {}), **place}

    async def read(self, subjects: Sequence[str]) -> list[StoredEvent]:
        """Every event on these filters, in the order of the log. For the facts of one call, not of a whole stream.

        As new as what `last` gives: a node that lags is asked again.
        """
        events = [event for subject in subjects for event in await self._all(subject)]
        return sorted(events, key=lambda recorded: recorded.sequence)

    async def _all(self, subject: str) -> list[StoredEvent]:
        newest = await self._newest(subject)
        if newest is None:
            return []
        async with asyncio.timeout(MAX_ELECTION_SECONDS):
            while True:
                found, end = await retry_until_leader(lambda: self._pages(subject))
                if end >= (newest.seq or 0):
                    return found
                await asyncio.sleep(_LAG_SECONDS)

    async def _pages(self, subject: str) -> tuple[list[StoredEvent], int]:
        """What one node has on a filter, and the sequence of the last of it.

        Batched direct get (ADR-31 of nats-architecture-and-design), which nats-py has no call for: it leaves no
        consumer behind on the server.
        """
        inbox = self._client.new_inbox()
        subscription = await self._client.subscribe(inbox)
        found: list[StoredEvent] = []
        start, more = 1, True
        try:
            while more:
                query = json.dumps({"seq": start, "batch": _PAGE, "next_by_subj": subject}).encode()
                await self._client.publish(f"$JS.API.DIRECT.GET.{self._stream}", query, reply=inbox)
                more = False
                while True:
                    message = await subscription.next_msg(timeout=REQUEST_TIMEOUT_SECONDS)
                    headers = message.headers or {}
                    if status := headers.get("Status"):
                        more = status == "204" and int(headers.get("Nats-Num-Pending", "0")) > 0
                        break
                    with suppress(InvalidMessage):  # its consumers have made a dead letter of it
                        found.append(_recorded(headers["Nats-Subject"], message.data, headers))
                    start = int(headers["Nats-Sequence"]) + 1
        finally:
            await subscription.unsubscribe()
        return found, start - 1


async def publish(js: JetStreamContext, subject: str, body: bytes, headers: dict[str, str]) -> PubAck:
    """Publishes until it is stored; its id among the headers makes that once. Raises Conflict if a guard fails."""
    try:
        return await retry_until_leader(lambda: js.publish(subject, body, headers=headers))
    except APIError as error:
        if error.err_code == _WRONG_LAST_SEQUENCE:
            raise Conflict(subject) from error
        raise


def _recorded(subject: str, body: bytes, headers: dict[str, str]) -> StoredEvent:
    sequence, stream = int(headers["Nats-Sequence"]), headers["Nats-Stream"]
    time = datetime.fromisoformat(headers["Nats-Time-Stamp"])
    envelope = Envelope.read(headers, subject=subject, id=f"{stream}/{sequence}", time=time)
    return StoredEvent(decode(subject, body), envelope, sequence)
