"""The life of a call: queued, initiated, ringing, in progress, and one end."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from simulators.twilio.answering_machine import Detection, detect
from simulators.twilio.background_tasks import Tasks
from simulators.twilio.call import Call, now
from simulators.twilio.call_clock import CallOver
from simulators.twilio.callees import Behaviour
from simulators.twilio.ledger import ErrorEntry, WebhookEntry
from simulators.twilio.status_callbacks import StatusCallbacks
from simulators.twilio.twiml_session import Conversation, Fetch
from simulators.twilio.webhooks import Webhooks

_SETUP_SECONDS = 0.5
_BUSY_SECONDS = 2.0
_DETECTION_BLOCKS_SECONDS = 1.6


@dataclass(frozen=True)
class Ending:
    """How a call ends: its final status, from which side, and the carrier's SIP code where there is one."""

    status: str
    by: str
    sip: str | None = None


class CallLife:
    """Lives one call. `turn` waits for the account's pace of dialling."""

    def __init__(
        self,
        call: Call,
        webhooks: Webhooks,
        callbacks: StatusCallbacks,
        tasks: Tasks,
        turn: Callable[[], Awaitable[int]],
    ) -> None:
        self.call = call
        self._webhooks, self._callbacks, self._tasks, self._turn = webhooks, callbacks, tasks, turn
        self._step: asyncio.Task[Ending] | None = None
        self._order: Ending | Fetch | str | None = None
        self._over = asyncio.Event()

    async def run(self) -> None:
        """Live the call to its end."""
        self._end(await self._until_over())

    async def hang_up(self, status: str) -> None:
        """End the call from the API, and wait until it has ended."""
        await self._interrupt(Ending(status, "api"))
        await self._over.wait()

    async def redirect(self, start: Fetch | str) -> None:
        """Go on with another document (a call in progress only)."""
        await self._interrupt(start)

    async def _interrupt(self, order: Ending | Fetch | str) -> None:
        self._order = order
        if self._step is not None:
            self._step.cancel()

    async def _until_over(self) -> Ending:
        self._step = self._tasks.spawn(self._place())
        while True:
            if self._order is not None:
                self._step.cancel()
            await asyncio.wait({self._step})
            if not self._step.cancelled():
                return Ending("failed", "exchange", "500") if self._step.exception() else self._step.result()
            order, self._order = self._order, None
            if order is None or isinstance(order, Ending):
                return order or Ending("failed", "exchange", "500")
            self._step = self._tasks.spawn(self._converse(order))

    async def _place(self) -> Ending:
        call, callee = self.call, self.call.callee
        call.queue_time = await self._turn()
        call.started_at = now()
        self._callbacks.announce("initiated")
        await self._nominal(_SETUP_SECONDS)
        if callee.behaviour is Behaviour.INVALID:
            return Ending("failed", "network", "404")
        self._take("ringing")
        timeout = call.parameters.timeout
        if callee.behaviour is Behaviour.BUSY:
            await self._nominal(min(_BUSY_SECONDS, timeout))
            return Ending("busy", "callee", "486")
        if callee.behaviour is Behaviour.NO_ANSWER or callee.ring_seconds >= timeout:
            await self._nominal(timeout)
            return Ending("no-answer", "network", "487")
        await self._nominal(callee.ring_seconds)
        return await self._answered()

    async def _answered(self) -> Ending:
        parameters = self.call.parameters
        self._take("in-progress")
        extra: dict[str, str] = {}
        detection = detect(parameters.machine_detection, self.call.callee.behaviour)
        if detection is not None and parameters.async_amd:
            self._tasks.spawn(self._detect_meanwhile(detection))
        elif detection is not None:
            await self.call.clock.sleep(detection.seconds + _DETECTION_BLOCKS_SECONDS)
            self.call.entry.answered_by = extra["AnsweredBy"] = detection.answered_by
        if parameters.url is None:
            return await self._converse(parameters.twiml or "")
        return await self._converse(Fetch("voice", parameters.url, parameters.method, extra))

    async def _converse(self, start: Fetch | str) -> Ending:
        try:
            await Conversation(self.call, self._webhooks).run(start)
        except CallOver as over:
            return Ending("completed", over.by)

    async def _detect_meanwhile(self, detection: Detection) -> None:
        await self._nominal(detection.seconds)
        call, parameters = self.call, self.call.parameters
        if call.is_over:
            return
        call.entry.answered_by = detection.answered_by
        if (url := parameters.async_amd_status_callback) is None:
            return
        form = {
            "CallSid": call.sid,
            "AccountSid": call.account_sid,
            "AnsweredBy": detection.answered_by,
            "MachineDetectionDuration": detection.milliseconds,
        }
        entry = WebhookEntry("amd", url)
        call.entry.webhooks.append(entry)
        method = parameters.async_amd_status_callback_method
        answer = await self._webhooks.send(url, form, entry, method=method)
        if not answer.ok:
            reason = f"detection callback answered {answer.status or answer.failure}"
            call.entry.errors.append(ErrorEntry(answer.error_code, reason, url))

    def _take(self, status: str) -> None:
        self.call.entry.status = status
        self.call.updated_at = now()
        self._callbacks.announce(status)

    def _end(self, ending: Ending) -> None:
        call, entry = self.call, self.call.entry
        answered = entry.status == "in-progress"
        entry.status, entry.ended_by = ending.status, ending.by
        call.ended_at = call.updated_at = now()
        entry.duration = round(call.clock.elapsed) if answered else 0
        extra = {"CallDuration": str(entry.duration), "Duration": str(call.billed_minutes())}
        if ending.sip is not None:
            extra["SipResponseCode"] = ending.sip
        if entry.answered_by is not None and not call.parameters.async_amd:
            extra["AnsweredBy"] = entry.answered_by
        self._callbacks.announce(ending.status, **extra)
        self._over.set()

    async def _nominal(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.call.clock.speed)
