"""Appending events to a stream and reading the events of one call or campaign, over nats-py's JetStream context.

Appends are guarded by optimistic concurrency on the server (law 1). A `Guard` names the last message that a decision is
based on. If the server has stored another message since then, the append raises `Conflict`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import uuid_utils
from nats.aio.client import Client
from nats.errors import MaxPayloadError, NoRespondersError
from nats.js.api import PubAck, RawStreamMsg
from nats.js.errors import APIError, NoStreamResponseError

from chassis import tracing
from chassis.bus_clock import wall_clock
from chassis.history import History
from chassis.leader_retry import retry_until_leader
from chassis.request_reply import request_json
from chassis.stored_event import StoredEvent, load_keys, stored_event_of_raw
from chassis.unreadable import UnreadableEvent
from contracts import CallDecision, Envelope, Event
from contracts.personal import PERSON_HEADER, has_personal_fields
from contracts.sources import implied_source

if TYPE_CHECKING:
    from chassis.keyring import Keyring  # it publishes by `publish`

__all__ = ["Conflict", "EventLog", "Guard", "StoredEvent", "UnreadableEvent", "publish", "size_of"]

_WRONG_LAST_SEQUENCE = 10071
"""The server's error code for a failed guard (nats-server ``errors.json``)."""
MAX_HEADER_BYTES = 65_535
"""A stream stores no larger headers (nats-server ``errors.json``, 10097)."""


class Conflict(Exception):
    """Another replica appended first: load the state again and decide again."""


GUARD_SEQUENCE = "Nats-Expected-Last-Subject-Sequence"
"""The header with the sequence of a guard. The server stores it."""


@dataclass(frozen=True, slots=True)
class Guard:
    """The condition of an append: the last message on `subject` has this sequence; 0: there is no message on it.

    Wildcards are allowed, but the server resolves them across all matching subjects (law 11).
    """

    subject: str
    sequence: int

    def headers(self, appended_subject: str | None = None) -> dict[str, str]:
        """Returns the headers that make the server check the guard (ADR-50 of nats-architecture-and-design).

        The server stores them, so they do not name the subject again if the message is appended on it.
        """
        expected = {GUARD_SEQUENCE: str(self.sequence)}
        if self.subject != appended_subject:
            expected["Nats-Expected-Last-Subject-Sequence-Subject"] = self.subject
        return expected


