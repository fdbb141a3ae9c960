"""The envelope: CloudEvents 1.0 in NATS binary mode. The attributes are headers, and the body is only the event.

Headers are stored with every message, so only those are written that a reader cannot derive. Older logs have more of
them, and the cause and the correlation under longer names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError

from contracts.event import Event
from contracts.instants import Instant, clamped
from contracts.invalid import InvalidMessage

MAX_HEADER_LENGTH = 200
"""How many characters a header of a request may have that later events carry on."""

SPEC_VERSION = "1.0"
HEADERS: Mapping[str, str] = {
    "id": "ce-id",
    "type": "ce-type",
    "source": "ce-source",
    "time": "ce-time",
    "correlation_id": "ce-correlationid",
    "causation_id": "ce-causationid",
    "traceparent": "traceparent",
}
"""The header of each field of the envelope."""
_FORMER_CORRELATION, _FORMER_CAUSATION = "centralita-correlation-id", "centralita-causation-id"
_CARRIED_ON = ("id", "source", "correlation_id", "causation_id", "traceparent")
_INSTANT: TypeAdapter[datetime] = TypeAdapter(Instant)


@dataclass(frozen=True, slots=True)
class Envelope:
    """The attributes of a message: id, type, source, time, cause and trace.

    ``causation_id`` is the id of the message that led to this one. ``correlation_id`` is that of the request, if its
    sender set one; without it the id in the subject (of the call or the campaign) correlates the messages.
    """

    id: str
    type: str
    source: str
    time: datetime
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None

    @classmethod
    def of(cls, event: Event, *, id: str, source: str, time: datetime, cause: "Envelope | None" = None) -> Self:
        """Returns the envelope of an event that `cause` led to. An event from outside the log has no cause."""
        if cause is None:
            return cls(id, event.type_name(), source, time)
        return cls(id, event.type_name(), source, time, cause.correlation_id, cause.id, cause.traceparent)

    @classmethod
    def read(cls, headers: Mapping[str, str], *, subject: str, id: str, time: datetime) -> Self:
        """Returns the envelope in `headers`; missing headers are filled in from the message. Raises InvalidMessage.

        Upstream systems need not send any header.
        """
        get = headers.get
        return cls(
            id=get("ce-id") or id,  # an empty id would be no cause of any event
            type=get("ce-type", subject),
            source=get("ce-source", "unnamed"),
            time=_instant(headers["ce-time"]) if "ce-time" in headers else time,
            correlation_id=get("ce-correlationid") or get(_FORMER_CORRELATION),
            causation_id=get("ce-causationid") or get(_FORMER_CAUSATION),
            traceparent=get("traceparent"),
        )

    def check_lengths(self) -> None:
        """Raises InvalidMessage if a value that later events carry on is too long or not printable.

        For requests, whose headers others write. Stored events are not checked again (law 12).
        """
        wrong = [name for name in _CARRIED_ON if not _is_short_text(getattr(self, name) or "")]
        if wrong:
            limit = f"at most {MAX_HEADER_LENGTH} printable characters are accepted"
            raise InvalidMessage([f"header {HEADERS[name]}: {limit}" for name in wrong])

    def headers(self) -> dict[str, str]:
        """Returns the headers of the message. ``Nats-Msg-Id`` equals ``ce-id``, so the server drops a repetition."""
        headers = {
            "ce-specversion": SPEC_VERSION,
            "ce-id": self.id,
            "ce-type": self.type,
            "ce-source": self.source,
            "ce-time": self.time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "Nats-Msg-Id": self.id,
        }
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
        "description": "CloudEvents 1.0 in NATS binary mode. No header of a request is required.",
        "type": "object",
        "properties": {
            "ce-specversion": {"const": SPEC_VERSION},
            HEADERS["id"]: {**text, "description": "identifies the message; also the Nats-Msg-Id"},
            HEADERS["type"]: {**text, "description": "name and version of the event, such as dial.placed.v1"},
            HEADERS["source"]: {**text, "description": "the service that published the message"},
            HEADERS["time"]: {**text, "format": "date-time"},
            HEADERS["correlation_id"]: {
                **text,
                "description": "set by a requester; all events that follow carry it. Without it, the id in the subject",
            },
            HEADERS["causation_id"]: {**text, "description": "the ce-id of the message that led to this one"},
            HEADERS["traceparent"]: {**text, "description": "W3C trace context"},
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
