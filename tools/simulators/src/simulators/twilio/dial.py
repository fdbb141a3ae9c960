"""<Dial><Number>: a second leg, to a person, and the bridge of both until one of them hangs up.

The number may have a document of its own (`url`), which is executed on the second leg before both are connected: the
person hears it, and accepts by a key or hangs up. As at Twilio, a leg that was answered and not connected is reported
as completed with DialBridged=false, and the end of the first leg ends the second one.
"""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from simulators.twilio.background_tasks import BackgroundTasks
from simulators.twilio.call import Call
from simulators.twilio.callees import Behaviour, Callee
from simulators.twilio.ledger import DialEntry, ErrorEntry, WebhookEntry
from simulators.twilio.person_leg import LegEnded, PersonLeg
from simulators.twilio.twiml import Verb
from simulators.twilio.webhooks import Webhooks

DialPerson = Callable[[str], Callee]
"""Counts a call to a number, and returns who answers it."""
_DEFAULT_RING_SECONDS = 30.0
_DEFAULT_TIME_LIMIT = 14_400.0
_BUSY_SECONDS = 2.0
_UNREACHABLE = (Behaviour.INVALID, Behaviour.REFUSED)


@dataclass(frozen=True)
class DialResult:
    """How the leg ended: the fields of the request to `action`."""

    form: dict[str, str]


class Dial:
    """Executes <Dial> on one call."""

    def __init__(self, call: Call, webhooks: Webhooks, tasks: BackgroundTasks, dial_person: DialPerson) -> None:
        self._call, self._webhooks, self._tasks, self._dial_person = call, webhooks, tasks, dial_person

    async def run(self, verb: Verb, absolute_url: Callable[[str], str]) -> DialResult | None:
        """Dials the <Number> and returns how its leg ended; None without a number. Raises CallEnded."""
        if not verb.nested:
            self._call.entry.errors.append(ErrorEntry(13222, "<Dial> without <Number>"))
            return None
        number = verb.nested[0]
        entry = self._new_entry(verb, number)
        try:
            await self._run(verb, number, entry, absolute_url)
        finally:
            if entry.status in ("ringing", "in-progress"):  # the first leg has ended
                entry.status = "completed" if entry.is_bridged else "canceled"
            if self._call.stream_ended_at is not None:  # the callee was not left alone meanwhile
                self._call.stream_ended_at = asyncio.get_running_loop().time()
            if self._call.live_callee is not None:
                self._call.live_callee.await_agent()
        form = {"DialCallStatus": entry.status, "DialCallSid": entry.sid}
        if entry.seconds is not None:
            form |= {"DialCallDuration": str(entry.seconds), "DialBridged": str(entry.is_bridged).lower()}
        return DialResult(form)

    def _new_entry(self, verb: Verb, number: Verb) -> DialEntry:
        count = len(self._call.entry.dials)
        sid = "CA" + hashlib.sha256(f"{self._call.sid}:dial:{count}".encode()).hexdigest()[:32]
        caller_id = verb.attributes.get("callerId") or self._call.entry.from_
        entry = DialEntry(sid, to=number.text, from_=caller_id)
        self._call.entry.dials.append(entry)
        return entry

    async def _run(self, verb: Verb, number: Verb, entry: DialEntry, absolute_url: Callable[[str], str]) -> None:
        person, clock = self._dial_person(number.text), self._call.clock
        entry.behaviour = person.behaviour
        ring_seconds = verb.seconds("timeout", _DEFAULT_RING_SECONDS)
        if person.behaviour in _UNREACHABLE:
            entry.status = "failed"
            return
        if person.behaviour is Behaviour.BUSY:
            await clock.sleep(_BUSY_SECONDS)
            entry.status = "busy"
            return
        if person.behaviour is Behaviour.NO_ANSWER or person.ring_seconds >= ring_seconds:
            await clock.sleep(ring_seconds)
            entry.status = "no-answer"
            return
        await clock.sleep(person.ring_seconds)
        entry.status = "in-progress"
        answered_at = clock.elapsed
        self._report_answer(number, entry, absolute_url)
        entry.is_bridged = await self._is_accepted(number, entry, person, absolute_url)
        if entry.is_bridged:
            await clock.sleep(min(person.talk_seconds, verb.seconds("timeLimit", _DEFAULT_TIME_LIMIT)))
        entry.status, entry.seconds = "completed", round(clock.elapsed - answered_at)

    async def _is_accepted(
        self, number: Verb, entry: DialEntry, person: Callee, absolute_url: Callable[[str], str]
    ) -> bool:
        url = number.attributes.get("url")
        if url is None:
            return True
        try:
            await PersonLeg(self._call, entry, person, self._webhooks).run(
                absolute_url(url), number.attributes.get("method", "POST")
            )
        except LegEnded:
            return False
        return True

    def _report_answer(self, number: Verb, entry: DialEntry, absolute_url: Callable[[str], str]) -> None:
        """Sends the status callback `answered` of the leg, if it is requested."""
        url = number.attributes.get("statusCallback")
        if url is None or "answered" not in number.attributes.get("statusCallbackEvent", "").split():
            return
        webhook = WebhookEntry("status", absolute_url(url), event="in-progress")
        self._call.entry.webhooks.append(webhook)
        method = number.attributes.get("statusCallbackMethod", "POST")
        form = entry.form(self._call.account_sid, self._call.sid, "in-progress")
        self._tasks.spawn(self._webhooks.send(webhook.url, form, webhook, method=method))
