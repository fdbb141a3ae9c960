"""How long the oldest message of a consumer has been received and not acknowledged.

The server says how many such messages there are, and up to which sequence all are acknowledged (the ack floor), but not
how old the oldest is. If messages are unacknowledged and the floor has not moved since an earlier examination with
unacknowledged messages, then the oldest of that time is still among them. So the age is a lower bound, and no message
is read. The first examination knows none.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from chassis.bus_checks import AREA
from chassis.findings import Finding, warning
from chassis.jetstream_info import ConsumerState

LONG = timedelta(minutes=2)
"""A message that waits longer for its acknowledgement is a finding. A retry waits up to a minute."""


class AckFloors:
    """The ack floor of each consumer, and since when it has stood still with unacknowledged messages."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, datetime]] = {}

    def since(self, states: Sequence[ConsumerState], now: datetime) -> dict[str, datetime]:
        """Returns since when, at the latest, the oldest message of each consumer is unacknowledged."""
        seen = {}
        for one in states:
            if one.unacknowledged:
                floor, since = self._seen.get(one.name, (None, now))
                seen[one.name] = (one.ack_floor, since if floor == one.ack_floor else now)
        self._seen = seen
        return {name: since for name, (_, since) in seen.items()}


def check_acknowledgements(since: dict[str, datetime], now: datetime) -> list[Finding]:
    """Returns a warning for each consumer whose oldest message waits long for its acknowledgement."""
    return [_finding(name, now - at) for name, at in since.items() if now - at >= LONG]


def _finding(name: str, age: timedelta) -> Finding:
    found = f"its oldest message is unacknowledged for at least {age // timedelta(minutes=1)} min"
    advice = (
        f"the log of {name.partition('-')[0]} says why it is not handled; after its last delivery it is a dead letter"
    )
    return warning(AREA, f"acknowledgements of {name}", found, advice)
