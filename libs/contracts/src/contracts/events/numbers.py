"""The states of telephone numbers: which attempt dials one, when it was dialled, and whether it may be called."""

from typing import ClassVar

from contracts.event import NumberEvent, Service
from contracts.instants import Instant
from contracts.number_state import NumberState


class NumberChanged(NumberEvent):
    """The state of a number after a change. The stream ``NUMBERS`` keeps the newest one of each number.

    One that lists the number on no do-not-call list expires after the longest frequency cap.
    """

    event_name: ClassVar[str] = "number.changed"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.ORCHESTRATOR})

    number: NumberState
    occurred_at: Instant

    @property
    def digest(self) -> str:
        """The digest of the number."""
        return self.number.number_digest
