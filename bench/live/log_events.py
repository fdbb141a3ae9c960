"""The stored events of live calls, as they are published again by the server: latencies, interruptions, and ends."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from chassis.addresses import connection
from contracts import FINAL_STATUSES
from contracts.personal import json_and_sealed
from contracts.streams import CALLS

_SUBJECTS = (
    "speech.heard.*",
    "speech.played.*",
    "speech.interrupted.*",
    "reply.generated.*",
    "telephony.media_opened.*",
    "telephony.media_closed.*",
    "telephony.media_lost.*",
    "telephony.media_degraded.*",
)


@dataclass
class LogEvents:
    """Events since the start. `latencies`: by call and turn, as `contracts.TurnLatencies` names them.

    `counts`: how many events of each type a call has. `statuses`: the final status of each call that has ended.
    `ends`: why each of its streams ended, and why it went on in turns.
    """

    latencies: dict[str, dict[int, dict[str, float | None]]] = field(default_factory=lambda: defaultdict(dict))
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    spoken_seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """How long the utterances are that have claimed a turn, by call."""
    replies: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    pauses: Counter[str] = field(default_factory=Counter)
    resumes: Counter[str] = field(default_factory=Counter)
    statuses: dict[str, str] = field(default_factory=dict)
    ends: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def clear(self) -> None:
        """Forgets all events."""
        counters = (self.spoken_seconds, self.pauses, self.resumes)
        for one in (self.latencies, self.counts, self.replies, self.statuses, self.ends, *counters):
            one.clear()

    def total(self, event_name: str) -> int:
        """Returns how many events of a type all calls have."""
        return sum(counts[event_name] for counts in self.counts.values())

    def answered_twice(self) -> int:
        """Returns how many turns have more than one reply."""
        return sum(count > 1 for replies in self.replies.values() for count in replies.values())

    async def wait_for(self, event_name: str, count: int) -> None:
        """Returns when all calls together have so many events of a type."""
        while self.total(event_name) < count:
            self._arrived.clear()
            await self._arrived.wait()

    async def wait_until_ended(self, calls: Collection[str], stall_seconds: float) -> bool:
        """Returns when these calls have ended; False if no event arrives for `stall_seconds`."""
        while not self.statuses.keys() >= set(calls):
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), stall_seconds)
            except TimeoutError:
                return False
        return True

    async def on_message(self, message: Msg) -> None:
        """Adds an event."""
        self.add(message.subject.removeprefix(CALLS.live("")), message.data)

    def add(self, subject: str, body: bytes) -> None:
        """Adds an event by its subject in the stream and its stored body, which leaves out fields with a default."""
        family, fact, call_id, *rest = subject.split(".")
        self._arrived.set()
        if family == "call":
            if rest[0] in FINAL_STATUSES:
                self.statuses[call_id] = rest[0]
            return
        document: dict[str, Any] = json.loads(json_and_sealed(body)[0])
        self.counts[call_id][f"{family}.{fact}"] += 1
        match fact:
            case "heard":
                self.latencies[call_id].setdefault(document["turn"], {})
                self.spoken_seconds[call_id] += document.get("spoken_seconds") or 0
            case "played":
                self.latencies[call_id][document["turn"]] = document.get("latencies", {})
                self.pauses[call_id] += document.get("pauses", 0)
                self.resumes[call_id] += document.get("resumes", 0)
            case "generated":
                self.replies[call_id][document["turn"]] += 1
            case "media_closed" | "media_lost" | "media_degraded":
                self.ends[call_id].append(f"{fact.removeprefix('media_')}: {document['reason']}")


@asynccontextmanager
async def following(nats_url: str) -> AsyncIterator[tuple[Client, LogEvents]]:
    """Connects, and collects the events that are stored during the block."""
    client, events = await nats.connect(**connection(nats_url)), LogEvents()
    try:
        for subject in (*_SUBJECTS, *(f"call.*.*.{status}" for status in sorted(FINAL_STATUSES))):
            await client.subscribe(CALLS.live(subject), cb=events.on_message)
        await client.flush()
        yield client, events
    finally:
        await client.close()
