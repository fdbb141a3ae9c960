"""Carries out the faults of a schedule on a running system, and takes each back."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
from nats.aio.client import Client
from nats.errors import Error as NatsError
from tests.chaos.schedule import Fault, Kind
from tests.chaos.upstream import Upstream
from tests.chaos.watching import Watcher

from centralita.embedded.system import System
from chassis.provision import stream_config
from contracts import Envelope, TimerDue
from contracts.streams import REQUESTS

Rule = dict[str, Any]

USUAL_CALLBACK_FAULTS: Rule = {"drop": 0.02, "delay": 0.05, "delay_seconds": 120, "reorder": 0.03, "duplicate": 0.05}
"""During the whole run. Delays are simulated seconds."""
STRONG_CALLBACK_FAULTS: Rule = {"drop": 0.3, "delay": 0.3, "delay_seconds": 300, "reorder": 0.2, "duplicate": 0.3}

VENDOR_RULES: dict[str, Rule] = {
    "twilio answers 401": {"target": "twilio", "kind": "status", "status": 401},
    "twilio answers 503": {"target": "twilio", "kind": "status", "status": 503, "probability": 0.5},
    "twilio answers 429": {"target": "twilio", "kind": "status", "status": 429, "probability": 0.5},
    "twilio's answers are lost": {"target": "twilio", "kind": "lost_response", "probability": 0.5},
    "twilio resets connections": {"target": "twilio", "kind": "reset", "probability": 0.5},
    "elevenlabs answers 503": {"target": "elevenlabs", "kind": "status", "status": 503},
    "elevenlabs cuts its answers": {"target": "elevenlabs", "kind": "cut_body", "probability": 0.5},
    "openai answers 503": {"target": "openai", "kind": "status", "status": 503},
    "openai is slow": {"target": "openai", "kind": "latency", "seconds": 3},
}
_EARLY_TIMERS = 10
_MIN_REFUSALS = 3
_MAX_FULL_SECONDS = 10
_PAUSE_SECONDS = 0.2


@dataclass
class Injector:
    """Carries out faults, several at once if they concern different parts. `admin`: a connection without limits."""

    system: System
    admin: Client
    upstream: Upstream
    watcher: Watcher
    draw: random.Random
    report: Callable[[str], None]
    done: Counter[Kind] = field(default_factory=Counter)
    locks: dict[Kind, asyncio.Lock] = field(default_factory=lambda: {kind: asyncio.Lock() for kind in Kind})
    vendor_rules: list[Rule] = field(default_factory=list)

    async def inject(self, fault: Fault) -> None:
        """Carries out one fault, and returns when it is over."""
        async with self.locks[fault.kind]:
            self.report(str(fault))
            await self._carry_out(fault)
            self.done[fault.kind] += 1

    async def _carry_out(self, fault: Fault) -> None:
        match fault.kind:
            case Kind.KILL | Kind.KILL_TWO:
                for name in fault.targets:
                    self.system.services[name].kill()
            case Kind.PAUSE:
                await self._pause(fault)
            case Kind.NATS:
                assert self.system.nats
                self.system.nats.kill()
                await asyncio.sleep(fault.seconds / 2)
                await asyncio.to_thread(self.system.nats.start)
            case Kind.MONGO:
                self.system.mongo.kill()
                await asyncio.sleep(fault.seconds)
                await asyncio.to_thread(self.system.mongo.start)
            case Kind.FULL:
                await self._fill_requests(fault)
            case Kind.TIMERS:
                await self._publish_timers()
            case Kind.CALLBACKS:
                await self.set_callback_faults(STRONG_CALLBACK_FAULTS)
                await asyncio.sleep(fault.seconds * 2)
                await self.set_callback_faults(USUAL_CALLBACK_FAULTS)
            case Kind.VENDOR:
                await self._break_vendor(fault)

    async def _pause(self, fault: Fault) -> None:
        (name,) = fault.targets
        self.system.services[name].pause()
        await asyncio.sleep(fault.seconds)
        self.system.services[name].resume()

    async def _fill_requests(self, fault: Fault) -> None:
        """Limits REQUESTS to what it contains, until upstream was refused several times or for ten seconds."""
        js, config = self.admin.jetstream(timeout=5), stream_config(REQUESTS)
        refusals = self.upstream.refusals
        stored = (await until_answered(lambda: js.stream_info(REQUESTS.name))).state.messages
        await until_answered(lambda: js.update_stream(replace(config, max_msgs=max(stored, 1))))
        waited = 0.0
        while waited < fault.seconds or (
            self.upstream.refusals < refusals + _MIN_REFUSALS and waited < _MAX_FULL_SECONDS
        ):
            await asyncio.sleep(_PAUSE_SECONDS)
            waited += _PAUSE_SECONDS
        await until_answered(lambda: js.update_stream(config))

    async def _publish_timers(self) -> None:
        """Publishes ``timer.due`` for the present deadlines of open calls, before they have passed."""
        open_calls = self.watcher.open_calls
        js = self.admin.jetstream(timeout=5)
        for call in self.draw.sample(open_calls, min(_EARLY_TIMERS, len(open_calls))):
            assert call.deadline_at
            timer = TimerDue(call_id=call.call_id, deadline_at=call.deadline_at)
            envelope = Envelope.of(id=str(uuid4()), source="chaos", time=datetime.now(UTC))
            body, headers = timer.model_dump_json().encode(), envelope.headers()
            await until_answered(lambda s=timer.subject, b=body, h=headers: js.publish(s, b, headers=h))  # type: ignore[misc]

    async def _break_vendor(self, fault: Fault) -> None:
        rule = VENDOR_RULES[fault.targets[0]]
        self.vendor_rules.append(rule)
        await self._control("faults", self.vendor_rules)
        await asyncio.sleep(fault.seconds)
        self.vendor_rules.remove(rule)
        await self._control("faults", self.vendor_rules)

    async def set_callback_faults(self, faults: Rule) -> None:
        """Sets how the simulated Twilio loses, delays, reorders and repeats its status callbacks."""
        await self._control("callbacks", faults)

    async def _control(self, path: str, body: Rule | Iterable[Rule]) -> None:
        async with httpx.AsyncClient(timeout=30) as http:
            response = await http.put(f"{self.system.vendors.control}/_simulator/{path}", json=body)
            response.raise_for_status()


async def until_answered(request: Callable[[], Awaitable[Any]]) -> Any:
    """Repeats a request until the server answers it."""
    while True:
        try:
            return await request()
        except (NatsError, TimeoutError, OSError):
            await asyncio.sleep(_PAUSE_SECONDS)
