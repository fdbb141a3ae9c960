"""One message of the log, as it is on the wire and as one line of an export."""

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self
from uuid import UUID

from chassis.direct_get import StoredMessage
from chassis.event_log import StoredEvent
from chassis.keyring import Keyring
from chassis.unreadable import UnreadableEvent
from contracts import Envelope, Event, InvalidMessage, decode
from contracts.personal import PERSON_HEADER, Opener, json_and_sealed, with_sealed, without_keys
from contracts.sources import implied_source
from contracts.streams import CALLS, REQUESTS

STREAMS = {REQUESTS.name: REQUESTS, CALLS.name: CALLS}

EVENT_FILTERS = CALLS.subjects
"""Filters that match every event of the stream CALLS. The streams QUEUE and SCHEDULES are not part of the log."""


@dataclass(frozen=True, slots=True)
class Message:
    """A stored message; `time` is when the server stored it."""

    stream: str
    sequence: int
    time: datetime
    subject: str
    headers: dict[str, str]
    body: bytes
    opener: Opener | None = field(default=None, compare=False, repr=False)
    """Opens the personal fields; none: they are hidden."""

    @classmethod
    def of(cls, stored: StoredMessage) -> Self:
        """Returns a message that was read from its stream."""
        return cls(stored.stream, stored.seq, stored.time, stored.subject, stored.headers, stored.data)

    @property
    def identity(self) -> str:
        """The id by which services know the message; ``<stream>/<sequence>`` if its sender set none."""
        return self.headers.get("ce-id") or self.headers.get("Nats-Msg-Id") or f"{self.stream}/{self.sequence}"

    def stored_event(self) -> StoredEvent:
        """Returns the event with its envelope. Raises InvalidMessage."""
        source = implied_source(self.stream, self.subject)
        envelope = Envelope.read(self.headers, id=self.identity, time=self.time, source=source)
        event = decode(self.subject, self.body, self.opener or without_keys(self.headers))
        return StoredEvent(event, envelope, self.sequence)

    def decoded(self) -> StoredEvent | UnreadableEvent:
        """Returns the event with its envelope, or the reasons why this build cannot decode it."""
        try:
            return self.stored_event()
        except InvalidMessage as error:
            return UnreadableEvent(self.stream, self.sequence, self.subject, self.time, error.reasons)

    def event(self) -> Event | None:
        """Returns the event, or None if the message is invalid. (Its consumers make a dead letter of it.)"""
        try:
            return self.stored_event().event
        except InvalidMessage:
            return None


async def with_keys(messages: Iterable[Message], keyring: Keyring | None) -> list[Message]:
    """Returns the messages, whose personal fields are opened by the keyring. Without one, they are hidden."""
    if keyring is None:
        return list(messages)
    loaded: set[str] = set()
    return [await _with_key(message, keyring, loaded) for message in messages]


async def _with_key(message: Message, keyring: Keyring, loaded: set[str]) -> Message:
    if not (person := message.headers.get(PERSON_HEADER)):
        return message
    if person not in loaded:
        await keyring.load([person])
        loaded.add(person)
    event_name = ".".join(message.subject.split(".", 2)[:2])
    return replace(message, opener=keyring.opener(person, event_name))


def event_filters_of(call_id: UUID) -> tuple[str, ...]:
    """Returns `EVENT_FILTERS` narrowed to one call. Those of chains also match the events of other calls."""
    patterns = [subject.split(".") for subject in EVENT_FILTERS if not subject.startswith(("campaign.", "request."))]
    return tuple(".".join([*one[:2], str(call_id), *one[3:]] if len(one) > 2 else one) for one in patterns)


def stores_subject(stream: str, subject: str) -> bool:
    """Returns whether messages on this subject are stored in this stream."""
    return stream in STREAMS and any(matches(pattern, subject) for pattern in STREAMS[stream].subjects)


def matches(pattern: str, subject: str) -> bool:
    """Returns whether a subject is on a filter, whose only wildcard is ``*``."""
    expected, actual = pattern.split("."), subject.split(".")
    return len(expected) == len(actual) and all(a in ("*", b) and b for a, b in zip(expected, actual, strict=True))


def to_json(message: Message) -> str:
    """Returns one JSON object without a line end.

    The sealed bytes of a body are ``sealed_base64``. A body that is not UTF-8 otherwise is ``body_base64``.
    """
    text, sealed = json_and_sealed(message.body)
    try:
        body = {"body": text.decode()}
        if sealed is not None:
            body["sealed_base64"] = base64.b64encode(sealed).decode()
    except UnicodeDecodeError:
        body = {"body_base64": base64.b64encode(message.body).decode()}
    fields = {
        "stream": message.stream,
        "sequence": message.sequence,
        "time": message.time.isoformat(),
        "subject": message.subject,
        "headers": message.headers,
        **body,
    }
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def from_json(line: str) -> Message:
    """Returns the message that a line encodes. Raises ValueError, KeyError or TypeError if it encodes none."""
    fields = json.loads(line)
    text, sealed = fields.get("body"), fields.get("sealed_base64")
    body = base64.b64decode(fields["body_base64"], validate=True) if text is None else text.encode()
    if sealed is not None:
        body = with_sealed(body, base64.b64decode(sealed, validate=True))
    return Message(
        stream=str(fields["stream"]),
        sequence=int(fields["sequence"]),
        time=datetime.fromisoformat(fields["time"]),
        subject=str(fields["subject"]),
        headers={str(name): str(value) for name, value in fields["headers"].items()},
        body=body,
    )
