"""The queue of waiting calls: an index of the log in the stream ``QUEUE``, with one message per call."""

from contextlib import aclosing, suppress
from uuid import UUID

from nats.aio.client import Client

from call_orchestrator.adapters.nats.requests import NatsRequests
from chassis.deletion import delete_message
from chassis.event_log import EventLog
from chassis.leader_retry import retry_until_leader
from chassis.stream_api import jetstream_of
from chassis.stream_reader import last_sequence, read
from chassis.unreadable import UnreadableEvent, UnreadableEvents
from contracts import Call, CallCreated, CallDecision, CallStatus, Envelope, QueueJoined
from contracts.filters import call_state_filter
from contracts.streams import CALLS, QUEUE


class NatsQueue:
    """Implements `Queue`: the stream keeps the newest message of each subject."""

    def __init__(self, client: Client, queue: EventLog) -> None:
        self._client = client
        self._js = jetstream_of(client, QUEUE.name)
        self._queue = queue
        self._unreadable = UnreadableEvents("queue-restoring")

    async def restore(self, calls: EventLog, requests: NatsRequests) -> None:
        """Rebuilds the queue from the log if the stream ``QUEUE`` has never had a message.

        That is so if the stream was lost and created again, if the log was imported, and until the first call waits. A
        call with undecided commands is left out: its request or the commands are delivered again, and decide first.
        """
        if (await retry_until_leader(lambda: self._js.stream_info(QUEUE.name))).state.last_seq:
            return
        for call_id in await self._pending():
            try:
                await self._restore(calls, requests, call_id)
            except UnreadableEvent as error:
                self._unreadable.report(error)

    async def _pending(self) -> set[UUID]:
        """Returns the calls whose newest decision in the log leaves them pending."""
        pending: set[UUID] = set()
        end = await last_sequence(self._client, CALLS.name)
        async with aclosing(read(self._client, CALLS.name, [call_state_filter("*")], end_sequence=end)) as decisions:
            async for message in decisions:
                _, _, call_id, status = message.subject.split(".")
                with suppress(ValueError):  # not an id: written by hand
                    (pending.add if status == CallStatus.PENDING else pending.discard)(UUID(call_id))
        return pending

    async def _restore(self, calls: EventLog, requests: NatsRequests, call_id: UUID) -> None:
        newest = await calls.last(call_state_filter(call_id))
        if not (newest and isinstance(newest.event, CallDecision) and newest.event.call.is_queued):
            return
        call = newest.event.call
        is_created = isinstance(newest.event, CallCreated) and call.command_sequence is not None
        if not (is_created and await requests.commands(call_id, call.command_sequence or 0)):
            await self.join(call, due_sequence=newest.sequence, cause=newest.envelope)

    async def join(self, call: Call, *, due_sequence: int, cause: Envelope) -> None:
        """Adds the call to the stream ``QUEUE``, which keeps one message per call: the newest.

        A repetition is not stored. It would replace the entry, and nats-server shows a replaced message again if it is
        killed after the newest one was deleted.
        """
        assert call.due_at is not None  # noqa: S101  a call that waits has a due time
        joined = QueueJoined(
            call_id=call.call_id,
            campaign_id=call.campaign_id,
            attempt=call.attempt + 1,
            due_at=call.due_at,
            due_sequence=due_sequence,
        )
        await self._queue.append(joined, cause=cause, event_id=f"{call.call_id}/queued/{due_sequence}")

    async def leave(self, queue_sequence: int) -> None:
        """Deletes the message of this sequence, if it exists. A newer message of the same call stays."""
        await delete_message(self._client, QUEUE.name, queue_sequence)
