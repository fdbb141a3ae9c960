"""The envelope: the attributes of CloudEvents 1.0, as headers of a NATS message whose body is only the event.

Headers are stored with every message, so only those are written that the message does not imply (ADR 36):

| attribute | without its header |
|---|---|
| ``specversion`` | always ``1.0`` |
| ``id`` | the ``Nats-Msg-Id``, and without it the position in the stream |
| ``type`` | the name is the first two tokens of the subject; the version is that of the reader's contract |
| ``time`` | when the server stored the message |
| ``source`` | the one service that may publish the event; in the stream REQUESTS: unnamed |

A message that `centralita seal` stored again has the time at which it was first stored as a header, which counts.

The header ``ce-person`` is written if the body is sealed (`contracts.personal`). It is the digest of the telephone
number whose key opens the body. Events that follow are sealed under the same key.

A reader prefers the header: requests, imported messages and older logs have more of them. Older logs have the cause
and the correlation under longer names.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError

from contracts.instants import Instant, clamped
from contracts.invalid import InvalidMessage
from contracts.personal import PERSON_HEADER

UNNAMED = "unnamed"
"""The source of a request whose sender gives none."""
MAX_HEADER_LENGTH = 200
"""How many characters a header of a request may have that later events carry on."""
FIRST_STORED_HEADER = "centralita-stored-at"
"""The header with the time at which the server first stored a message that `centralita seal` has stored again."""

HEADERS: Mapping[str, str] = {
    "id": "ce-id",
    "source": "ce-source",
    "time": "ce-time",
    "correlation_id": "ce-correlationid",
    "causation_id": "ce-causationid",
    "traceparent": "traceparent",
    "person": PERSON_HEADER,
}
"""The header of each field of the envelope."""
_FORMER_CORRELATION, _FORMER_CAUSATION = "centralita-correlation-id", "centralita-causation-id"
_CARRIED_ON = ("id", "source", "correlation_id", "causation_id", "traceparent", "person")
_INSTANT: TypeAdapter[datetime] = TypeAdapter(Instant)


def first_stored_at(headers: Mapping[str, str] | None, stored_at: datetime) -> datetime:
    """Returns when a message was first stored: as its header says, or else `stored_at`.

    Upstream systems write headers of requests, too. So an instant after `stored_at` does not count.
    """
    value = headers.get(FIRST_STORED_HEADER) if headers else None
    if value is None:
        return stored_at
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        return stored_at
    return min(instant, stored_at) if instant.tzinfo else stored_at


@dataclass(frozen=True, slots=True)
class Envelope:
    """The attributes of a message: id, source, time, cause and trace. Its type is that of its event.

    ``time`` is when the server stored the message, or what the header of an imported or older message says. In the
    envelope of an event that this process appended it is the time of the process, so it is not compared.
    ``causation_id`` is the id of the message that led to this one. ``correlation_id`` is that of the request, if
    its sender set one; without it the id in the subject (of the call or the campaign) correlates the messages.
    ``person``: the digest under whose key the body is sealed.
    """

    id: str
    source: str
    time: datetime = field(compare=False)
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None
    person: str | None = None

    @classmethod
    def of(cls, *, id: str, source: str, time: datetime, cause: "Envelope | None" = None) -> Self:
        """Returns the envelope of an event that `cause` led to. An event from outside the log has no cause."""
        if cause is None:
            return cls(id, source, time)
        return cls(id, source, time, cause.correlation_id, cause.id, cause.traceparent, cause.person)

    @classmethod
    def read(cls, headers: Mapping[str, str], *, id: str, time: datetime, source: str | None = None) -> Self:
        """Returns the envelope in `headers`. Without their headers, the message has this id, time and source.

        Upstream systems need not send any header. Raises InvalidMessage.
        """
        get = headers.get
        return cls(
            id=get("ce-id") or id,  # an empty id would be no cause of any event
            source=get("ce-source") or source or UNNAMED,
            time=_instant(headers["ce-time"]) if "ce-time" in headers else time,
            correlation_id=get("ce-correlationid") or get(_FORMER_CORRELATION),
            causation_id=get("ce-causationid") or get(_FORMER_CAUSATION),
            traceparent=get("traceparent"),
            person=get(PERSON_HEADER) or None,
        )

    def check_lengths(self) -> None:
        """Raises InvalidMessage if a value that later events carry on is too long or not printable.

        For requests, whose headers others write. Stored events are not checked again (law 12).
        """
        wrong = [name for name in _CARRIED_ON if not _is_short_text(getattr(self, name) or "")]
        if wrong:
            limit = f"at most {MAX_HEADER_LENGTH} printable characters are accepted"
            raise InvalidMessage([f"header {HEADERS[name]}: {limit}" for name in wrong])

    def headers(self, implied_source: str | None = None) -> dict[str, str]:
        """Returns the headers of the message, without that of its person: a body that is not sealed has none.

        The server stores a ``Nats-Msg-Id`` once, so it drops a repetition. `implied_source`: what readers take for the
        source without its header.
        """
        headers = {"Nats-Msg-Id": self.id}
        if self.source != implied_source:
            headers[HEADERS["source"]] = self.source
        if self.correlation_id is not None:
            headers["ce-correlationid"] = self.correlation_id
        if self.causation_id is not None:
            headers["ce-causationid"] = self.causation_id
        if self.traceparent is not None:
            headers["traceparent"] = self.traceparent
        return headers


def headers_schema() -> dict[str, Any]:
    """Returns the JSON schema of the headers that are written. Readers need none of them."""
    text = {"type": "string"}
    return {
        "title": "Envelope",
        "description": "CloudEvents 1.0; attributes that the message implies have no header. A request needs none.",
        "type": "object",
        "properties": {
            "Nats-Msg-Id": {**text, "description": "identifies the message, unless it has a ce-id"},
            HEADERS["id"]: {**text, "description": "identifies the message; in requests, imports and older logs"},
            HEADERS["source"]: {**text, "description": "the publisher, unless the subject implies it"},
            HEADERS["time"]: {
                **text,
                "format": "date-time",
                "description": "in imports and older logs; otherwise the time at which the server stored the message",
            },
            HEADERS["correlation_id"]: {
                **text,
                "description": "set by a requester; all events that follow carry it. Without it, the id in the subject",
            },
            HEADERS["causation_id"]: {**text, "description": "the id of the message that led to this one"},
            HEADERS["traceparent"]: {**text, "description": "W3C trace context"},
            HEADERS["person"]: {**text, "description": "the body is sealed under the key of this person (a digest)"},
        },
    }


def _instant(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is not None:
            return clamped(time)
    except ValueError:
        pass
    try:
        return _INSTANT.validate_python(text)  # other forms that old logs may contain, such as seconds since 1970
    except ValidationError as error:
        remedy = "write an instant with its zone, such as 2026-03-02T15:00:00Z"
        raise InvalidMessage([f"header ce-time: {remedy}"]) from error


def _is_short_text(value: str) -> bool:
    return len(value) <= MAX_HEADER_LENGTH and value.isprintable()
