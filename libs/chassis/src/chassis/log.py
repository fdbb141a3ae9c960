"""Reading and appending facts, over nats-py's own JetStream context."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import uuid_utils
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import BadRequestError, NotFoundError

from chassis import tracing
from contracts import Envelope, Event, InvalidMessage, decode

WRONG_LAST_SEQUENCE = 10071
"""The server's error code for a lost compare-and-set (nats-server ``errors.json``)."""

_PAGE = 256


class Conflict(Exception):
    """Another replica appended first: reload and decide again."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event as the log has it; more than one delivery: somebody may have handled it before."""

    event: Event
    envelope: Envelope
    sequence: int
    deliveries: int = 1


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


class Log:
    """One stream of facts, as one service sees it: `source` is what its events say they come from."""

    def __init__(self, client: Client, stream: str, *, source: str) -> None:
        self._client = client
        self._js: JetStreamContext = client.jetstream()
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
    ) -> Recorded:
        """Publishes and waits until the server has stored it. Raises Conflict if the guard does not hold.

        The same `event_id` within the stream's duplicate window is stored once.
        """
        identity, time = event_id or str(uuid_utils.uuid7()), datetime.now(UTC)
        envelope = Envelope.of(event, id=identity, source=self._source, time=time, cause=cause)
        with tracing.span(f"publish {event.fact}", tracing.PUBLISH, envelope.traceparent):
            envelope = tracing.carried(envelope)
            sent = {**(headers or {}), **envelope.headers(), **(guard.headers() if guard else {})}
            try:
                ack = await self._js.publish(event.subject, event.model_dump_json().encode(), headers=sent)
            except BadRequestError as error:
                if error.err_code == WRONG_LAST_SEQUENCE:
                    raise Conflict(event.subject) from error
                raise
        return Recorded(event, envelope, ack.seq)

    async def last(self, subject: str) -> Recorded | None:
        """The newest event on a filter, in one direct get; none if there is none."""
        try:
            message = await self._js.get_last_msg(self._stream, subject, direct=True)
        except NotFoundError:
            return None
        return _recorded(message.subject or "", message.data or b"", message.headers or {})

    async def read(self, subjects: Sequence[str]) -> list[Recorded]:
        """Every event on these filters, in the order of the log. For the facts of one call, not of a whole stream.

        Batched direct get (ADR-31 of nats-architecture-and-design), which nats-py has no call for: it leaves no
        consumer behind on the server.
        """
        events = [event for subject in subjects for event in await self._pages(subject)]
        return sorted(events, key=lambda recorded: recorded.sequence)

    async def _pages(self, subject: str) -> list[Recorded]:
        inbox = self._client.new_inbox()
        subscription = await self._client.subscribe(inbox)
        found: list[Recorded] = []
        start, more = 1, True
        try:
            while more:
                query = {"seq": start, "batch": _PAGE, "next_by_subj": subject}
                await self._client.publish(
                    f"$JS.API.DIRECT.GET.{self._stream}", json.dumps(query).encode(), reply=inbox
                )
                more = False
                while True:
                    message = await subscription.next_msg(timeout=5)
                    headers = message.headers or {}
                    if status := headers.get("Status"):
                        more = status == "204" and int(headers.get("Nats-Num-Pending", "0")) > 0
                        break
                    with suppress(InvalidMessage):  # its consumers have made a dead letter of it
                        found.append(_recorded(headers["Nats-Subject"], message.data, headers))
                    start = int(headers["Nats-Sequence"]) + 1
        finally:
            await subscription.unsubscribe()
        return found


def _recorded(subject: str, body: bytes, headers: dict[str, str]) -> Recorded:
    sequence = int(headers["Nats-Sequence"])
    stream = headers["Nats-Stream"]
    time = datetime.fromisoformat(headers["Nats-Time-Stamp"])
    envelope = Envelope.read(headers, subject=subject, id=f"{stream}/{sequence}", time=time)
    return Recorded(decode(subject, body), envelope, sequence)
