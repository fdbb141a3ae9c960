"""Deadlines, which the server keeps as scheduled messages (law 3)."""

from datetime import timedelta
from typing import ClassVar

from pydantic import AliasChoices, Field

from contracts.call import Call
from contracts.event import CallEvent, Service
from contracts.instants import MIN_INSTANT, Instant

SCHEDULES_WITHOUT_PERSON = "timer.set.*.*"
"""Schedules of older builds, and of calls that have no digest of their number."""
SCHEDULES_OF_CALLS = (SCHEDULES_WITHOUT_PERSON, "timer.set_for.*.*.*")
"""The filters of all schedules. Much older builds stored them in CALLS, on ``timer.set.<call_id>``."""
FIRED_TTL_SECONDS = 7 * 24 * 3600
"""How long the stream SCHEDULES keeps a message that it has fired. The stream CALLS has copied it within a second, or
within a minute after the failure of a node."""


class TimerDue(CallEvent):
    """The deadline of a state has passed, or it is early for the reason that it names.

    A state with a later deadline ignores it.
    """

    event_name: ClassVar[str] = "timer.due"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.SCHEDULER})
    version: ClassVar[int] = 2

    deadline_at: Instant = Field(validation_alias=AliasChoices("deadline_at", "deadline"))
    is_number_free: bool = Field(
        default=False, description="early: the call waited for its number, which no other call dials now"
    )
    is_campaign_finished: bool = Field(default=False, description="early: the campaign of the call is finished")


def schedule_subject(call: Call) -> str | None:
    """Returns the subject of the schedule for the deadline of the call; None if it has no deadline.

    It begins with the digest of the number, so the server finds the open calls of a person without a look at others.
    The last token names the deadline, the last command and the attempt, so a call that gets the same deadline again
    has another subject. `call_orchestrator.adapters.nats.timers` explains why it must.
    """
    if call.deadline_at is None:
        return None
    microseconds = (call.deadline_at - MIN_INSTANT) // timedelta(microseconds=1)
    deadline = f"{microseconds}-{call.command_sequence or 0}-{call.attempt}"
    if call.number_digest is None:
        return f"timer.set.{call.call_id}.{deadline}"
    return f"timer.set_for.{call.number_digest}.{call.call_id}.{deadline}"


def schedules_of(number_digest: str) -> str:
    """Returns the filter of the schedules of a person's calls."""
    return f"timer.set_for.{number_digest}.*.*"


def scheduled_call_id(subject: str) -> str:
    """Returns the id of the call whose schedule has this subject."""
    return subject.split(".")[-2]


def fired_subject(call_id: object) -> str:
    """Returns the subject on which the server fires the schedule of a call, in the stream SCHEDULES.

    The stream CALLS stores the message as `TimerDue`.
    """
    return f"timer.fired.{call_id}"


def schedule_headers(call_id: object, schedule: str) -> dict[str, str]:
    """Returns the headers that make a message a schedule of the call. `schedule`: ``@at`` and an instant (ADR-51)."""
    return {
        "Nats-Schedule": schedule,
        "Nats-Schedule-Target": fired_subject(call_id),
        "Nats-Schedule-TTL": f"{FIRED_TTL_SECONDS}s",
    }
