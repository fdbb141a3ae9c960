"""Status callbacks: the requested events, numbered and sent in order, or with faults."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from simulators.twilio.call import FINAL_STATUSES, Call, now
from simulators.twilio.ledger import ErrorEntry, StatusEntry, WebhookEntry
from simulators.twilio.webhooks import Webhooks

Spawn = Callable[[Coroutine[Any, Any, None]], object]


class CallbackFaults(BaseModel):
    """Probabilities (0 to 1) that a status callback is sent twice, late, after the next one, or not at all.

    `delay_seconds` is simulated time. The draws depend only on the seed, the call's SID and the sequence number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    duplicate: float = Field(default=0, ge=0, le=1)
    delay: float = Field(default=0, ge=0, le=1)
    delay_seconds: float = Field(default=5, ge=0)
    reorder: float = Field(default=0, ge=0, le=1)
    drop: float = Field(default=0, ge=0, le=1)


@dataclass(frozen=True)
class _Callback:
    form: dict[str, str]
    is_final: bool


class StatusCallbacks:
    """Sends the status callbacks of one call. `report` does not wait: the answers do not affect the call."""

    def __init__(
        self, call: Call, webhooks: Webhooks, spawn: Spawn, faults: Callable[[], CallbackFaults], seed: int
    ) -> None:
        self._call, self._webhooks, self._spawn = call, webhooks, spawn
        self._faults, self._seed = faults, seed
        self._sequence = 0
        self._postponed: list[_Callback] = []
        self._queue: asyncio.Queue[_Callback] = asyncio.Queue()
        if call.parameters.status_callback is not None:
            spawn(self._send_in_order())

    def report(self, status: str, **extra: str) -> None:
        """Records the new status, and queues its callback if the create request asked for the event."""
        is_final = status in FINAL_STATUSES
        event = "completed" if is_final else "answered" if status == "in-progress" else status
        parameters = self._call.parameters
        is_requested = parameters.status_callback is not None and event in parameters.status_callback_events
        sequence = self._sequence if is_requested else None
        self._call.entry.statuses.append(StatusEntry(status, sequence))
        if is_requested:
            self._sequence += 1
            form = self._call.form(status) | extra
            form |= {"Timestamp": format_datetime(now()), "CallbackSource": "call-progress-events"}
            self._queue.put_nowait(_Callback(form | {"SequenceNumber": str(sequence)}, is_final))

    async def _send_in_order(self) -> None:
        is_final = False
        while not is_final:
            callback = await self._queue.get()
            is_final = callback.is_final
            await self._send_with_faults(callback)

    async def _send_with_faults(self, callback: _Callback) -> None:
        faults = self._faults()
        draw = random.Random(f"{self._seed}:{self._call.sid}:{callback.form['SequenceNumber']}")
        dropped, delayed, reordered, duplicated = (
            draw.random() < chance for chance in (faults.drop, faults.delay, faults.reorder, faults.duplicate)
        )
        if reordered and not callback.is_final and not dropped:
            self._postponed.append(callback)
            return
        if delayed and not dropped:
            self._spawn(self._send_late(callback, faults.delay_seconds))
        elif not dropped:
            await self._send(callback)
        if duplicated and not dropped:
            await self._send(callback)
        postponed, self._postponed = self._postponed, []
        for earlier in postponed:
            await self._send(earlier)

    async def _send_late(self, callback: _Callback, seconds: float) -> None:
        await asyncio.sleep(seconds / self._call.clock.speed)
        await self._send(callback)

    async def _send(self, callback: _Callback) -> None:
        parameters = self._call.parameters
        url = parameters.status_callback or ""
        entry = WebhookEntry("status", url, event=callback.form["CallStatus"])
        self._call.entry.webhooks.append(entry)
        answer = await self._webhooks.send(url, callback.form, entry, method=parameters.status_callback_method)
        if not answer.ok:
            reason = f"status callback answered {answer.status or answer.failure}"
            self._call.entry.errors.append(ErrorEntry(15003, reason, url))
