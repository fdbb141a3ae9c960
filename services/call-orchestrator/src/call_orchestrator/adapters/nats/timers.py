"""Deadlines as scheduled messages of the server.

Every state of a call but `Ended` has exactly one deadline (law 3). It is kept on the server as a scheduled message, on
one schedule subject per call, so a new deadline replaces the old one. There is no polling. At the deadline the server
publishes ``timer.due`` into the log, and the orchestrator consumes it like any other event.

An outdated timer may fire, if the server publishes it before its replacement is stored. ``timer.due`` carries the
deadline that it was set for. The state machine ignores a deadline that is older than that of the state, and a timer
that fires before its deadline; that timer is set again. Each schedule is guarded by the event that it belongs to, so a
slow replica cannot replace a newer deadline by an old one, nor purge the timer of a call that was retried meanwhile. If
a replica dies between the append and the schedule, the message that caused the event is delivered again. The effects
are then repeated, and the timer is set.

Source: ADR-51 of nats-architecture-and-design.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

import uuid_utils
from nats.aio.client import Client

from chassis.event_log import Conflict, Guard, publish
from chassis.leader_retry import REQUEST_TIMEOUT_SECONDS, retry_until_leader
from contracts import Envelope, TimerDue
from contracts.events.timers import schedule_subject
from contracts.streams import CALLS, call_state_filter


class NatsTimers:
    """Implements `Timers` with scheduled messages."""

    def __init__(self, client: Client, source: str, now: Callable[[], datetime]) -> None:
        self._client = client
        self._js = client.jetstream(timeout=REQUEST_TIMEOUT_SECONDS)
        self._source = source
        self._now = now

    async def set(self, call_id: UUID, deadline_at: datetime, *, after_sequence: int, cause: Envelope) -> None:
        """Schedules `timer.due` in place of the call's previous timer. A guard rejects a timer of an older event."""
        timer = TimerDue(call_id=call_id, deadline_at=deadline_at)
        envelope = Envelope.of(timer, id=str(uuid_utils.uuid7()), source=self._source, time=self._now(), cause=cause)
        schedule = {
            "Nats-Schedule": f"@at {deadline_at.astimezone(UTC).isoformat().replace('+00:00', 'Z')}",
            "Nats-Schedule-Target": timer.subject,
        }
        guard = Guard(call_state_filter(call_id), after_sequence)
        headers = {**envelope.headers(), **schedule, **guard.headers()}
        with suppress(Conflict):  # the replica that appended the newer event sets its own deadline
            await publish(self._client, schedule_subject(call_id), timer.model_dump_json().encode(), headers)

    async def clear(self, call_id: UUID, *, after_sequence: int) -> None:
        """Purges the call's schedule if it was stored before `after_sequence`: the event that left no deadline.

        A call that was retried meanwhile has a later schedule, which a slow replica does not purge.
        """
        subject = schedule_subject(call_id)
        await retry_until_leader(lambda: self._js.purge_stream(CALLS.name, seq=after_sequence, subject=subject))
