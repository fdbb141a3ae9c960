"""Wakes the calls that wait for a number when no other call dials it any more.

A call whose number is in use is put off. The state of the number names the calls that wait for it, in their order. When
the number is released, the call of each campaign that waits the longest is woken: its timer fires at once, and it joins
the queue. The others wait on. So many calls to one number cost each a wait and a wake-up, and not a try at the end of
every other call. One call of each campaign is woken, because admission may hold back a campaign.

A number is released at the end of its attempt only if a call waits for it then. So a call that is noted reads the call
of the attempt afterwards, and is woken if the attempt has ended meanwhile.

A call is noted after the event that puts it off is stored, and is woken before the release is stored. So a replica that
dies between them loses no wake-up: its message is delivered again. The timer of a call that is not woken fires at the
time until which it was put off. That time is later for each further call, so that those timers do not all fire at once.
"""

import asyncio
from uuid import UUID

from call_orchestrator.application.call_outcomes import MAX_CONFLICTS, too_many_conflicts
from call_orchestrator.application.numbers import Numbers
from call_orchestrator.application.stored import load_call
from call_orchestrator.domain.dial_times import NUMBER_IN_USE
from call_orchestrator.ports import Log, Timers
from chassis.event_log import Conflict
from contracts import Call, CallDecision, CallPutOff, CallStatus, Envelope, NumberState
from contracts.number_state import LiveAttempt, WaitingCall


class NumberWaits:
    """Notes the calls that wait for a number, and wakes them."""

    def __init__(self, numbers: Numbers, log: Log, timers: Timers) -> None:
        self._numbers = numbers
        self._log = log
        self._timers = timers
        self._lock = asyncio.Lock()
        """Many calls to one number may be put off at once; without it, their appends would conflict with each other."""

    async def note(self, call: Call, cause: Envelope) -> None:
        """Notes that the call waits. Wakes it if the number is free already. A repetition is harmless."""
        async with self._lock:
            for _ in range(MAX_CONFLICTS):
                try:
                    await self._note(call, cause)
                except Conflict:
                    continue
                return
        raise too_many_conflicts(call.call_id)

    async def _note(self, call: Call, cause: Envelope) -> None:
        stored = await self._numbers.load_digest(self._numbers.digest_of_call(call))
        if stored.number.live is None:
            await self._timers.wake(call, cause, is_number_free=True)
            return
        waiting = WaitingCall(call_id=call.call_id, campaign_id=call.campaign_id, due_at=call.due_at)
        noted = stored.number.with_waiting(waiting)
        if noted != stored.number:
            await self._numbers.append(stored, noted, cause)
        holder = await load_call(self._log, stored.number.live.call_id)
        if holder is None or not is_in_force(stored.number.live, holder.call):
            await self._timers.wake(call, cause, is_number_free=True)

    async def wake(self, number: NumberState, cause: Envelope) -> NumberState:
        """Wakes the first call of each campaign. Returns the number without the calls that do not wait any more.

        A woken call keeps its place until it claims the number. A repetition is harmless.
        """
        woken, gone = set[str](), set[UUID]()
        for waiting in number.waiting:
            if waiting.campaign_id in woken:
                continue
            stored = await load_call(self._log, waiting.call_id)
            if stored is None or not self._may_dial(waiting, stored.call, number):
                gone.add(waiting.call_id)
                continue
            if not stored.call.is_queued:
                await self._timers.wake(stored.call, cause, is_number_free=True)
            woken.add(waiting.campaign_id)
        return number.without_waiting(gone)

    def _may_dial(self, waiting: WaitingCall, call: Call, number: NumberState) -> bool:
        """Whether the call still waits for this number. It may have been changed to another number or time."""
        is_waiting = call.is_queued or _is_same_wait(waiting, call)
        return is_waiting and self._numbers.digest_of_call(call) == number.number_digest


def _is_same_wait(waiting: WaitingCall, call: Call) -> bool:
    """Whether the call waits since it was noted.

    Its due time shows that: a refused command, or a change of other fields, follows the event that put it off, and
    leaves its due time as it is. Older builds noted none; then the last event must be the one that put it off.
    """
    if waiting.due_at is None:
        return _is_put_off(call)
    return call.status is CallStatus.PENDING and call.due_at == waiting.due_at


def is_in_force(live: LiveAttempt, holder: Call) -> bool:
    """Whether the attempt that has claimed a number is live, or its call waits to begin it. `holder`: that call."""
    if holder.status.is_live:
        return holder.attempt == live.attempt
    return holder.status is CallStatus.PENDING and holder.attempt == live.attempt - 1


def waits_for_number(event: CallDecision) -> bool:
    """Whether the event puts its call off because another one dials the number."""
    return isinstance(event, CallPutOff) and _is_put_off(event.call)


def _is_put_off(call: Call) -> bool:
    is_waiting = call.status is CallStatus.PENDING and not call.is_queued
    return is_waiting and call.permission is not None and call.permission.rule == NUMBER_IN_USE
