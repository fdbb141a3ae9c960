"""Recovery: seconds from ``kill -9`` of one process, during load, until the next call ends. Printed, never asserted."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from itertools import islice
from pathlib import Path

from nats.aio.client import Client
from nats.aio.msg import Msg

from bench.calls.driving import numbers, prepare_callees, request
from bench.calls.run import Figures, Filled, copy_of
from bench.calls.system import RunningSystem, Variant, running_services
from contracts import FINAL_STATUSES
from contracts.personal import json_and_sealed

KIND = "conversation"
CALLS_PER_SECOND = 2
PAUSE_SECONDS = 10.0
MAX_RECOVERY_SECONDS = 60.0
_NUMBERS = 600


async def measure_recovery(filled: Filled, folder: Path, variant: Variant) -> Figures:
    """Kills each service and one nats-server in turn; the time includes the start of the process.

    Conversations begin at a constant rate. The next call is the first one that was requested after the process was
    killed, so the time is what a new call waits for. The time of a call without a fault is part of it and printed, too.
    """
    figures: Figures = {}
    async with copy_of(filled, folder, variant) as (system, client), running_services(system, variant):
        load = _Load(client)
        await prepare_callees(system.control_url, KIND, list(islice(numbers(KIND), 1, _NUMBERS)))
        async with asyncio.TaskGroup() as group:
            running = group.create_task(load.run())
            await asyncio.sleep(PAUSE_SECONDS)
            figures["recovery: no fault, seconds"] = await load.next_end()
            for name, kill in _targets(system).items():
                await asyncio.sleep(PAUSE_SECONDS)
                await kill()
                figures[f"recovery: {name}, seconds"] = await load.next_end()
                print(f"{name}: {figures[f'recovery: {name}, seconds']:.1f} s", flush=True)
            running.cancel()
    return figures


def _targets(system: RunningSystem) -> dict[str, Callable[[], Awaitable[None]]]:
    async def kill_service(name: str) -> None:
        system.services[name].kill()

    async def restart_server() -> None:
        await asyncio.to_thread(system.servers[0].kill)
        await asyncio.to_thread(system.servers[0].start)

    targets: dict[str, Callable[[], Awaitable[None]]] = {}
    for name in system.services:
        targets[name] = lambda name=name: kill_service(name)  # type: ignore[misc]
    return {**targets, "nats-server": restart_server}


class _Load:
    """Requests calls at a constant rate, and notes when each ends."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._requested: dict[str, float] = {}
        self._waiting: tuple[float, asyncio.Future[float]] | None = None

    async def run(self) -> None:
        for status in sorted(FINAL_STATUSES):
            await self._client.subscribe(f"call.*.*.{status}", cb=self._on_end)
        for number in islice(numbers(KIND), 1, _NUMBERS):
            body = request(KIND, number)
            self._requested[str(body["request_id"])] = time.perf_counter()
            await self._client.publish("call.requested", json.dumps(body).encode())
            await asyncio.sleep(1 / CALLS_PER_SECOND)

    async def next_end(self) -> float:
        """Returns the seconds until a call ends that is requested from now on; at most `MAX_RECOVERY_SECONDS`."""
        began_at = time.perf_counter()
        ended: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting = (began_at, ended)
        try:
            return await asyncio.wait_for(ended, MAX_RECOVERY_SECONDS) - began_at
        except TimeoutError:
            return MAX_RECOVERY_SECONDS

    async def _on_end(self, message: Msg) -> None:
        request_id = json.loads(json_and_sealed(message.data)[0])["call"]["request_id"]
        if self._waiting is None or request_id not in self._requested:
            return
        began_at, ended = self._waiting
        if self._requested[request_id] > began_at and not ended.done():
            ended.set_result(time.perf_counter())
