"""The lifecycle of a call: queued, initiated, ringing, in progress, and one final status.

A call runs as one task at a time: first `_dial`, which continues into the conversation after the answer. The REST API
interrupts it by cancelling that task and leaving a request: a final status ends the call, a document continues it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from simulators.twilio.answering_machine import Detection, detect
from simulators.twilio.background_tasks import BackgroundTasks
from simulators.twilio.call import Call, now
from simulators.twilio.call_clock import CallEnded
from simulators.twilio.callees import Behaviour
from simulators.twilio.connect import Connect
from simulators.twilio.dial import Dial, DialPerson
from simulators.twilio.ledger import ErrorEntry, WebhookEntry
from simulators.twilio.status_callbacks import StatusCallbacks
from simulators.twilio.stream_settings import StreamSettings
from simulators.twilio.twiml_session import Fetch, TwimlSession
from simulators.twilio.webhooks import Webhooks

_SETUP_SECONDS = 0.5
_BUSY_SECONDS = 2.0
_BLOCKING_DETECTION_SECONDS = 1.6


@dataclass(frozen=True)
class Ending:
    """The end of a call: its final status, what ended it, and the carrier's SIP code if there is one."""

    status: str
    by: str
    sip: str | None = None


_INTERNAL_ERROR = Ending("failed", "simulator", "500")


class CallLifecycle:
    """Runs one call. `wait_for_dial` waits for the account's rate limit and returns the time waited.

    `dial_person` returns who answers the number of a <Dial>."""

    def __init__(
        self,
        call: Call,
        webhooks: Webhooks,
        callbacks: StatusCallbacks,
        tasks: BackgroundTasks,
        wait_for_dial: Callable[[], Awaitable[int]],
        streams: StreamSettings,
        dial_person: DialPerson,
    ) -> None:
        self.call = call
        self._streams = streams
        self._webhooks, self._callbacks, self._tasks = webhooks, callbacks, tasks
        self._wait_for_dial = wait_for_dial
        self._dial_person = dial_person
        self._task: asyncio.Task[Ending] | None = None
        self._request: Ending | Fetch | str | None = None
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Runs the call to its end."""
        self._end(await self._run_until_end())

    async def hang_up(self, status: str) -> None:
        """Ends the call at the API's request, and waits until it has ended."""
        self._interrupt(Ending(status, "api"))
        await self._ended.wait()

    async def redirect(self, start: Fetch | str) -> None:
        """Continues a call in progress with another document."""
        self._interrupt(start)

    def _interrupt(self, request: Ending | Fetch | str) -> None:
        self._request = request
        if self._task is not None:
            self._task.cancel()

    async def _run_until_end(self) -> Ending:
        self._task = self._tasks.spawn(self._dial())
        while True:
            if self._request is not None:
                self._task.cancel()
            await asyncio.wait({self._task})
            if not self._task.cancelled():
                return _INTERNAL_ERROR if self._task.exception() else self._task.result()
            request, self._request = self._request, None
            if request is None or isinstance(request, Ending):
                return request or _INTERNAL_ERROR
            self._task = self._tasks.spawn(self._converse(request))

    async def _dial(self) -> Ending:
        call, callee = self.call, self.call.callee
        call.queue_time = await self._wait_for_dial()
        call.started_at = now()
        self._callbacks.report("initiated")
        await self._sleep(_SETUP_SECONDS)
        if callee.behaviour is Behaviour.INVALID:
            return Ending("failed", "network", "404")
        self._set_status("ringing")
        timeout = call.parameters.timeout
        if callee.behaviour is Behaviour.BUSY:
            await self._sleep(min(_BUSY_SECONDS, timeout))
            return Ending("busy", "callee", "486")
        if callee.behaviour is Behaviour.NO_ANSWER or callee.ring_seconds >= timeout:
            await self._sleep(timeout)
            return Ending("no-answer", "network", "487")
        await self._sleep(callee.ring_seconds)
        return await self._answer()

    async def _answer(self) -> Ending:
        parameters = self.call.parameters
        self._set_status("in-progress")
        extra: dict[str, str] = {}
        detection = detect(parameters.machine_detection, self.call.callee.behaviour)
        if detection is not None and parameters.async_amd:
            self._tasks.spawn(self._report_detection(detection))
        elif detection is not None:
            await self.call.clock.sleep(detection.seconds + _BLOCKING_DETECTION_SECONDS)
            self.call.entry.answered_by = extra["AnsweredBy"] = detection.answered_by
        if parameters.url is None:
            return await self._converse(parameters.twiml or "")
        return await self._converse(Fetch("voice", parameters.url, parameters.method, extra))

    async def _converse(self, start: Fetch | str) -> Ending:
        try:
            connect = Connect(self.call, self._webhooks, self._tasks, self._streams)
            dial = Dial(self.call, self._webhooks, self._tasks, self._dial_person)
            await TwimlSession(self.call, self._webhooks, connect, dial).run(start)
        except CallEnded as ended:
            return Ending("completed", ended.by)

    async def _report_detection(self, detection: Detection) -> None:
        await self._sleep(detection.seconds)
        call, parameters = self.call, self.call.parameters
        if call.is_over:
            return
        call.entry.answered_by = detection.answered_by
        if detection.is_after_beep:
            call.entry.beep_at = now().isoformat()
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

    def _set_status(self, status: str) -> None:
        self.call.entry.status = status
        self.call.updated_at = now()
        self._callbacks.report(status)

    def _end(self, ending: Ending) -> None:
        call, entry = self.call, self.call.entry
        was_answered = entry.status == "in-progress"
        entry.status, entry.ended_by = ending.status, ending.by
        call.ended_at = call.updated_at = now()
        entry.duration = round(call.clock.elapsed) if was_answered else 0
        extra = {"CallDuration": str(entry.duration), "Duration": str(call.billed_minutes())}
        if ending.sip is not None:
            extra["SipResponseCode"] = ending.sip
        if entry.answered_by is not None and not call.parameters.async_amd:
            extra["AnsweredBy"] = entry.answered_by
        self._callbacks.report(ending.status, **extra)
        self._ended.set()
        if call.recording is not None and self._streams.recordings is not None:
            self._tasks.spawn(asyncio.to_thread(call.recording.write, self._streams.recordings, entry))

    async def _sleep(self, seconds: float) -> None:
        """Sleeps for simulated seconds that do not count as connected time."""
        await asyncio.sleep(seconds / self.call.clock.speed)
