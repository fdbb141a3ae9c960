"""The events of turns of all calls, for the turns that this process plays and its live conversations.

Theory. One standing listener receives every event of its filters of the stream, and hands them to the turns and calls
that wait (docs/adr/0030, 0068). So a turn creates nothing on the server: it registers, and gets its events here:

- The listener has been listening since before the `speech.heard` that began the turn, and has forgotten nothing after
  it: all events of the turn are in memory, or will arrive. Most turns are of this kind, and read nothing.
- Otherwise, the turn reads its history, one page from the `speech.heard` on. The page contains the `speech.heard`, so
  the node that answers has reached the turn. What is stored after the page arrives at the listener.
- If the listener lost an event, it begins again at the end of the stream, and every waiting turn reads its history.
- A turn that receives nothing for `SILENCE_SECONDS` asks the leader once. A live conversation does not ask: it waits
  for most of its time, and `chassis.live.listen` finds a lost message within seconds.

Events may therefore arrive out of order; `domain.turns.SentenceOrder` accepts that. An event is decoded when a turn or
call of this process needs its type; those of other replicas cost no decoding.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from nats.aio.client import Client

from chassis.direct_get import StoredMessage
from chassis.event_log import EventLog, StoredEvent
from chassis.live import Incomplete, listen
from chassis.stream_reader import last_sequence
from chassis.unreadable import UnreadableEvent, UnreadableEvents
from contracts import AudioRequested, ConversationEnded, MediaOpened, ReplyGenerated, SpeechHeard, TransferRequested
from contracts.event import CallEvent
from contracts.filters import LIVE_FILTERS, call_facts_filter
from contracts.streams import CALLS

SILENCE_SECONDS = 2.0
MEMORY_SECONDS = 10.0
MAX_RECENT = 20_000
"""How many events are kept in memory."""
_PAUSE_SECONDS = 1.0
TURN_KINDS: tuple[type[CallEvent], ...] = (AudioRequested, ReplyGenerated, TransferRequested)
"""What a turn is played from, and what follows it."""
LIVE_KINDS: tuple[type[CallEvent], ...] = (*TURN_KINDS, SpeechHeard, ConversationEnded, MediaOpened)
"""What a live conversation follows."""

logger = structlog.get_logger()


@dataclass(eq=False, slots=True)
class _Inbox:
    """The messages of one waiting turn or call. None: read the history again."""

    kinds: Collection[type[CallEvent]]
    is_live: bool
    queue: asyncio.Queue[StoredMessage | None] = field(default_factory=asyncio.Queue)

    def put(self, message: StoredMessage) -> None:
        """Adds the message, if it is of the kinds that are wanted."""
        name = message.subject.rpartition(".")[0]
        if any(kind.event_name == name for kind in self.kinds):
            self.queue.put_nowait(message)

    async def get(self, *, seconds: float | None) -> StoredMessage | None:
        """Returns the next message. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            return await self.queue.get()


