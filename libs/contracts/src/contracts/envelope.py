"""The envelope: CloudEvents 1.0 in NATS binary mode. The attributes are headers, and the body is only the event."""

from collections.abc import Mapping
from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.event import Event
from contracts.instants import Instant
from contracts.invalid import InvalidMessage, reasons_of

MAX_HEADER_LENGTH = 200
"""How many characters a header of a request may have that later events carry on."""

_CARRIED_ON = ("id", "source", "correlation_id", "causation_id", "traceparent")


class Envelope(BaseModel):
    """The attributes of a message: id, type, source, time, cause and trace.

    ``causation_id`` is the id of the message that led to this one, ``correlation_id`` that of the first in the chain.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True, extra="ignore")

    id: str = Field(alias="ce-id")
    type: str = Field(alias="ce-type")
    source: str = Field(alias="ce-source")
    time: Instant = Field(alias="ce-time")
    subject: str = Field(alias="ce-subject")
    specversion: str = Field(default="1.0", alias="ce-specversion")
    correlation_id: str | None = Field(default=None, alias="centralita-correlation-id")
    causation_id: str | None = Field(default=None, alias="centralita-causation-id")
    traceparent: str | None = None

    @classmethod
    def of(cls, event: Event, *, id: str, source: str, time: datetime, cause: "Envelope | None" = None) -> Self:
        """Returns the envelope of an event that `cause` led to."""
        return cls(
            id=id,
            type=event.type_name(),
            source=source,
            time=time,
            subject=event.subject.split(".", 2)[-1],
            correlation_id=(cause.correlation_id or cause.id) if cause else id,
            causation_id=cause.id if cause else None,
            traceparent=cause.traceparent if cause else None,
        )

    @classmethod
    def read(cls, headers: Mapping[str, str], *, subject: str, id: str, time: datetime) -> Self:
        """Returns the envelope in `headers`; missing headers are filled in from the message. Raises InvalidMessage.

        Upstream systems need not send any header.
        """
        fallback = {
            "ce-id": id,
            "ce-type": subject,
            "ce-source": "unnamed",
            "ce-time": time,
            "ce-subject": subject,
        }
        try:
            return cls.model_validate({**fallback, **headers})
        except ValidationError as error:
            raise InvalidMessage([f"header {reason}" for reason in reasons_of(error)]) from error

    def check_lengths(self) -> None:
        """Raises InvalidMessage if a value that later events carry on is too long or not printable.

        For requests, whose headers others write. Stored events are not checked again (law 12).
        """
        wrong = [name for name in _CARRIED_ON if not _is_short_text(getattr(self, name) or "")]
        if wrong:
            limit = f"at most {MAX_HEADER_LENGTH} printable characters are accepted"
            raise InvalidMessage([f"header {type(self).model_fields[name].alias or name}: {limit}" for name in wrong])

    def headers(self) -> dict[str, str]:
        """Returns the headers of the message. ``Nats-Msg-Id`` equals ``ce-id``, so the server drops a repetition."""
        return {**self.model_dump(mode="json", by_alias=True, exclude_none=True), "Nats-Msg-Id": self.id}


def _is_short_text(value: str) -> bool:
    return len(value) <= MAX_HEADER_LENGTH and value.isprintable()
