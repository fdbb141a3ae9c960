"""The calls that a log stands for: each event carries the call as it stands after it, so the last one is its fold."""

from collections.abc import Iterable
from uuid import UUID

from centralita.replay.messages import Message
from contracts import Call, CallDecision, InvalidMessage


def fold(messages: Iterable[Message]) -> dict[UUID, Call]:
    """Every call as it stands after these messages, which are in the order of the log. Needs no rules of its day."""
    calls: dict[UUID, Call] = {}
    for message in messages:
        if message.subject.startswith("call."):
            event = event_in(message)
            if isinstance(event, CallDecision):
                calls[event.call_id] = event.call
    return calls


def event_in(message: Message) -> object:
    """The event in a message; none if it is no event (its consumers have made a dead letter of it)."""
    try:
        return message.recorded().event
    except InvalidMessage:
        return None
