"""The live calls of this process: which streams it accepts, and how they end when the process ends."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Protocol
from uuid import UUID

import structlog

from chassis.event_log import EventLog, StoredEvent
from contracts import CallDecision, ConversationMode, MediaClosedReason
from voice.application.call_state import load_state
from voice.application.live.speaker import PUMP_SECONDS
from voice.metrics import LIVE_LOOP_LAG_SECONDS, LIVE_REFUSED, LIVE_STREAMS

MAX_LAG_SECONDS = 0.2
"""A process whose event loop is later than this most of the time accepts no further stream.

One delay, such as that of its start, refuses none: a refused takeover is silence for the callee.
"""
_LAG_MEMORY = 20
"""How many measurements of the lag are remembered: those of two seconds."""
MAX_DRAIN_SECONDS = 12.0
"""How long a stop waits for the calls: `ending.MAX_FINISHING_SECONDS`, their last events, and their sockets."""

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class StreamId:
    """One media stream: the call, its attempt, and the number of the stream in the attempt."""

    call_id: UUID
    attempt: int
    generation: int


class StreamRefused(Exception):
    """This process does not accept the stream. `status` is the answer to its handshake."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Conversation(Protocol):
    """A live call, as far as this module conducts and ends it."""

    def tick(self, late_seconds: float) -> None:
        """Does what is due. Comes `late_seconds` later than `PUMP_SECONDS` after the last one."""
        ...

    def finish(self, reason: MediaClosedReason) -> None:
        """Ends the stream after the sentence that is being played, and after the callee's turn."""
        ...


class LiveCalls:
    """The streams that this process has accepted, at most `max_calls`. `run` must run meanwhile."""

    def __init__(self, calls: EventLog, *, max_calls: int, max_lag_seconds: float = MAX_LAG_SECONDS) -> None:
        self._calls = calls
        self._max_lag_seconds = max_lag_seconds
        self._max_calls = max_calls
        self._streams: dict[StreamId, Conversation | None] = {}
        self._lags = [0.0] * _LAG_MEMORY
        self._is_draining = False
        self._has_changed = asyncio.Event()

    async def run(self) -> None:
        """Lets all conversations do what is due, on a clock that does not drift, until it is cancelled.

        One timer serves all: with one for each call, most of them woke the process for one call. It also measures how
        late the event loop is.
        """
        clock = asyncio.get_running_loop().time
        next_at = clock()
        while True:
            next_at = max(next_at + PUMP_SECONDS, clock())
            await asyncio.sleep(next_at - clock())
            late_seconds = max(0.0, clock() - next_at)
            LIVE_LOOP_LAG_SECONDS.observe(late_seconds)
            self._lags = [*self._lags[1:], late_seconds]
            for conversation in [*self._streams.values()]:
                if conversation is not None:
                    conversation.tick(late_seconds)

    async def open(self, stream: StreamId, mode: ConversationMode) -> StoredEvent[CallDecision]:
        """Returns the state of the call. Raises StreamRefused if there is no room, or no line for this stream.

        `mode`: that of the calls with such a stream.
        """
        self._check_room()
        for may_lag in (True, False):
            state = await load_state(self._calls, stream.call_id, may_lag=may_lag)
            if state is not None and _may_be_live(state.event, stream, mode):
                return state
        raise self._refused(404, "no such call") if state is None else self._refused(403, "the line is not open")

    @contextmanager
    def accepted(self, stream: StreamId, mode: ConversationMode) -> Iterator[None]:
        """Reserves the room of one stream. Raises StreamRefused if this process has this very stream already.

        A stream that was opened before the process had to stop is accepted, and drained: to refuse it now is an error
        for the provider.
        """
        if stream in self._streams:
            raise self._refused(409, "this stream is open already")
        self._check_load()
        self._streams[stream] = None
        streams = LIVE_STREAMS.labels(mode=mode.value)
        streams.inc()
        try:
            yield
        finally:
            del self._streams[stream]
            streams.dec()
            self._has_changed.set()

    def begin(self, stream: StreamId, conversation: Conversation) -> None:
        """Registers the conversation of an accepted stream, so that a stop can end it."""
        self._streams[stream] = conversation
        if self._is_draining:
            conversation.finish(MediaClosedReason.DRAINED)

    async def drain(self) -> None:
        """Accepts no stream any more, and ends those that are open after their sentences. Returns when they have ended.

        The provider then asks for the next instruction, and another replica continues.
        """
        self._is_draining = True
        for conversation in [*self._streams.values()]:
            if conversation is not None:
                conversation.finish(MediaClosedReason.DRAINED)
        try:
            async with asyncio.timeout(MAX_DRAIN_SECONDS):
                while self._streams:
                    self._has_changed.clear()
                    await self._has_changed.wait()
        except TimeoutError:
            logger.warning("live_calls_not_drained", count=len(self._streams))

    def _check_room(self) -> None:
        if self._is_draining:
            raise self._refused(503, "this process is stopping")
        self._check_load()

    def _check_load(self) -> None:
        if len(self._streams) >= self._max_calls:
            raise self._refused(503, "this process has as many live calls as it may have")
        if median(self._lags) > self._max_lag_seconds:
            raise self._refused(503, "this process is too late")

    @staticmethod
    def _refused(status: int, reason: str) -> StreamRefused:
        LIVE_REFUSED.labels(status=str(status)).inc()
        return StreamRefused(status, reason)


def _may_be_live(decision: CallDecision, stream: StreamId, mode: ConversationMode) -> bool:
    return decision.call.mode is mode and decision.call.may_use_line(stream.attempt)
