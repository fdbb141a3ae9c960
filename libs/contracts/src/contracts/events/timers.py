"""Deadlines, which the server keeps as scheduled messages (law 3)."""

from typing import ClassVar

from pydantic import AliasChoices, Field

from contracts.event import CallEvent, Service
from contracts.instants import Instant

_SCHEDULE = "timer.set"


class TimerDue(CallEvent):
    """The deadline of a state has passed. A state with a later deadline ignores it."""

    event_name: ClassVar[str] = "timer.due"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.SCHEDULER})
    version: ClassVar[int] = 2

    deadline_at: Instant = Field(validation_alias=AliasChoices("deadline_at", "deadline"))


def schedule_subject(call_id: object) -> str:
    """Returns the subject of the one schedule of a call; a newer schedule replaces the older."""
    return f"{_SCHEDULE}.{call_id}"


def is_schedule(subject: str) -> bool:
    """Returns whether a message is a schedule. It is kept by the server until it is due, and is no event."""
    return subject.startswith(f"{_SCHEDULE}.")