class TurnEventReader:
    """Implements `voice.ports.TurnEvents`, and with `LIVE_FILTERS` `CallEvents`. `run` must run meanwhile.

    A process without media streams follows `TURN_FILTERS`: each event that is received costs about 0.2 ms.
    """

    def __init__(self, client: Client, calls: EventLog, filters: Sequence[str] = LIVE_FILTERS) -> None:
        self._client = client
        self._calls = calls
        self._filters = filters
        self._unreadable = UnreadableEvents("turns")
        self._inboxes: defaultdict[str, set[_Inbox]] = defaultdict(set)
        self._recent = _RecentMessages()

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
        async with self._follow(call_id, after_sequence, _Inbox(TURN_KINDS, is_live=False)) as events:
            yield events

    @asynccontextmanager
    async def follow_call(self, call_id: UUID, after_sequence: int) -> AsyncIterator[AsyncIterator[StoredEvent]]:
        """Follows what `LIVE_KINDS` contains of a call, from an event of it with this sequence on, without an end."""
        async with self._follow(call_id, after_sequence, _Inbox(LIVE_KINDS, is_live=True)) as events:
            yield events

    @asynccontextmanager
    async def _follow(
        self, call_id: UUID, after_sequence: int, inbox: _Inbox
    ) -> AsyncIterator[AsyncIterator[StoredEvent]]:
        key = str(call_id)
        self._inboxes[key].add(inbox)
        for message in self._recent.of(key):
            if message.seq > after_sequence:
                inbox.put(message)
        try:
            async with aclosing(self._events(call_id, after_sequence, inbox)) as events:
                yield events
        finally:
            self._inboxes[key].discard(inbox)
            if not self._inboxes[key]:
                del self._inboxes[key]

    async def _listen(self) -> None:
        end_sequence = await last_sequence(self._client, CALLS.name)
        for inboxes in self._inboxes.values():
            for inbox in inboxes:
                inbox.queue.put_nowait(None)
        self._recent.begin(end_sequence)
        listening = listen(self._client, CALLS, self._filters, start_sequence=end_sequence + 1)
        try:
            async with aclosing(listening) as batches:
                async for batch in batches:
                    for message in batch:
                        self._deliver(message)
        finally:
            self._recent.end()

    def _deliver(self, message: StoredMessage) -> None:
        call_id = message.subject.rpartition(".")[2]
        self._recent.add(call_id, message)
        for inbox in self._inboxes.get(call_id, ()):
            inbox.put(message)

    async def _decode(self, message: StoredMessage) -> list[StoredEvent]:
        """Returns the event, or nothing if it cannot be decoded: its turn ends early, and its remainder is spoken."""
        try:
            return [await self._calls.decode(message)]
        except UnreadableEvent as error:
            self._unreadable.report(error)
            return []

    async def _events(self, call_id: UUID, after_sequence: int, inbox: _Inbox) -> AsyncGenerator[StoredEvent, None]:
        yielded: set[int] = set()
        has_all = after_sequence > 0 and self._recent.has_all_after(after_sequence)
        history, may_ask = [] if has_all else await self._read_history(call_id, after_sequence, inbox), True
        while True:
            for stored in history:
                if stored.sequence > after_sequence and stored.sequence not in yielded:
                    yielded.add(stored.sequence)
                    yield stored
            try:
                received = await inbox.get(seconds=SILENCE_SECONDS if may_ask and not inbox.is_live else None)
            except TimeoutError:
                may_ask = False
                history = await self._read_at_leader(call_id, after_sequence, inbox)
            else:
                may_ask = True
                read = self._decode(received) if received else self._read_at_leader(call_id, after_sequence, inbox)
                history = await read

    async def _read_history(self, call_id: UUID, after_sequence: int, inbox: _Inbox) -> list[StoredEvent]:
        """Returns the events in one page, from any node that has reached the event with this sequence."""
        if not after_sequence:
            return await self._read_at_leader(call_id, after_sequence, inbox)
        return await self._calls.read_after(
            call_facts_filter(call_id), after_sequence - 1, known_sequence=after_sequence, kinds=inbox.kinds
        )

    async def _read_at_leader(self, call_id: UUID, after_sequence: int, inbox: _Inbox) -> list[StoredEvent]:
        subjects = [event.subject_for(call_id) for event in inbox.kinds]
        return await self._calls.read(subjects, after_sequence=after_sequence)


class _RecentMessages:
    """The messages of the last `MEMORY_SECONDS` since the listener began, by call."""

    def __init__(self) -> None:
        self._arrivals: deque[tuple[float, str]] = deque()
        self._messages: defaultdict[str, deque[StoredMessage]] = defaultdict(deque)
        self._complete_after: int | None = None
        """Each message after this sequence has been kept, or has yet to arrive. None: the listener does not run."""

    def begin(self, end_sequence: int) -> None:
        """The listener receives what is stored after this sequence."""
        self._complete_after = end_sequence

    def end(self) -> None:
        """The listener has ended, perhaps because it lost a message."""
        self._complete_after = None

    def has_all_after(self, sequence: int) -> bool:
        """Whether each message after this one has been kept, or has yet to arrive."""
        return self._complete_after is not None and self._complete_after <= sequence

    def add(self, call_id: str, message: StoredMessage) -> None:
        now = asyncio.get_running_loop().time()
        self._arrivals.append((now, call_id))
        self._messages[call_id].append(message)
        while len(self._arrivals) > MAX_RECENT or self._arrivals[0][0] + MEMORY_SECONDS < now:
            self._remove_oldest()

    def of(self, call_id: str) -> list[StoredMessage]:
        return list(self._messages.get(call_id, ()))

    def _remove_oldest(self) -> None:
        _, call_id = self._arrivals.popleft()
        removed = self._messages[call_id].popleft()
        if self._complete_after is not None:
            self._complete_after = max(self._complete_after, removed.seq)
        if not self._messages[call_id]:
            del self._messages[call_id]
