"""Which events begin what is stored about a person, and so may make the key (`chassis.keyring`)."""

from contracts import CallChanged, CallCreated, CallDecision, Event, NumberChanged


def may_make_key(event: Event) -> bool:
    """Whether the event makes a key if there is none. Other decisions only carry the call on.

    The state of a number follows a command or a call, whose event has made the key. One of an older build may have
    none, so the state makes the first key of a person only (`makes_first_key`).
    """
    return not isinstance(event, CallDecision | NumberChanged) or isinstance(event, CallCreated | CallChanged)


def makes_first_key(event: Event) -> bool:
    """Whether the event makes a key if the person never had one. A key that was destroyed is not replaced."""
    return isinstance(event, NumberChanged)


def number_of(event: Event) -> str | None:
    """Returns the telephone number that the event carries, if any."""
    match event:
        case CallDecision():
            return event.call.phone_number
        case NumberChanged():
            return event.number.phone_number
        case _:
            return getattr(event, "phone_number", None)
