"""A telephone network and its dialler in virtual time: it dials what the log orders, and reports what happens.

Reports arrive late, in any order, and some of them twice. Each attempt is dialled at most once, as voice does it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from uuid import UUID

from tests.fakes.simulated_streams import SimulatedLog

from chassis.event_log import StoredEvent
from contracts import (
    AnswerClassified,
    AnsweredBy,
    Call,
    CallDecision,
    CallHangupRequested,
    CallSettlementRequested,
    CallStatus,
    ConversationEnded,
    DialClaimed,
    DialLookedUp,
    DialPlaced,
    DialRefused,
    DialUnknown,
    Disposition,
    Event,
    TelephonyStatus,
    TelephonyStatusReported,
)
from contracts.filters import call_state_filter

OUTCOMES = (
    *("busy", "no_answer", "failed", "confirmed", "callback", "opt_out", "early_hangup", "machine", "silence"),
    *("refused", "refused_for_good", "unreported"),
)
"""How an attempt may end."""
CALLED_OFF = "called off before dialling"


@dataclass
class Line:
    """An attempt at the network. `status`: what a lookup returns; None: it did not reach the network."""

    call: Call
    outcome: str
    status: TelephonyStatus | None = TelephonyStatus.QUEUED
    is_open: bool = True
    answered_at: float | None = None
    duration_seconds: int | None = None


class TelephoneNetwork:
    """Carries out the decisions of the log."""

    def __init__(self, log: SimulatedLog, outcomes: Iterator[str], on_dial: Callable[[Line], None]) -> None:
        """`outcomes`: of the attempts, in the order of the dials. `on_dial`: called when the network is reached."""
        self._log = log
        self._random = log.server.random
        self._outcomes = outcomes
        self._on_dial = on_dial
        self._tasks: set[asyncio.Task[None]] = set()
        self.lines: dict[tuple[UUID, int], Line] = {}
        log.listeners.append(self._follow)

    @property
    def open_lines(self) -> list[Line]:
        """The attempts that are in progress."""
        return [line for line in self.lines.values() if line.is_open]

    def _follow(self, stored: StoredEvent) -> None:
        event = stored.event
        if isinstance(event, CallHangupRequested):
            self._begin(self._hang_up, event.call)
        elif isinstance(event, CallSettlementRequested):
            self._begin(self._look_up, event.call)
        elif isinstance(event, CallDecision) and event.call.status is CallStatus.DIALING:
            self._begin(self._dial, event.call)

    def _begin(self, act: Callable[[Call], Coroutine[None, None, None]], call: Call) -> None:
        task = asyncio.get_running_loop().create_task(act(call))
        self._tasks.add(task)
        task.add_done_callback(self._end_task)

    def _end_task(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            raise error

    async def _dial(self, ordered: Call) -> None:
        await self._log.server.wait(1)
        newest = self._log.newest(call_state_filter(ordered.call_id))
        call = newest.event.call if newest and isinstance(newest.event, CallDecision) else ordered
        if call.status is not CallStatus.DIALING or call.attempt != ordered.attempt:
            return
        key = (call.call_id, call.attempt)
        if key in self.lines:
            return
        is_called_off = call.hangup_reason is not None
        line = Line(call, CALLED_OFF if is_called_off else next(self._outcomes))
        self.lines[key] = line
        self._log.store(DialClaimed.of(call, call.attempt))
        if is_called_off or line.outcome.startswith("refused"):
            await self._refuse(line)
            return
        self._on_dial(line)
        await self._report(DialUnknown if line.outcome == "unreported" else DialPlaced, line)
        await self._talk(line)

    async def _refuse(self, line: Line) -> None:
        line.is_open, line.status = False, None
        await self._log.server.wait(1)
        self._log.store(
            DialRefused(
                call_id=line.call.call_id,
                attempt=line.call.attempt,
                is_permanent=line.outcome == "refused_for_good",
                reason=line.outcome,
            )
        )

    async def _report(self, kind: type[DialPlaced | DialUnknown], line: Line) -> None:
        await self._log.server.wait(1)
        call_id, attempt = line.call.call_id, line.call.attempt
        if kind is DialPlaced:
            self._log.store(DialPlaced(call_id=call_id, attempt=attempt, provider_call_id="CA1"))
        else:
            self._log.store(DialUnknown(call_id=call_id, attempt=attempt, reason="no answer"))

    async def _talk(self, line: Line) -> None:
        """Rings, answers and ends as the outcome says, unless the line is closed meanwhile."""
        await asyncio.sleep(self._random.uniform(0.5, 5))
        self._change(line, TelephonyStatus.RINGING)
        await asyncio.sleep(self._random.uniform(1, 40))
        ends = {
            "busy": TelephonyStatus.BUSY,
            "no_answer": TelephonyStatus.NO_ANSWER,
            "failed": TelephonyStatus.FAILED,
            "unreported": TelephonyStatus.NO_ANSWER,
        }
        if status := ends.get(line.outcome):
            self._end(line, status)
            return
        self._change(line, TelephonyStatus.IN_PROGRESS)
        line.answered_at = asyncio.get_running_loop().time()
        if line.outcome == "machine":
            self._send(line, self._classified(line))
        await asyncio.sleep(3 if line.outcome == "early_hangup" else self._random.uniform(15, 120))
        dispositions = {
            "confirmed": Disposition.CONFIRMED,
            "callback": Disposition.CALLBACK_REQUESTED,
            "opt_out": Disposition.OPT_OUT,
        }
        if line.is_open and (disposition := dispositions.get(line.outcome)):
            self._send(line, self._concluded(line, disposition))
        if line.outcome == "silence" or self._random.random() < 0.3:
            return  # the person stays on the line until it is closed
        await asyncio.sleep(self._random.uniform(0, 10))
        self._end(line, TelephonyStatus.COMPLETED)

    def _concluded(self, line: Line, disposition: Disposition) -> ConversationEnded:
        return ConversationEnded(
            call_id=line.call.call_id,
            attempt=line.call.attempt,
            turn=1,
            disposition=disposition,
            summary="",
            goodbye_seconds=2,
        )

    def _classified(self, line: Line) -> AnswerClassified:
        return AnswerClassified(
            call_id=line.call.call_id,
            attempt=line.call.attempt,
            provider_call_id="CA1",
            answered_by=AnsweredBy.MACHINE,
        )

    def _change(self, line: Line, status: TelephonyStatus) -> None:
        if line.is_open:
            line.status = status
            self._send(line, self._reported(line, status))

    def _end(self, line: Line, status: TelephonyStatus) -> None:
        if line.is_open:
            line.is_open = False
            if line.answered_at is not None:
                line.duration_seconds = int(asyncio.get_running_loop().time() - line.answered_at)
            self._change_closed(line, status)

    def _change_closed(self, line: Line, status: TelephonyStatus) -> None:
        line.status = status
        self._send(line, self._reported(line, status))

    def _reported(self, line: Line, status: TelephonyStatus) -> TelephonyStatusReported:
        return TelephonyStatusReported(
            call_id=line.call.call_id,
            attempt=line.call.attempt,
            provider_call_id="CA1",
            status=status,
            duration_seconds=line.duration_seconds,
        )

    def _send(self, line: Line, event: Event) -> None:
        """Stores a report late, and perhaps twice; the network of an unreported attempt sends none."""
        if line.outcome == "unreported":
            return
        loop = asyncio.get_running_loop()
        for _ in range(2 if self._random.random() < 0.2 else 1):
            loop.call_later(self._random.choice((0.1, 1, 4)) * self._random.random(), self._log.store, event)

    async def _hang_up(self, call: Call) -> None:
        await self._log.server.wait(1)
        if line := self.lines.get((call.call_id, call.attempt)):
            is_answered = line.status is TelephonyStatus.IN_PROGRESS
            self._end(line, TelephonyStatus.COMPLETED if is_answered else TelephonyStatus.CANCELED)

    async def _look_up(self, call: Call) -> None:
        await self._log.server.wait(1)
        line = self.lines.get((call.call_id, call.attempt))
        if line and line.status is not None:
            self._log.store(
                DialLookedUp(
                    call_id=call.call_id,
                    attempt=call.attempt,
                    provider_call_id="CA1",
                    status=line.status,
                    duration_seconds=line.duration_seconds,
                )
            )
