"""The ports on JetStream: the log, the deadlines as scheduled messages, the requests for greetings."""

from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

import uuid_utils
from nats.js import JetStreamContext

from call_orchestrator.ports import Stored
from chassis.event_log import Conflict, EventLog, Guard, publish
from chassis.leader_retry import retry_until_leader
from contracts import AudioRequested, CallDecision, Envelope, TimerDue
from contracts.events.timers import schedule_subject
from contracts.streams import CALLS, call_state_filter


class JetStreamCallLog:
    """`CallLog`: loading is one get, appending one guarded publish (law 1)."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def load(self, call_id: UUID) -> Stored | None:
        """See `CallLog.load`."""
        recorded = await self._log.last(call_state_filter(call_id))
        if recorded is None or not isinstance(recorded.event, CallDecision):
            return None
        return Stored(recorded.event.call, recorded.sequence, recorded.envelope.causation_id)

    async def append(self, event: CallDecision, *, after: int, cause: Envelope) -> int:
        """See `CallLog.append`."""
        recorded = await self._log.append(event, cause=cause, guard=Guard(call_state_filter(event.call_id), after))
        return recorded.sequence

    async def has_decided(self, call_id: UUID, cause: Envelope) -> bool:
        """See `CallLog.has_decided`."""
        events = await self._log.read([call_state_filter(call_id)])
        return any(recorded.envelope.causation_id == cause.id for recorded in events)


class JetStreamTimers:
    """`Timers`: one schedule subject a call (law 3), each schedule guarded by the event that it belongs to.

    Source: ADR-51 of nats-architecture-and-design. The guard keeps a slow replica from putting an old deadline over a
    newer one; the one who appended the newer event sets its own.
    """

    def __init__(self, js: JetStreamContext, source: str) -> None:
        self._js = js
        self._source = source

    async def set(self, call_id: UUID, deadline: datetime, *, after: int, cause: Envelope) -> None:
        """See `Timers.set`."""
        due = TimerDue(call_id=call_id, deadline_at=deadline)
        envelope = Envelope.of(
            due, id=str(uuid_utils.uuid7()), source=self._source, time=datetime.now(UTC), cause=cause
        )
        schedule = {
            "Nats-Schedule": f"@at {deadline.astimezone(UTC).isoformat().replace('+00:00', 'Z')}",
            "Nats-Schedule-Target": due.subject,
        }
        headers = {**envelope.headers(), **schedule, **Guard(call_state_filter(call_id), after).headers()}
        with suppress(Conflict):
            await publish(self._js, schedule_subject(call_id), due.model_dump_json().encode(), headers)

    async def clear(self, call_id: UUID) -> None:
        """See `Timers.clear`."""
        await retry_until_leader(lambda: self._js.purge_stream(CALLS.name, subject=schedule_subject(call_id)))


class JetStreamGreetings:
    """`Greetings`: a fact that voice reads."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def request(self, greeting: AudioRequested, *, event_id: str, cause: Envelope) -> None:
        """See `Greetings.request`."""
        await self._log.append(greeting, cause=cause, event_id=event_id)
