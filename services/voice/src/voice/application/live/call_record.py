"""The events of one live call: what its stream appends, in their order, and what it follows.

`speech.heard` is guarded, because an utterance enters the conversation by claiming a turn (edge, `domain.dialogue`): a
text over REST may have claimed it first, and then the utterance claims the next one. The other events are appended
without waiting, one after the other, so that `speech.interrupted` precedes the `speech.heard` that interrupted. An
append that fails is logged, and the call goes on: the callee is on the line.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from chassis.event_log import Conflict, EventLog, Guard, StoredEvent
from contracts import (
    AudioReady,
    AudioRequested,
    CallDecision,
    ConversationEnded,
    DigitsSent,
    Envelope,
    MediaClosed,
    MediaKind,
    MediaOpened,
    ReplyGenerated,
    SpeechHeard,
    SpeechInterrupted,
    SpeechPlayed,
    TransferRequested,
)
from contracts.event import CallEvent
from contracts.filters import call_facts_filter
from telephony.instructions import GREETING_TURN
from voice.application.live.live_calls import StreamId, StreamRefused

MAX_CLAIMS = 5
"""How often an utterance tries to claim a turn; each further try follows a claim of another writer."""
MAX_FLUSH_SECONDS = 2.0
_PAST = (
    AudioReady,
    AudioRequested,
    ConversationEnded,
    MediaClosed,
    ReplyGenerated,
    SpeechHeard,
    SpeechInterrupted,
    SpeechPlayed,
    TransferRequested,
)
"""What a stream reads of what was before it."""

logger = structlog.get_logger()

BuildHeard = Callable[[int], SpeechHeard]
"""Returns the utterance, claiming the turn with this number."""


class CallRecord:
    """The log, as one stream uses it. `open` comes first; then `run` must run until `close`."""

    def __init__(self, calls: EventLog, stream: StreamId, state: StoredEvent[CallDecision]) -> None:
        self._calls = calls
        self._stream = stream
        self._state = state
        self._cause = state.envelope
        self._appends: asyncio.Queue[Callable[[], Awaitable[object]]] = asyncio.Queue()
        self._heard_sequence = 0
        self._known_sequence = 0
        self._utterances = 0
        self.last_turn = GREETING_TURN
        """The last turn that is known to be claimed."""
        self.opened_sequence = 0

    @property
    def cause(self) -> Envelope:
        """The envelope of the event by which the stream began."""
        return self._cause

    async def open(self, stream_id: str, kind: MediaKind) -> list[StoredEvent]:
        """Appends `telephony.media_opened`, and returns what was before it in the attempt, in the order of the log.

        Raises StreamRefused if this stream, or one of a higher generation, was opened before.
        """
        subject = MediaOpened.subject_for(self._stream.call_id)
        await self._read_last_heard()
        while True:
            last = await self._calls.last(subject)
            if last is not None and isinstance(last.event, MediaOpened):
                previous = last.event.attempt, last.event.generation
                if previous >= (self._stream.attempt, self._stream.generation):
                    raise StreamRefused(409, "a stream of this or a higher generation was opened before")
            opened = MediaOpened(
                call_id=self._stream.call_id,
                attempt=self._stream.attempt,
                generation=self._stream.generation,
                stream_id=stream_id,
                previous_turn=self.last_turn,
                kind=kind,
            )
            guard = Guard(subject, last.sequence if last else 0)
            try:
                stored = await self._calls.append(
                    opened, cause=self._cause, guard=guard, event_id=self._event_id(f"opened/{stream_id}")
                )
            except Conflict:
                continue
            self._know(stored)
            self._cause, self.opened_sequence = stored.envelope, stored.sequence
            return await self._read_past()

    async def run(self) -> None:
        """Appends events in their order, until it is cancelled."""
        while True:
            append = await self._appends.get()
            try:
                self._know(await append())
            except Exception as error:
                logger.warning("live_event_not_appended", error=type(error).__name__, exc_info=error)
            finally:
                self._appends.task_done()

    def do_later(self, append: Callable[[], Awaitable[object]]) -> None:
        """Runs `append` after all that was requested before it."""
        self._appends.put_nowait(append)

    def append(self, event: CallEvent, name: str) -> None:
        """Appends an event later. `name` makes its id, which a repetition shares."""
        self.do_later(lambda: self._calls.append(event, cause=self._cause, event_id=self._event_id(name)))

    def claim(self, build: BuildHeard, on_claimed: Callable[[StoredEvent | None], None]) -> None:
        """Appends an utterance later, at the next turn that is free. `on_claimed` gets None if that failed."""
        self._utterances += 1
        name = f"heard/{self._utterances}"

        async def claim() -> None:
            stored = None
            try:
                stored = await self._claim(build, name)
            finally:
                on_claimed(stored)

        self.do_later(claim)

    def claim_digits(self, turn: int, digits: str, on_claimed: Callable[[], None]) -> None:
        """Appends later that keys are pressed. `on_claimed` is called unless the log has that of this turn already."""
        sent = DigitsSent(call_id=self._stream.call_id, attempt=self._stream.attempt, turn=turn, digits=digits)

        async def claim() -> None:
            last = await self._calls.last(sent.subject)
            pressed = last.event if last else None
            if isinstance(pressed, DigitsSent) and (pressed.attempt, pressed.turn) >= (sent.attempt, turn):
                return
            guard = Guard(sent.subject, last.sequence if last else 0)
            await self._calls.append(sent, cause=self._cause, guard=guard)
            on_claimed()

        self.do_later(claim)

    def note(self, stored: StoredEvent) -> None:
        """Takes an event of the call that is in the log."""
        self._know(stored)
        if not isinstance(stored.event, SpeechHeard) or stored.sequence <= self._heard_sequence:
            return
        self._heard_sequence = stored.sequence
        if stored.event.attempt == self._stream.attempt:
            self.last_turn = max(self.last_turn, stored.event.turn)

    async def close(self, event: MediaClosed) -> None:
        """Appends what waits, and then the stream's last event. `run` must still run."""
        self.append(event, "closed")
        try:
            async with asyncio.timeout(MAX_FLUSH_SECONDS):
                await self._appends.join()
        except TimeoutError:
            logger.warning("live_events_not_appended", count=self._appends.qsize())

    async def _claim(self, build: BuildHeard, name: str) -> StoredEvent:
        subject, call = SpeechHeard.subject_for(self._stream.call_id), self._state.event.call
        for tries_left in reversed(range(MAX_CLAIMS)):
            known = {"granted_sequence": call.granted_sequence, "previous_sequence": self._known_sequence or None}
            heard = build(self.last_turn + 1).model_copy(update=known)
            guard = Guard(subject, self._heard_sequence)
            try:
                stored = await self._calls.append(heard, cause=self._cause, guard=guard, event_id=self._event_id(name))
            except Conflict:
                if not tries_left:
                    raise
                await self._read_last_heard()
            else:
                self.note(stored)
                return stored
        raise AssertionError("unreachable")

    def _know(self, appended: object) -> None:
        if isinstance(appended, StoredEvent):
            self._known_sequence = max(self._known_sequence, appended.sequence)

    async def _read_last_heard(self) -> None:
        if (last := await self._calls.last(SpeechHeard.subject_for(self._stream.call_id))) is not None:
            self.note(last)

    async def _read_past(self) -> list[StoredEvent]:
        """Returns the events of the attempt before `telephony.media_opened`; a first stream usually has none."""
        if self._stream.generation == 1 and self.last_turn == GREETING_TURN:
            return []
        call_id, granted_sequence = self._stream.call_id, self._state.event.call.granted_sequence
        if granted_sequence is None:  # of an older build
            past = await self._calls.read([kind.subject_for(call_id) for kind in _PAST])
        else:
            past = await self._calls.read_after(
                call_facts_filter(call_id), granted_sequence, known_sequence=self.opened_sequence, kinds=_PAST
            )
        return [stored for stored in past if stored.sequence < self.opened_sequence]

    def _event_id(self, name: str) -> str:
        stream = self._stream
        return f"{stream.call_id}/{stream.attempt}/live/{stream.generation}/{name}"
