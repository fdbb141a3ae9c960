"""Browsers that read a stream of events of the console, over bare connections, which use little CPU."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

_ID = re.compile(rb"(?:^|\n)id: (\d+)\r?\n")
_LINE = b'"sequence": '
"""Begins each line of the live log."""
_TAIL = 64
READ_BYTES = 1_000_000


@dataclass
class Browser:
    """One browser with an open stream: the ids that it has received, and when."""

    path: str
    received: list[tuple[int, float]] = field(default_factory=list)
    lines: int = 0
    size: int = 0
    is_open: bool = True

    async def read(self, reader: asyncio.StreamReader) -> None:
        """Reads until the stream ends."""
        rest = b""
        while part := await reader.read(READ_BYTES):
            at = time.perf_counter()
            self.size += len(part)
            data = rest + part
            end = 0
            for found in _ID.finditer(data):
                self.received.append((int(found[1]), at))
                end = found.end() - 1
            self.lines += data.count(_LINE) - rest.count(_LINE)
            rest = data[max(end, len(data) - _TAIL) :]
        self.is_open = False

    @property
    def last_id(self) -> int:
        """The newest id; 0 before the first one."""
        return self.received[-1][0] if self.received else 0


async def log_in(url: str, key: str) -> str:
    """Returns the cookie of a session with a key. Repeats the login while campaign-stats does not answer yet."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as http, asyncio.timeout(120):
        while True:
            answer = await http.post("/login", data={"api_key": key}, headers={"Origin": url})
            if answer.status_code == httpx.codes.SEE_OTHER:
                return "; ".join(f"{name}={value}" for name, value in http.cookies.items())
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                raise RuntimeError(f"the console refuses the key: {answer.status_code} {answer.text[:300]}")
            await asyncio.sleep(1)


@asynccontextmanager
async def watching(url: str, path: str, cookies: Sequence[str]) -> AsyncIterator[list[Browser]]:
    """Opens a stream for each cookie. Yields the browsers once each has received something."""
    address, browsers = urlsplit(url), [Browser(path) for _ in cookies]
    writers: list[asyncio.StreamWriter] = []
    async with asyncio.TaskGroup() as group:
        tasks = []
        for browser, cookie in zip(browsers, cookies, strict=True):
            reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=2**22)
            head = f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\nCookie: {cookie}\r\nAccept-Language: en\r\n\r\n"
            writer.write(head.encode())
            writers.append(writer)
            tasks.append(group.create_task(browser.read(reader)))
        async with asyncio.timeout(120):
            while not all(browser.received for browser in browsers):
                if not all(browser.is_open for browser in browsers):
                    raise RuntimeError(f"{path}: the console has closed a stream")
                await asyncio.sleep(0.05)
        try:
            yield browsers
        finally:
            for task in tasks:
                task.cancel()
            for writer in writers:
                writer.close()


def latencies(browser: Browser, appended_at: dict[int, float]) -> list[float]:
    """Returns the seconds from each append to the first message that includes it."""
    found, ids = [], iter(browser.received)
    received = next(ids, None)
    for sequence, at in sorted(appended_at.items()):
        while received and received[0] < sequence:
            received = next(ids, None)
        if received is None:
            break
        found.append(max(0.0, received[1] - at))
    return found


def percentile(values: Sequence[float], share: float) -> float:
    """Returns the value below which this share of the values is; 0 without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
