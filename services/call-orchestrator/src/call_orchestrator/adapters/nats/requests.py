"""The stream REQUESTS: the commands of one call, which requests are decided, and the erasure of requests in clear.

Everything is read from the leader, or compared with what the leader has (ADR 18). The cost does not depend on the
length of the stream (law 11).
"""

import asyncio
from typing import cast
from uuid import UUID

from nats.aio.client import Client
from nats.js.errors import NotFoundError

from chassis.deletion import delete_message, erase_message
from chassis.event_log import EventLog, StoredEvent
from chassis.leader_retry import retry_until_leader
from chassis.stream_api import jetstream_of
from contracts import CallCommand, CallRequested, ErasedRequest, RequestsErased
from contracts.consumers import ORCHESTRATOR_REQUESTS
from contracts.filters import call_commands_filter
from contracts.streams import REQUESTS

_FRESH_SECONDS = 0.1


class NatsRequests:
    """Implements `Requests` with the stream REQUESTS and the state of its consumer."""

    def __init__(self, client: Client, requests: EventLog, log: EventLog) -> None:
        """`log`: the stream CALLS, where erased requests are recorded."""
        self._client = client
        self._js = jetstream_of(client, REQUESTS.name)
        self._requests = requests
        self._log = log
        self._erasure = asyncio.Lock()
        self._unrecorded: dict[int, ErasedRequest] = {}
        self._undecided_sequence = 0
        self._found_at = float("-inf")

    async def commands(self, call_id: UUID, after_sequence: int) -> list[StoredEvent[CallCommand]]:
        """Returns the valid commands of the call after this position, in the order of the stream.

        Invalid and unacceptable ones are left out: their own delivery makes dead letters of them. If there are none, as
        for nearly every call, this is one read.
        """
        stored = await self._requests.read_all([call_commands_filter(call_id)], after_sequence=after_sequence)
        valid = [one for one in stored if isinstance(one, StoredEvent) and _is_acceptable(one)]
        return cast("list[StoredEvent[CallCommand]]", valid)

    async def undecided_before(self, sequence: int) -> int:
        """Returns how far before this position the first undecided request is; 0 if all before it are decided.

        A request is decided when it is acknowledged: its call exists, or it is a dead letter. The first undecided
        request follows the consumer's ack floor. Many commands may wait for the same request, so it is looked up at
        most every 100 ms.
        """
        clock = asyncio.get_running_loop().time
        if sequence > self._undecided_sequence and clock() - self._found_at >= _FRESH_SECONDS:
            undecided_sequence = await retry_until_leader(self._find_undecided)
            if undecided_sequence is None:
                return 0
            self._undecided_sequence, self._found_at = undecided_sequence, clock()
        return max(sequence - self._undecided_sequence, 0)

    async def erase(self, sequence: int, record: ErasedRequest | None = None, *, is_overwritten: bool = True) -> None:
        """Erases a request or command. Has no effect if it no longer exists.

        `record`: what became of it, if no decision in the log shows that. It is appended before the erasure. All
        requests that wait here are in one event, so a flood of refused requests causes few events.
        `is_overwritten`: false if it is sealed, so that its bytes may stay in a file until the server compacts that.

        One erasure at a time: the server handles nothing else of this connection meanwhile.
        """
        if record:
            self._unrecorded[sequence] = record
        try:
            async with self._erasure:
                if sequence in self._unrecorded:
                    await self._record_waiting()
                remove = erase_message if is_overwritten else delete_message
                await remove(self._client, REQUESTS.name, sequence)
        finally:
            self._unrecorded.pop(sequence, None)

    async def _record_waiting(self) -> None:
        records = tuple(self._unrecorded.values())
        await self._log.append(RequestsErased(requests=records, erased_at=self._log.now()))
        for one in records:
            self._unrecorded.pop(one.sequence, None)

    async def _find_undecided(self) -> int | None:
        """Returns the position of the first undecided request, or None."""
        floor = (await self._js.consumer_info(REQUESTS.name, ORCHESTRATOR_REQUESTS.name)).ack_floor
        start = (floor.stream_seq if floor else 0) + 1
        try:
            return (await self._js.get_msg(REQUESTS.name, seq=start, subject=CallRequested.subjects(), next=True)).seq
        except NotFoundError:
            return None


def _is_acceptable(stored: StoredEvent) -> bool:
    """Whether the command was acceptable when the server stored it, as `chassis.subscriptions` judges it."""
    return stored.stored_at is not None and not stored.event.refusals(stored.stored_at)
