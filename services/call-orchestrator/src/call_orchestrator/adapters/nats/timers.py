"""Deadlines as scheduled messages of the server.

Every state of a call but `Ended` has exactly one deadline (law 3). The server keeps it in the stream SCHEDULES as a
scheduled message, and publishes it at the deadline. The stream CALLS copies it as ``timer.due``, and the orchestrator
consumes that like any other event. There is no polling. A new call that is granted its slot at once sets
no schedule before its attempt (docs/adr/0050).

A schedule belongs to a deadline, not to a call: its subject names the person, the call, the deadline, the last command
and the attempt. The message that sets a new deadline also names the schedule of the state before, which the server then
removes (the headers ``Nats-Schedule-Next: purge`` and ``Nats-Scheduler``). So a changed deadline costs one message, and
no read and no guard, and the order in which replicas set their deadlines has no influence:

- Only the replica that decides on a state removes its schedule, after it has appended the next event. A slow replica
  removes a schedule of the past, and never that of the present state.
- A slow replica may set a schedule that was already removed. It fires, and the state machine ignores it: it is older
  than the deadline of the state, or early. A schedule that is set again by mistake costs two messages.
- Neither holds if a state could get the subject of an earlier state again, because a slow replica would then remove the
  present schedule. A deadline returns to the same microsecond only by a command, as for a call that is scheduled for
  eleven, then for twelve, then for eleven, or by an attempt that did not reach the network. Both are in the subject.

`clear` removes the schedule of the last state before the end, and never that of a call that was retried meanwhile. If a
replica dies between the append and the schedule, the message that caused the event is delivered again, and the timer is
set then. If it dies before `clear`, the timer fires once and is ignored.

A fired message stays in SCHEDULES for `FIRED_TTL_SECONDS`, so that CALLS copies it also after an outage.

Sources: ADR-51 (schedules) and ADR-43 (``Nats-TTL``) of nats-architecture-and-design; nats-server 2.15, in which a
client may remove a schedule with the message that replaces it.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from uuid import UUID

import uuid_utils
from nats.aio.client import Client

from chassis.event_log import publish
from chassis.leader_retry import retry_until_leader
from chassis.stream_api import jetstream_of
from chassis.stream_reader import last_sequence, read
from chassis.time_mapping import REAL_TIME, TimeMapping
from contracts import Call, Envelope, TimerDue
from contracts.events.timers import SCHEDULES_OF_CALLS, schedule_headers, schedule_subject, scheduled_call_id
from contracts.streams import SCHEDULES


class NatsTimers:
    """Implements `Timers` with scheduled messages."""

    def __init__(
        self, client: Client, source: str, now: Callable[[], datetime], mapping: TimeMapping = REAL_TIME
    ) -> None:
        """`mapping`: from the time of deadlines to that of the server, which fires the schedules."""
        self._client = client
        self._js = jetstream_of(client, SCHEDULES.name)
        self._source = source
        self._now = now
        self._mapping = mapping

    async def set(self, call: Call, fires_at: datetime, *, previous: Call | None, cause: Envelope) -> None:
        """Schedules `timer.due` for the deadline of the call, and removes the schedule of the state before."""
        timer = TimerDue(call_id=call.call_id, deadline_at=fires_at)
        await self._schedule(call, timer, fires_at, cause, removed=schedule_subject(previous) if previous else None)

    async def wake(
        self, call: Call, cause: Envelope, *, is_number_free: bool = False, is_campaign_finished: bool = False
    ) -> None:
        """Replaces the schedule of the present deadline by one that fires now."""
        assert call.deadline_at is not None  # noqa: S101  an ended call has no timer
        timer = TimerDue(
            call_id=call.call_id,
            deadline_at=call.deadline_at,
            is_number_free=is_number_free,
            is_campaign_finished=is_campaign_finished,
        )
        await self._schedule(call, timer, self._now(), cause, removed=None)

    async def _schedule(
        self, call: Call, timer: TimerDue, fires_at: datetime, cause: Envelope, *, removed: str | None
    ) -> None:
        envelope = Envelope.of(id=str(uuid_utils.uuid7()), source=self._source, time=self._now(), cause=cause)
        subject = schedule_subject(call)
        assert subject is not None  # noqa: S101  an ended call has no timer
        schedule = f"@at {self._mapping.real(fires_at).astimezone(UTC).isoformat().replace('+00:00', 'Z')}"
        headers = {**envelope.headers(), **schedule_headers(call.call_id, schedule)}
        if removed and removed != subject:
            headers |= {"Nats-Schedule-Next": "purge", "Nats-Scheduler": removed}
        await publish(self._client, subject, timer.body(), headers)

    async def calls(self) -> AsyncIterator[UUID]:
        """Yields the calls that have a schedule now."""
        end = await retry_until_leader(lambda: last_sequence(self._client, SCHEDULES.name))
        async with aclosing(read(self._client, SCHEDULES.name, SCHEDULES_OF_CALLS, end_sequence=end)) as schedules:
            async for message in schedules:
                yield UUID(scheduled_call_id(message.subject))

    async def clear(self, previous: Call) -> None:
        """Removes the schedule of a call that has ended; `previous` is its last state with a deadline."""
        subject = schedule_subject(previous)
        assert subject is not None  # noqa: S101
        await retry_until_leader(lambda: self._js.purge_stream(SCHEDULES.name, subject=subject))
