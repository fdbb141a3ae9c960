"""The sentences and replies of all calls, for the turns that this process plays.

Theory. One standing listener receives every `audio.requested` and `reply.generated` of the stream, and hands them to
the turns that wait (docs/adr/0030). So a turn creates nothing on the server: it registers, and reads its history once,
one page from the `speech.heard` that began it. Nothing is missed:

- An event that was stored before the turn registered is in the page, or arrived within the last seconds and is still in
  memory. The page contains the `speech.heard`, so the node that answers has reached the turn.
- An event that is stored later arrives at the listener. If the listener lost one, it begins again at the end of the
  stream, and every waiting turn reads its history again.
- A turn that receives nothing for `SILENCE_SECONDS` asks the leader once.

Events may therefore arrive out of order; `domain.turns.SentenceOrder` accepts that.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from uuid import UUID

import structlog
from nats.aio.client import Client

from chassis.event_log import EventLog, StoredEvent
from chassis.live import Incomplete, listen
from chassis.stream_reader import decoded, last_sequence
from chassis.unreadable import UnreadableEvents
from contracts import AudioRequested, ReplyGenerated
from contracts.filters import TURN_FILTERS, call_facts_filter
from contracts.streams import CALLS

SILENCE_SECONDS = 2.0
MEMORY_SECONDS = 10.0
MAX_RECENT = 20_000
"""How many events are kept in memory."""
_PAUSE_SECONDS = 1.0
_KINDS = (AudioRequested, ReplyGenerated)

logger = structlog.get_logger()

_Inbox = asyncio.Queue[StoredEvent | None]
"""The events of one waiting turn. None: read the history again."""


class TurnEventReader:
    """Implements `voice.ports.TurnEvents`. `run` must run meanwhile."""

    def __init__(self, client: Client, calls: EventLog) -> None:
        self._client = client
        self._calls = calls
        self._unreadable = UnreadableEvents("turns")
        self._inboxes: defaultdict[UUID, set[_Inbox]] = defaultdict(set)
        self._recent = _RecentEvents()

    async def run(self) -> None:
        """Listens until it is cancelled."""
        while True:
            try:
                await self._listen()
            except Incomplete as error:
                logger.info("turn_events_incomplete", error=str(error))
            except Exception as error:
                logger.warning("turn_events_interrupted", exc_info=error)
                await asyncio.sleep(_PAUSE_SECONDS)

    @asynccontextmanager
    async def follow(self, call_id: UUID, after_sequence: int) -> AsyncIterator[AsyncIterator[StoredEvent]]:
        """Follows the sentences and replies of a call, from the `speech.heard` with this sequence on, without an end.

        With the sequence 0, from the beginning of the call.
        """
        inbox = _Inbox()
        self._inboxes[call_id].add(inbox)
        for stored in self._recent.of(call_id):
            inbox.put_nowait(stored)
        try:
            async with aclosing(self._events(call_id, after_sequence, inbox)) as events:
                yield events
        finally:
            self._inboxes[call_id].discard(inbox)
            if not self._inboxes[call_id]:
                del self._inboxes[call_id]

    async def _listen(self) -> None:
        end_sequence = await last_sequence(self._client, CALLS.name)
        for inboxes in self._inboxes.values():
            for inbox in inboxes:
                inbox.put_nowait(None)
        # An event that cannot be decoded is left out: its turn ends early, and its remainder is spoken.
        skip = self._unreadable.report
        listening = listen(self._client, CALLS, TURN_FILTERS, start_sequence=end_sequence + 1)
        async with aclosing(decoded(listening, CALLS, skip=skip)) as batches:
            async for batch in batches:
                for stored in batch:
                    self._deliver(stored)

    def _deliver(self, stored: StoredEvent) -> None:
        if isinstance(stored.event, _KINDS):
            self._recent.add(stored.event.call_id, stored)
            for inbox in self._inboxes.get(stored.event.call_id, ()):
                inbox.put_nowait(stored)

    async def _events(self, call_id: UUID, after_sequence: int, inbox: _Inbox) -> AsyncGenerator[StoredEvent, None]:
        yielded: set[int] = set()
        history, may_ask = await self._read_history(call_id, after_sequence), True
        while True:
            for stored in history:
                if stored.sequence > after_sequence and stored.sequence not in yielded:
                    yielded.add(stored.sequence)
                    yield stored
            try:
                async with asyncio.timeout(SILENCE_SECONDS if may_ask else None):
                    received = await inbox.get()
            except TimeoutError:
                may_ask = False
                history = await self._read_at_leader(call_id, after_sequence)
            else:
                may_ask = True
                history = [received] if received else await self._read_at_leader(call_id, after_sequence)

    async def _read_history(self, call_id: UUID, after_sequence: int) -> list[StoredEvent]:
        """Returns the events of the turn in one page, from any node that has reached its `speech.heard`."""
        if not after_sequence:
            return await self._read_at_leader(call_id, after_sequence)
        return await self._calls.read_after(
            call_facts_filter(call_id), after_sequence - 1, known_sequence=after_sequence, kinds=_KINDS
        )

    async def _read_at_leader(self, call_id: UUID, after_sequence: int) -> list[StoredEvent]:
        subjects = [event.subject_for(call_id) for event in _KINDS]
        return await self._calls.read(subjects, after_sequence=after_sequence)


class _RecentEvents:
    """The events of the last `MEMORY_SECONDS`, by call."""

    def __init__(self) -> None:
        self._arrivals: deque[tuple[float, UUID]] = deque()
        self._events: defaultdict[UUID, deque[StoredEvent]] = defaultdict(deque)

    def add(self, call_id: UUID, stored: StoredEvent) -> None:
        now = asyncio.get_running_loop().time()
        self._arrivals.append((now, call_id))
        self._events[call_id].append(stored)
        while len(self._arrivals) > MAX_RECENT or self._arrivals[0][0] + MEMORY_SECONDS < now:
            self._remove_oldest()

    def of(self, call_id: UUID) -> list[StoredEvent]:
        return list(self._events.get(call_id, ()))

    def _remove_oldest(self) -> None:
        _, call_id = self._arrivals.popleft()
        self._events[call_id].popleft()
        if not self._events[call_id]:
            del self._events[call_id]
