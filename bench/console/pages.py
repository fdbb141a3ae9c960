"""What the page of a call of 200 events costs, and the part of it for the slider, beside the same for a short call."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from bench.calls.processes import read_usage
from bench.console.system import ConsoleSystem
from bench.console.watching import percentile
from contracts import Call

_FILES = re.compile(r'(?:<link rel="stylesheet" href|<script src)="([^"]+)"')
SHARED = ("console", "edge", "nats-server")
LAST = 10**9
"""A sequence after all events: the slider names one."""
PATHS = {"page of a call": "/calls/{call}", "the slider's part of it": f"/calls/{{call}}/story?at={LAST}"}


@dataclass(frozen=True)
class Requested:
    """What a request costs: CPU in milliseconds by process, the time until its answer, and the bytes of the answer.

    `baseline_ms`: the CPU of the same request for a short call.
    """

    events: int
    name: str
    cpu_ms: Mapping[str, float]
    baseline_ms: float
    p50_ms: float
    size: int

    @property
    def total_ms(self) -> float:
        """The CPU of all processes."""
        return sum(self.cpu_ms.values())


@dataclass(frozen=True)
class Moved:
    """What browsers cost that move their sliders at once, with one key: CPU seconds per second; answers by status."""

    events: int
    browsers: int
    cores: Mapping[str, float]
    statuses: Mapping[int, int]
    p95_ms: float


async def request_pages(system: ConsoleSystem, events: int, rounds: int) -> list[Requested]:
    """Requests each page many times, one after the other, in turn with all keys: the rate limit of one is too low."""
    found = []
    async with httpx.AsyncClient(base_url=system.url, timeout=120) as http:
        for name, path in PATHS.items():
            short = await _requested(http, system, events, name, _path(path, system.short_call), rounds)
            whole = await _requested(http, system, events, name, _path(path, system.call), rounds, short.total_ms)
            found.append(whole)
    return found


async def _requested(
    http: httpx.AsyncClient,
    system: ConsoleSystem,
    events: int,
    name: str,
    path: str,
    rounds: int,
    baseline_ms: float = 0.0,
) -> Requested:
    seconds, size = [], 0
    await _get(http, path, system.cookies[-1])
    before = read_usage()
    for number in range(rounds):
        began_at = time.perf_counter()
        answer = await _get(http, path, system.cookies[number % len(system.cookies)])
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            print(f"{path}: 503, the machine is too busy", flush=True)
            continue
        if not answer.is_success:
            raise RuntimeError(f"{path}: {answer.status_code} {answer.text[:200]}")
        seconds.append(time.perf_counter() - began_at)
        size = len(answer.content)
    used = read_usage().since(before)
    cpu_ms = {process: 1000 * used[process] / rounds for process in SHARED}
    return Requested(events, name, cpu_ms, baseline_ms, 1000 * percentile(seconds, 0.5), size)


async def first_paint(system: ConsoleSystem) -> dict[str, int]:
    """Returns the bytes that a browser loads before it shows a page: the page, its style sheets and its scripts."""
    found = {}
    headers = {"Cookie": system.cookies[-2], "Accept-Encoding": "gzip"}
    async with httpx.AsyncClient(base_url=system.url, timeout=120, headers=headers) as http:
        for path in ("/", "/campaigns", _path(PATHS["page of a call"], system.call)):
            size, page = await _transferred(http, path)
            for file in _FILES.findall(page):
                size += (await _transferred(http, file))[0]
            found[path] = size
    return found


async def _transferred(http: httpx.AsyncClient, path: str) -> tuple[int, str]:
    async with http.stream("GET", path) as answer:
        text = (await answer.aread()).decode()
        return answer.num_bytes_downloaded, text


async def move_sliders(system: ConsoleSystem, events: int, browsers: int, seconds: float) -> Moved:
    """Lets each browser request the slider's part again as soon as it has an answer, all with the first key."""
    statuses: Counter[int] = Counter()
    path = _path(PATHS["the slider's part of it"], system.call)
    waited: list[float] = []
    ends_at = time.perf_counter() + seconds

    async def move(http: httpx.AsyncClient) -> None:
        while (began_at := time.perf_counter()) < ends_at:
            answer = await _get(http, path, system.cookies[0])
            statuses[answer.status_code] += 1
            if answer.is_success:
                waited.append(time.perf_counter() - began_at)

    limits = httpx.Limits(max_connections=browsers)
    async with httpx.AsyncClient(base_url=system.url, timeout=120, limits=limits) as http:
        before = read_usage()
        await asyncio.gather(*(move(http) for _ in range(browsers)))
        used = read_usage().since(before)
    cores = {process: used[process] / seconds for process in SHARED}
    return Moved(events, browsers, cores, dict(statuses), 1000 * percentile(waited, 0.95))


def _path(path: str, call: Call) -> str:
    return path.format(call=call.call_id)


async def _get(http: httpx.AsyncClient, path: str, cookie: str) -> httpx.Response:
    return await http.get(path, headers={"Cookie": cookie})
