"""Requests calls over NATS as an upstream system does, a fixed number of them at a time, until each has ended."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from uuid import uuid4

import httpx
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError

from bench.calls.system import COUNTRY, SPEED
from contracts import FINAL_STATUSES, call_id_of
from contracts.numbers import country_of, number_refusals
from simulators.openai.utterance_meaning import Meaning, meaning_of
from simulators.twilio.callees import Behaviour, Population

TURNS = 3
SCRIPT = """Hello {{name}}, this is the clinic's assistant calling about your appointment on {{day}}.

You remind {{name}} of the appointment on {{day}}. Ask whether they can come. If they can, note "attending: yes" and end
the call as confirmed. If they cannot, offer another day, note it as "new_day" and end the call as rescheduled."""
IN_FLIGHT = {"unanswered": 30, "conversation": 8}
BEHAVIOURS = {"unanswered": Behaviour.NO_ANSWER, "conversation": Behaviour.HUMAN}
RING_SECONDS = 15
STALL_SECONDS = 60
SPEED_NOTE = f"the simulated vendors are {SPEED:g} times as fast as real ones"
_ENDING = (Meaning.GOODBYE, Meaning.REFUSAL, Meaning.WRONG_NUMBER)
_AREA_CODES = range(201, 990)


@dataclass
class Drive:
    """The calls of one run: their final statuses by id, and the seconds until the last one ended."""

    kind: str
    seconds: float = 0.0
    statuses: dict[str, str] = field(default_factory=dict)
    turns: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """The number of calls that ended."""
        return len(self.statuses)

    @property
    def turns_per_call(self) -> float:
        """The mean number of the callee's utterances."""
        return sum(self.turns.values()) / max(1, self.calls)


def numbers(kind: str, seed: int = 1) -> Iterator[str]:
    """Yields fictional numbers; in a conversation, of callees that speak exactly three times and never interrupt.

    The kinds share no number, so that no provider's id occurs twice; see `drive`.
    """
    lasts = range(50) if kind == "conversation" else range(50, 100)
    for code in _AREA_CODES:
        example = f"+1{code}5550100"
        if country_of(example) != COUNTRY or number_refusals(example):
            continue
        for last in lasts:
            number = f"+1{code}55501{last:02d}"
            if kind == "unanswered" or _speaks_three_times(number, seed):
                yield number


@cache
def _speaks_three_times(number: str, seed: int) -> bool:
    """Returns whether the callee opens as all others do, answers, says goodbye as its third utterance, and waits."""
    callee = Population(seed, {Behaviour.HUMAN: 1.0}).dial(number)
    spoken = [callee.next_utterance("en") for _ in range(TURNS + 1)]
    if spoken[-1] is not None or any(one is None for one in spoken[:-1]):
        return False
    texts = [one.text for one in spoken if one]
    waits = all(one.barge_in_seconds == float("inf") for one in spoken if one)
    return waits and texts[0].startswith("Yes, speaking") and meaning_of(texts[1]) not in _ENDING


def request(kind: str, number: str) -> dict[str, object]:
    """Returns a request of one call, with an id of its own."""
    return {
        "request_id": f"bench-{uuid4()}",
        "campaign_id": f"bench-{kind}",
        "contact_id": "contact-1",
        "phone_number": number,
        "script_template": SCRIPT,
        "variables": {"name": "Ada", "day": "Monday"},
        "language": "en",
        "max_retries": 0,
        "call_timeout_seconds": RING_SECONDS,
    }


async def prepare_callees(control_url: str, kind: str, wanted: Sequence[str]) -> None:
    """Sets how these numbers react, as if none had been dialled before."""
    async with httpx.AsyncClient(timeout=30) as http:
        for number in wanted:
            body = {"behaviour": BEHAVIOURS[kind]}
            (await http.put(f"{control_url}/_simulator/callees/{number}", json=body)).raise_for_status()


async def drive(client: Client, control_url: str, kind: str, count: int, *, skip: int = 0) -> Drive:
    """Runs `count` calls, and returns when each has ended. Raises Stalled if none ends for a minute.

    `skip`: leave out so many numbers. A simulator that starts again gives a number the same provider's ids, which the
    log takes for repetitions for two minutes.
    """
    wanted = list(islice(numbers(kind), skip, skip + count))
    if len(wanted) < count:
        raise ValueError(f"at most {len(wanted)} calls of kind {kind} in one run")
    await prepare_callees(control_url, kind, wanted)
    return await _Driver(client, kind).run(wanted)


class Stalled(RuntimeError):
    """Calls do not end; the message names some of them and their last events."""


class _Driver:
    def __init__(self, client: Client, kind: str) -> None:
        self._client = client
        self.result = Drive(kind)
        self._begun_at: dict[str, float] = {}
        self._slots = asyncio.Semaphore(IN_FLIGHT[kind])
        self._ended = asyncio.Event()

    async def run(self, wanted: Sequence[str]) -> Drive:
        subscriptions = [
            await self._client.subscribe(f"call.*.*.{status}", cb=self._on_end) for status in sorted(FINAL_STATUSES)
        ]
        subscriptions.append(await self._client.subscribe("speech.heard.*", cb=self._on_speech))
        await self._client.flush()
        await asyncio.sleep(0.05)
        began_at = time.perf_counter()
        try:
            for number in wanted:
                async with asyncio.timeout(STALL_SECONDS):
                    await self._slots.acquire()
                await self._begin(number)
            while len(self.result.statuses) < len(wanted):
                self._ended.clear()
                async with asyncio.timeout(STALL_SECONDS):
                    await self._ended.wait()
        except TimeoutError as error:
            raise Stalled(await self._unfinished()) from error
        self.result.seconds = time.perf_counter() - began_at
        for subscription in subscriptions:
            await subscription.unsubscribe()
        return self.result

    async def _begin(self, number: str) -> None:
        body = request(self.result.kind, number)
        self._begun_at[str(call_id_of(str(body["request_id"])))] = time.perf_counter()
        await self._client.jetstream(timeout=STALL_SECONDS).publish("call.requested", json.dumps(body).encode())

    async def _unfinished(self) -> str:
        """Returns the last events of three calls that have not ended."""
        ids = [call_id for call_id in self._begun_at if call_id not in self.result.statuses]
        lines = [f"{len(ids)} of {len(self._begun_at)} calls have not ended; no call has ended for {STALL_SECONDS} s"]
        for call_id in ids[:3]:
            for subject in (f"call.*.{call_id}.*", f"*.*.{call_id}"):
                with suppress(NotFoundError):
                    last = await self._client.jetstream().get_last_msg("CALLS", subject)
                    lines.append(f"{last.subject} {last.seq} {last.time}")
        return "\n".join(lines)

    async def _on_end(self, message: Msg) -> None:
        _, _, call_id, status = message.subject.split(".")
        if call_id in self._begun_at and call_id not in self.result.statuses:
            self.result.statuses[call_id] = status
            self.result.latencies.append(time.perf_counter() - self._begun_at[call_id])
            self._slots.release()
            self._ended.set()

    async def _on_speech(self, message: Msg) -> None:
        self.result.turns[message.subject.rsplit(".", 1)[-1]] += 1