class EventLog:
    """One stream of events. `source` is the ``ce-source`` of the events that are appended here.

    `now`: the present time, to compare with that of events: the server's, or that of this machine if both are equal.
    `keyring`: seals and opens personal fields; without one, a reader sees `contracts.personal.HIDDEN`.
    """

    def __init__(
        self,
        client: Client,
        stream: str,
        *,
        source: str,
        now: Callable[[], datetime] = wall_clock,
        keyring: "Keyring | None" = None,
    ) -> None:
        self._client = client
        self._history = History(client, stream)
        self._stream = stream
        self._source = source
        self._keyring = keyring
        self.now = now

    async def append(
        self,
        event: Event,
        *,
        cause: Envelope | None = None,
        guard: Guard | None = None,
        event_id: str | None = None,
        ttl_seconds: int | None = None,
        person: str | None = None,
    ) -> StoredEvent:
        """Publishes the event, waits until it is stored, and returns it. Raises Conflict if the guard fails.

        The server stores the same `event_id` once within the stream's duplicate window, so an append whose
        acknowledgement was lost is repeated. If the guard of the repetition fails because the first try was stored,
        the stored event is returned. `ttl_seconds`: when the server removes it, in a stream that allows that.

        Personal fields are sealed under the key of the person: that of the call in a decision, `person`, or else that
        of the cause. An event about a call of an older build has no person, and is stored as it is.
        """
        identity, time = event_id or str(uuid_utils.uuid7()), self.now()
        envelope = Envelope.of(id=identity, source=self._source, time=time, cause=cause)
        if isinstance(event, CallDecision):
            person = event.call.number_digest
        envelope = replace(envelope, person=person or envelope.person)
        with tracing.span(f"publish {event.event_name}", tracing.PUBLISH, envelope.traceparent):
            envelope = tracing.with_current_span(envelope)
            sent = {
                **envelope.headers(implied_source(self._stream, event.subject)),
                **(guard.headers(event.subject) if guard else {}),
            }
            if ttl_seconds is not None:
                sent["Nats-TTL"] = f"{ttl_seconds}s"
            body = await self._body(event, envelope, sent)
            try:
                ack = await publish(self._client, event.subject, body, sent)
            except Conflict:
                newest = await self.last(event.subject)
                if newest is None or newest.envelope.id != identity:
                    raise
                return replace(newest, is_repeated=True)
        return StoredEvent(event, envelope, ack.seq, is_repeated=bool(ack.duplicate))

    async def last(self, subject: str) -> StoredEvent | None:
        """Returns the newest event on a filter, or None if there is none. Raises UnreadableEvent.

        Reads from the stream's leader, because other nodes may lag. A guard rejects an append that is based on an old
        state, but a decision not to append has no guard.
        """
        return await self._event(await self._history.newest(subject))

    async def last_of_any_node(self, subject: str) -> StoredEvent | None:
        """As `last`, from any node: cheaper for the leader, but a node may lag for milliseconds.

        For what a guard or a later reader corrects.
        """
        return await self._event(await self._history.newest_of_any_node(subject))

    async def read(self, subjects: Sequence[str], *, after_sequence: int = 0) -> list[StoredEvent]:
        """Returns all events on these filters, in the order of the log. Raises UnreadableEvent.

        With `after_sequence`, only those after it.

        Meant for the events of one call or campaign: its filters match few subjects, and each costs a request. The
        length of the log does not matter. The result is as new as that of `last`: a node that lags is asked again.
        Raises TimeoutError after `MAX_ELECTION_SECONDS`.
        """
        return await self.decode_all(await self._history.read(subjects, after_sequence))

    async def read_all(
        self, subjects: Sequence[str], *, after_sequence: int = 0
    ) -> list[StoredEvent | UnreadableEvent]:
        """As `read`, with an UnreadableEvent in place of each event that cannot be decoded.

        For display, and for requests, whose own delivery makes a dead letter of one that is invalid.
        """
        messages = await self._history.read(subjects, after_sequence)
        await load_keys(messages, self._keyring)
        return [self._event_or_error(message) for message in messages]

    async def read_after(
        self,
        subject: str,
        after_sequence: int,
        *,
        known_sequence: int | None = None,
        kinds: Collection[type[Event]] | None = None,
    ) -> list[StoredEvent]:
        """Returns the events on a filter after a sequence that is near the end of the log. Raises UnreadableEvent.

        One request, of any node. The result has no gap. It may lack the newest events, but it contains all up to
        `known_sequence`, which is that of an event on the filter. Raises TimeoutError if no node has that event.

        For the events of an attempt or a turn, from its first one on. The server's cost grows with the log after
        `after_sequence`: read the history of an old call by `read` (law 11). With `kinds`, events of other types are
        left out and not decoded.
        """
        messages = await self._history.read_after(subject, after_sequence, known_sequence)
        if kinds is not None:
            names = {kind.event_name for kind in kinds}
            messages = [message for message in messages if _event_name(message) in names]
        return await self.decode_all(messages)

    async def read_period(self, subject: str, start_at: datetime, end_at: datetime) -> list[StoredEvent]:
        """Returns the events on a filter that the server stored from `start_at` to `end_at`, in the order of the log.

        The cost grows with the number of these events, not with the log. The rest is as for `read`.
        """
        return await self.decode_all(await self._history.read_period(subject, start_at, end_at))

    async def decode(self, message: RawStreamMsg) -> StoredEvent:
        """Returns the event in a message of this stream that was read otherwise. Raises UnreadableEvent."""
        return (await self.decode_all([message]))[0]

    async def decode_all(self, messages: Sequence[RawStreamMsg]) -> list[StoredEvent]:
        """As `decode`, for several messages. Raises UnreadableEvent."""
        await load_keys(messages, self._keyring)
        return [stored_event_of_raw(message, self._stream, self._keyring) for message in messages]

    async def _body(self, event: Event, envelope: Envelope, headers: dict[str, str]) -> bytes:
        """Returns the body, and adds the header of its person if it is sealed."""
        if envelope.person is None or not has_personal_fields(type(event)):
            return event.body()
        if self._keyring is None:
            raise RuntimeError(f"{event.event_name} has personal fields, and this process has no keys")
        headers[PERSON_HEADER] = envelope.person
        return await self._keyring.seal(event, envelope.person)

    async def _event(self, message: RawStreamMsg | None) -> StoredEvent | None:
        events = await self.decode_all([message] if message else [])
        return events[0] if events else None

    def _event_or_error(self, message: RawStreamMsg) -> StoredEvent | UnreadableEvent:
        try:
            return stored_event_of_raw(message, self._stream, self._keyring)
        except UnreadableEvent as error:
            return error


def _event_name(message: RawStreamMsg) -> str:
    return ".".join((message.subject or "").split(".", 2)[:2])


async def publish(client: Client, subject: str, body: bytes, headers: dict[str, str]) -> PubAck:
    """Publishes a message to a stream and returns its acknowledgement. Raises Conflict if a guard fails.

    Repeats the request while the cluster has no leader; the ``Nats-Msg-Id`` makes the server store the message once.
    Raises nats.errors.MaxPayloadError if headers and body are larger than the server accepts.
    """
    header_bytes = size_of(b"", headers)
    if header_bytes > MAX_HEADER_BYTES or header_bytes + len(body) > client.max_payload:
        raise MaxPayloadError
    try:
        ack = await retry_until_leader(lambda: request_json(client, subject, body, headers))
    except NoRespondersError as error:
        raise NoStreamResponseError from error
    except APIError as error:
        if error.err_code == _WRONG_LAST_SEQUENCE:
            raise Conflict(subject) from error
        raise
    return PubAck(stream=ack["stream"], seq=ack["seq"], duplicate=ack.get("duplicate"))


def size_of(body: bytes, headers: Mapping[str, str]) -> int:
    """Returns the bytes that the server compares with its payload limit: headers and body.

    nats-py compares the body alone. The server closes a connection that sends more, and nats-py does not reconnect.
    """
    text = "".join([*headers, *headers.values()])
    return len(body) + len("NATS/1.0\r\n") + len(text.encode()) + len(headers) * len(": \r\n") + len("\r\n")
