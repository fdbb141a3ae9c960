"""All events, found in the modules of this package, and how a message is decoded into one."""

from collections.abc import Iterator, Mapping
from types import ModuleType

from pydantic import ValidationError

from contracts.event import Event
from contracts.events import (
    admissions,
    audio,
    calls,
    campaign_requests,
    campaigns,
    contacts,
    conversations,
    dials,
    erasures,
    media,
    numbers,
    persons,
    requests,
    telephony,
    timers,
    tools,
    transfers,
)
from contracts.invalid import InvalidMessage
from contracts.personal import SEALED, Opener, opened
from contracts.values import STORED

_MODULES = (
    requests,
    campaign_requests,
    calls,
    admissions,
    dials,
    telephony,
    media,
    conversations,
    tools,
    transfers,
    audio,
    campaigns,
    contacts,
    numbers,
    persons,
    erasures,
    timers,
)


def _events(module: ModuleType) -> Iterator[type[Event]]:
    for found in vars(module).values():
        if isinstance(found, type) and issubclass(found, Event) and "event_name" in vars(found):
            yield found


EVENTS: Mapping[str, type[Event]] = {event.event_name: event for module in _MODULES for event in _events(module)}
"""Every event type by its name, which is also the first two tokens of its subject."""


def decode(subject: str, body: bytes, opener: Opener | None = None) -> Event:
    """Returns the event of a message. `opener` opens the personal fields of a sealed body; None: it is not sealed.

    Raises InvalidMessage if no event has this name, the body is invalid, or it belongs on another subject.
    """
    event_name = ".".join(subject.split(".")[:2])
    if event_name not in EVENTS:
        raise InvalidMessage([f"subject: no event is named {event_name!r}"], may_be_newer=True)
    try:
        event = _opened(EVENTS[event_name], body, opener) if opener else EVENTS[event_name].model_validate_json(body)
    except ValidationError as error:
        raise InvalidMessage.of(error) from error
    if not event.belongs_on(subject):
        raise InvalidMessage([f"subject: the body belongs on {event.subject!r}"])
    return event


def _opened(event: type[Event], body: bytes, opener: Opener) -> Event:
    try:
        fields = opened(body, event, opener)
    except (ValueError, TypeError, AttributeError) as error:  # no JSON, no object, or not sealed by us
        raise InvalidMessage([f"{SEALED}: cannot be opened"]) from error
    return event.model_validate(fields, context=STORED)
