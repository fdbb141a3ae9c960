"""Calls for the benchmark of the console: copies that fill the log, and those that a driver moves at a fixed rate."""

import asyncio
import itertools
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

import nats.errors
from nats.aio.client import Client

from bench.calls.streams import LOG, wait_until_stored
from bench.policy import POLICY
from call_orchestrator.application.call_terms import new_call
from call_orchestrator.application.snapshots import call_after
from call_orchestrator.domain import decisions
from call_orchestrator.domain.states import Pending
from chassis.event_log import EventLog
from contracts import (
    AudioReady,
    AudioRequested,
    Call,
    CallCreated,
    CallRequested,
    CallStatus,
    CallStatusChanged,
    Event,
    ReplyGenerated,
    SpeechHeard,
)
from contracts.examples import EXAMPLES

CAMPAIGN = "bench"
PERSON = "ab" * 16
OPEN_CALLS = 200
"""Calls in progress at a time: the board shows at most 50 of each of its four statuses."""
STEPS = (CallStatus.DIALING, CallStatus.RINGING, CallStatus.IN_PROGRESS, CallStatus.COMPLETED)
SCRIPT = "Hello {{name}}.\n\n" + "Remind them of their appointment. " * 10
SPOKEN = "Good morning, yes, that is me; I am not quite sure yet whether I can come on {n} March at ten o'clock."
_BATCH = 2_000


def waiting_call(contact_id: str) -> Call:
    """Returns a call that waits to be dialled."""
    request = CallRequested(
        request_id=str(uuid4()),
        campaign_id=CAMPAIGN,
        contact_id=contact_id,
        phone_number="+12125550123",
        script_template=SCRIPT,
        variables={"name": "Ada"},
    )
    now = datetime.now(UTC)
    call = new_call(uuid4(), request, POLICY, now)
    waiting = call_after(call, decisions.CallCreated(state=Pending(attempt=0, due_at=now)), now)
    return waiting.model_copy(update={"number_digest": PERSON})


def moved(call: Call, status: CallStatus) -> CallStatusChanged:
    """Returns the decision that gives a call another status."""
    now = datetime.now(UTC)
    after = call.model_copy(update={"status": status, "attempt": 1, "status_changed_at": now})
    return CallStatusChanged(call=after, occurred_at=now, previous=call.status, status=status, attempt=1)


def spoken(call: Call, number: int) -> Event:
    """Returns the event with this number of a conversation, whose turns have four events each."""
    turn, place = number // 4 + 1, {"call_id": call.call_id, "attempt": 1, "turn": number // 4 + 1}
    text = SPOKEN.format(n=turn)
    match number % 4:
        case 0:
            return SpeechHeard(**place, text=text, language="en")
        case 1:
            return AudioRequested(**place, sentence=1, text=text, language="en")
        case 2:
            return ReplyGenerated(**place, text=text, sentences=1, model="m", latency_seconds=1)
        case _:
            ready = EXAMPLES["audio.ready"]
            assert isinstance(ready, AudioReady)
            return ready.model_copy(update=place)


async def append_call(log: EventLog, events: int) -> Call:
    """Appends a call in progress of exactly so many events, of which all but the first four are a conversation."""
    call = waiting_call("long")
    await log.append(CallCreated(call=call, occurred_at=call.created_at), person=PERSON)
    for status in STEPS[:3]:
        decision = moved(call, status)
        call = decision.call
        await log.append(decision, person=PERSON)
    for number in range(events - len(STEPS)):
        await log.append(spoken(call, number), person=PERSON)
    return call


async def fill(client: Client, log: EventLog, events: int) -> None:
    """Adds copies of decisions with other ids until the stream has so many messages more."""
    call = waiting_call("old")
    stored = await log.append(CallCreated(call=call, occurred_at=call.created_at), person=PERSON)
    message = await client.jetstream().get_msg(LOG, stored.sequence)
    before = (await client.jetstream().stream_info(LOG)).state.messages
    original, body = str(call.call_id).encode(), message.data or b""
    headers = {name: value for name, value in (message.headers or {}).items() if not name.startswith("Nats-")}
    for number in range(1, events):
        call_id = str(uuid4())
        copy = body.replace(original, call_id.encode())
        subject, identity = f"call.created.{call_id}.pending", {"Nats-Msg-Id": call_id, "ce-id": call_id}
        await client.publish(subject, copy, headers={**headers, **identity})
        if number % _BATCH == 0:
            await client.flush(60)
            await wait_until_stored(client, {LOG: before + number})
    await client.flush(60)
    await wait_until_stored(client, {LOG: before + events - 1})


@dataclass
class Driver:
    """Appends decisions about `OPEN_CALLS` calls in turn, so many a second; some of its events are of one call.

    `appended_at`: when each decision was sent, by its sequence (`time.perf_counter`); `spoken_at`: the same of the
    other events.
    """

    log: EventLog
    watched: Call
    spoken_per_second: float
    appended_at: dict[int, float] = field(default_factory=dict)
    spoken_at: dict[int, float] = field(default_factory=dict)
    _calls: deque[Call] = field(default_factory=deque)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _spoken_number: int = 200  # after those that the call has

    async def prime(self) -> None:
        """Appends the calls in progress, a quarter of them in each status."""
        for number in range(OPEN_CALLS):
            call = waiting_call(f"contact-{next(self._numbers)}")
            await self.log.append(CallCreated(call=call, occurred_at=call.created_at), person=PERSON)
            for status in STEPS[: number % len(STEPS)]:
                decision = moved(call, status)
                call = decision.call
                await self.log.append(decision, person=PERSON)
            self._calls.append(call)

    async def run(self, per_second: float, seconds: float) -> None:
        """Appends until the time is over, and returns when each event is stored."""
        began_at, every = time.perf_counter(), round(per_second / self.spoken_per_second)
        async with asyncio.TaskGroup() as group:
            for number in range(int(per_second * seconds)):
                await asyncio.sleep(max(0.0, began_at + number / per_second - time.perf_counter()))
                if number % every:
                    group.create_task(self._append(self._next_decision(), self.appended_at))
                else:
                    group.create_task(self._append(self._next_spoken(), self.spoken_at))

    def begin(self) -> None:
        """Forgets what was appended until now."""
        self.appended_at, self.spoken_at = {}, {}

    async def _append(self, event: Event, found: dict[int, float]) -> None:
        """Appends an event once, also if the server answers late on a loaded machine."""
        at, event_id = time.perf_counter(), str(uuid4())
        while True:
            try:
                stored = await self.log.append(event, person=PERSON, event_id=event_id)
            except nats.errors.TimeoutError:
                continue
            found[stored.sequence] = at
            return

    def _next_spoken(self) -> Event:
        self._spoken_number += 1
        return spoken(self.watched, self._spoken_number)

    def _next_decision(self) -> Event:
        if len(self._calls) < OPEN_CALLS:
            call = waiting_call(f"contact-{next(self._numbers)}")
            self._calls.append(call)
            return CallCreated(call=call, occurred_at=call.created_at)
        call = self._calls.popleft()
        decision = moved(call, STEPS[STEPS.index(call.status) + 1] if call.status in STEPS else STEPS[0])
        if decision.status != STEPS[-1]:
            self._calls.append(decision.call)
        return decision
