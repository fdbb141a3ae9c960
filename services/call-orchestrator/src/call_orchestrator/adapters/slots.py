"""`Admissions` and `Queue` on JetStream."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import APIError

from call_orchestrator.domain.slots import Waiting
from call_orchestrator.ports import Heard
from chassis import tracing
from chassis.event_log import EventLog, Guard, StoredEvent
from chassis.leader_retry import REQUEST_TIMEOUT_SECONDS, retry_until_leader
from chassis.stream_reader import follow, follow_events, last_sequence
from contracts import (
    LIVE_STATUSES,
    AdmissionGranted,
    AdmissionReleased,
    Call,
    CallDue,
    DialClaimed,
    Envelope,
    InvalidMessage,
    QueueJoined,
    decode,
)
from contracts.streams import CALLS, QUEUE, call_state_filter

_GONE = (10037, 10043, 10057)
"""The server's error codes (``errors.json``) for a message that is deleted already: alone, in a cluster, in a race."""
_FACTS = (AdmissionGranted, AdmissionReleased, DialClaimed)


class JetStreamQueue:
    """`Queue`: one message a call in a stream that keeps the newest of each subject."""

    def __init__(self, client: Client, queue: EventLog) -> None:
        self._client = client
        self._js = client.jetstream(timeout=REQUEST_TIMEOUT_SECONDS)
        self._queue = queue

    async def restore(self, calls: EventLog) -> None:
        """Makes the queue anew from the log, if it has never held anything: it was lost, or the log was imported."""
        last = await calls.last(CallDue.subjects())
        if last is None or await last_sequence(self._client, QUEUE.name):
            return
        following = follow(self._client, CALLS, [CallDue.subjects()], start_sequence=1, end_sequence=last.sequence)
        async with aclosing(following) as batches:
            async for batch in batches:
                for message in batch:
                    stands = await calls.last(call_state_filter(message.subject.split(".")[2]))
                    if stands and isinstance(stands.event, CallDue):
                        await self.join(stands.event.call, due_sequence=stands.sequence, cause=stands.envelope)

    async def join(self, call: Call, *, due_sequence: int, cause: Envelope) -> None:
        """See `Queue.join`."""
        assert call.due_at is not None  # noqa: S101  a call that waits has its time
        joined = QueueJoined(
            call_id=call.call_id,
            campaign_id=call.campaign_id,
            attempt=call.attempt + 1,
            due_at=call.due_at,
            due_sequence=due_sequence,
        )
        await self._queue.append(joined, cause=cause)

    async def leave(self, place: int) -> None:
        """See `Queue.leave`. By sequence: the call may have come to wait again, in another place."""
        try:
            await retry_until_leader(lambda: self._js.delete_msg(QUEUE.name, place))
        except APIError as error:
            if error.err_code not in _GONE:
                raise


class JetStreamAdmissions:
    """`Admissions`: grants in the log, each guarded by the last one of all."""

    def __init__(self, client: Client, log: EventLog) -> None:
        self._client = client
        self._log = log

    @asynccontextmanager
    async def heard(self) -> AsyncIterator[AsyncIterator[list[Heard]]]:
        """See `Admissions.heard`. The last grant says from where the log must be read."""
        end = await last_sequence(self._client, CALLS.name)
        last = await self._log.last(AdmissionGranted.subjects())
        start = last.event.replay_from_sequence if last and isinstance(last.event, AdmissionGranted) else end + 1
        filters = [call_state_filter("*"), *(event.subjects() for event in _FACTS)]
        async with aclosing(follow(self._client, CALLS, filters, start_sequence=start)) as batches:
            yield _all_heard(batches)

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[AsyncIterator[list[Waiting]]]:
        """See `Admissions.waiting`."""
        async with aclosing(follow_events(self._client, QUEUE, [QueueJoined.subjects()], start_sequence=1)) as batches:
            yield _all_waiting(batches)

    async def grant(self, call: Waiting, *, since: int, after: int) -> int:
        """See `Admissions.grant`."""
        grant = AdmissionGranted.model_validate(
            {
                "call_id": call.call_id,
                "campaign_id": call.campaign_id,
                "attempt": call.attempt,
                "due_sequence": call.due,
                "replay_from_sequence": since,
            }
        )
        with tracing.span("grant slot", tracing.PROCESS, await self._trace_of(call.call_id)):
            recorded = await self._log.append(grant, guard=Guard(AdmissionGranted.subjects(), after))
        return recorded.sequence

    async def _trace_of(self, call_id: str) -> str | None:
        """A grant follows from no message, but belongs to the call's trace."""
        stands = await self._log.last(call_state_filter(call_id)) if tracing.on() else None
        return stands.envelope.traceparent if stands else None

    async def release(self, grant: AdmissionGranted, *, granted: int, cause: Envelope) -> None:
        """See `Admissions.release`."""
        released = AdmissionReleased(call_id=grant.call_id, attempt=grant.attempt, grant_sequence=granted)
        await self._log.append(released, cause=cause, event_id=f"{cause.id}/released")


async def _all_heard(batches: AsyncGenerator[list[Msg], None]) -> AsyncIterator[list[Heard]]:
    async for batch in batches:
        yield [heard for message in batch if (heard := _heard(message))]


async def _all_waiting(batches: AsyncGenerator[list[StoredEvent], None]) -> AsyncIterator[list[Waiting]]:
    async for batch in batches:
        yield [waiting for stored in batch if (waiting := _waiting(stored))]


def _heard(message: Msg) -> Heard | None:
    sequence, parts = message.metadata.sequence.stream, message.subject.split(".")
    if parts[0] == "call":  # its subject says all that is needed, and its body is long
        return Heard(sequence, parts[2], None, live=parts[3] in LIVE_STATUSES)
    try:
        event = decode(message.subject, message.data)
    except InvalidMessage:  # its consumer makes a dead letter of it
        return None
    return Heard(sequence, parts[2], event) if isinstance(event, _FACTS) else None


def _waiting(stored: StoredEvent) -> Waiting | None:
    event = stored.event
    if not isinstance(event, QueueJoined):
        return None
    return Waiting(
        call_id=str(event.call_id),
        campaign_id=event.campaign_id,
        attempt=event.attempt,
        due_at=event.due_at,
        due=event.due_sequence,
        place=stored.sequence,
    )
