"""Appends that at most one replica makes."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import NAMESPACE_URL, UUID, uuid5

from chassis.event_log import Conflict, EventLog, Guard, StoredEvent
from contracts import Envelope, Event

_TRIES = 10


def event_id(call_id: UUID, attempt: int, turn: int, what: str) -> str:
    """The same for the same thing said in the same turn: a repeated append of it is stored once."""
    return str(uuid5(NAMESPACE_URL, f"centralita:{call_id}/{attempt}/{turn}/{what}"))


@dataclass(frozen=True, slots=True)
class First:
    """An append that takes place only if the log holds no event like it; the server decides between replicas."""

    log: EventLog
    cause: Envelope

    async def append(
        self, event: Event, *, last: int, alike: Callable[[Event], bool], event_id: str | None = None
    ) -> bool:
        """Whether it was ours. `last` is the sequence of the last event known on its subject, 0 if there is none.

        Without an `event_id` it gets one of its own. A claim must: the server may drop an id that it knows before it
        looks at the guard, and acknowledge it, so that the loser of a race would take itself for the winner.
        Raises Conflict if others keep appending in between.
        """
        for _ in range(_TRIES):
            try:
                await self.log.append(event, cause=self.cause, guard=Guard(event.subject, last), event_id=event_id)
            except Conflict:
                stands = await self.log.read([event.subject])
                if any(alike(recorded.event) for recorded in stands):
                    return False
                last = stands[-1].sequence if stands else 0
            else:
                return True
        raise Conflict(event.subject)


def last_sequence(facts: list[StoredEvent], subject: str) -> int:
    """The sequence of the last of these facts on a subject; 0 if there is none."""
    return next((fact.sequence for fact in reversed(facts) if fact.event.subject == subject), 0)
