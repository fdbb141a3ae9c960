"""Which call and which campaign a stored message is about."""

import json
from uuid import UUID

from contracts import call_id_of
from contracts.filters import call_of_message
from contracts.personal import json_and_sealed
from contracts.streams import REQUESTS
from records.messages import Message


def call_of(message: Message) -> str | None:
    """Returns the id of the call that a message is about, also of a request; None if it is about something else."""
    return call_of_message(message.subject, message.body, message.identity)


def campaign_of(message: Message) -> str | None:
    """Returns the campaign that a message names; None if it names only its call."""
    family, *rest = message.subject.split(".")
    if family == "campaign":
        return rest[1] if len(rest) > 1 else None
    if message.subject == "call.requested" or family == "contact":
        return _text(_field(message, "campaign_id"))
    call = _field(message, "call") if family == "call" and message.stream != REQUESTS.name else None
    return _text(call.get("campaign_id")) if isinstance(call, dict) else None


def _field(message: Message, name: str) -> object:
    try:
        body = json.loads(json_and_sealed(message.body)[0])
    except (ValueError, RecursionError):
        return None
    return body.get(name) if isinstance(body, dict) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def parse_call_id(text: str) -> UUID:
    """Returns the call id that a user means by `text`: a call id, or the request id it is derived from."""
    try:
        return UUID(text)
    except ValueError:
        return call_id_of(text)
