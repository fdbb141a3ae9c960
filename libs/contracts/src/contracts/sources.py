"""The source of a message without the header ``ce-source`` (ADR 43)."""

from contracts.events import EVENTS
from contracts.streams import REQUESTS


def implied_source(stream: str, subject: str) -> str | None:
    """Returns the service that published a message without ``ce-source``: the only one that may. None: unknown.

    In the stream REQUESTS each sender names itself, because upstream systems publish there, too.
    """
    event = EVENTS.get(".".join(subject.split(".", 2)[:2]))
    if event is None or len(event.owners) > 1 or stream == REQUESTS.name:
        return None
    return next(iter(event.owners))
