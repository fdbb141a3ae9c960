"""A running system for tests of live calls: at the speed of speech, with callees that each test chooses."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from centralita.embedded.processes import SupervisedProcess
from centralita.embedded.system import System, running
from contracts.accounts import ADMIN

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}
WAIT_SECONDS = 300
POLL_SECONDS = 0.2
PHRASES = ("Yes, speaking.", "Thank you, goodbye.")
"""What a callee says if a test does not choose it: two turns. The agent ends the conversation after a goodbye."""
CAMPAIGN = {
    "name": "Live",
    "mode": "live",
    "turn_taking": {"silence_seconds": 30, "filler_seconds": 10},
}
"""No silence and no filler is due while a loaded machine is late."""
PATIENCE_SECONDS = 120.0
"""How long a callee waits for an agent on a loaded machine, before it hangs up or says its next phrase."""
NEVER = 1000.0
"""Seconds into a reply that no reply has: the callee does not interrupt."""
GREETING = "Hello Ada, this is the assistant of the clinic, and I am calling about your appointment tomorrow."
_LATE_TRANSCRIPT_SECONDS = 0.8
_ESTABLISHED = "01"

Event = dict[str, Any]
"""`type` is the name without its version; `data` are the fields."""


@dataclass
class LiveSystem:
    """Requests live calls, and reads what the log and the simulated network recorded of them."""

    system: System
    rest: httpx.AsyncClient
    _numbers: Any = field(default_factory=lambda: count(100))

    @property
    def control(self) -> str:
        """The address of the simulators' control routes."""
        return f"{self.system.vendors.control}/_simulator"

    async def control_put(self, path: str, body: object) -> None:
        """Sets something in the simulators."""
        answer = await self.rest.put(f"{self.control}/{path}", json=body)
        assert answer.is_success, answer.text

    async def declare_campaign(self) -> None:
        """Creates and starts the campaign of all calls."""
        for path, body in (("campaigns", {"campaign_id": "live", **CAMPAIGN}), ("campaigns/live/start", None)):
            answer = await self.rest.post(f"/api/v1/{path}", json=body)
            assert answer.is_success, answer.text

    async def begin(self, behaviour: str, settings: Mapping[str, object] | None = None, **fields: object) -> str:
        """Requests a live call, and returns its id. `settings` of the callee override `PHRASES`."""
        number = f"+1212555{next(self._numbers):04d}"
        chosen = {
            "phrases": PHRASES,
            "delay_seconds": 0.6,
            "patience_seconds": PATIENCE_SECONDS,
            **(settings or {}),
        }
        await self.control_put(f"callees/{number}", {"behaviours": [behaviour], "settings": chosen})
        body = {
            "campaign_id": "live",
            "contact_id": number,
            "request_id": f"live-{number}",
            "phone_number": number,
            "script_template": f"{GREETING}\n\nAsk whether they can come to the appointment tomorrow at ten.",
            "language": "en",
            "mode": "live",
            **fields,
        }
        created = await self.rest.post("/api/v1/calls", json=body)
        assert created.status_code in (201, 202), created.text  # 202: decided later
        return str(created.json()["id"])

    async def end(self, call_id: str) -> dict[str, Any]:
        """Returns the call when it has ended."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not (call := (await self._get(f"/api/v1/calls/{call_id}"))).get("ended_at"):
                await asyncio.sleep(POLL_SECONDS)
        return dict(call)

    async def _get(self, path: str) -> Any:
        """Returns an answer; again and again while the log cannot be read, or a reused connection was just closed."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                with suppress(httpx.TransportError):
                    answer = await self.rest.get(path)
                    if answer.is_success:
                        return answer.json()
                await asyncio.sleep(POLL_SECONDS)

    async def events(self, call_id: str) -> list[Event]:
        """Returns the events of the call, in the order of the log."""
        stored = await self._get(f"/api/v1/calls/{call_id}/events")
        return [{"type": event["type"].rpartition(".")[0], "data": event["data"]} for event in stored]

    async def until(self, call_id: str, event_type: str, **values: object) -> Event:
        """Returns the first event of this type with these values, once the log has it."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                if found := select(await self.events(call_id), event_type, **values):
                    return found[0]
                await asyncio.sleep(POLL_SECONDS)

    async def entry(self, call_id: str) -> dict[str, Any]:
        """Returns what the network recorded of the call; without a stream before the call is dialled."""
        ledger = await self._get(f"{self.control}/ledger")
        return dict(next((entry for entry in ledger["calls"] if call_id in entry["url"]), {"streams": []}))

    async def until_entry(self, call_id: str, is_reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Returns what the network recorded, once it is as wanted."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not is_reached(entry := await self.entry(call_id)):
                await asyncio.sleep(POLL_SECONDS)
        return entry

    async def until_replying(self, call_id: str) -> None:
        """Returns while the callee hears the reply to its first utterance."""
        await self.until_entry(call_id, lambda entry: any(heard_replies(stream) for stream in entry["streams"]))

    def holder(self) -> SupervisedProcess:
        """Returns the process of voice that holds a media stream; there must be one stream."""
        port = urlsplit(self.system.services["voice"].environment["LIVE_BASE_URL"]).port
        held = [service for name, service in self.system.services.items() if _is_voice(name) and _has(service, port)]
        assert len(held) == 1, [service.name for service in held]
        return held[0]

    async def verify_replay(self) -> None:
        """Asserts that the orchestrator's rules decide the whole log again as it is."""
        address = self.system.access.url(self.system.nats_url.rpartition("@")[2], ADMIN)
        line = [sys.executable, "-m", "centralita", "replay", "verify", "--strict", "--nats", address]
        environment = {**ENVIRONMENT, "COLUMNS": "200"}
        ended = await asyncio.to_thread(
            subprocess.run, line, capture_output=True, text=True, env=environment, timeout=300, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr


@asynccontextmanager
async def live_system(folder: Path, **options: Any) -> AsyncIterator[LiveSystem]:
    """Runs the system during the block. `options` are those of `centralita.embedded.system.running`."""
    settings = {"API_KEYS": "k", "LOG_LEVEL": "INFO", "ALLOWED_COUNTRIES": "US", "LIVE_MAX_LAG_SECONDS": "60"}
    settings["BREAKER_FAILURES"] = "1000"  # the faults of one test are not those of the next
    headers = {"X-API-Key": "k"}
    async with (
        running(folder, environment=ENVIRONMENT, seed=3, settings=settings, **options) as system,
        httpx.AsyncClient(base_url=system.edge_url, headers=headers, timeout=60, trust_env=False) as rest,
    ):
        live = LiveSystem(system, rest)
        await live.declare_campaign()
        yield live


def select(events: Sequence[Event], event_type: str, **values: object) -> list[Event]:
    """Returns the events of this type with these values."""
    return [event for event in events if event["type"] == event_type and values.items() <= event["data"].items()]


def said(events: Sequence[Event]) -> list[str]:
    """Returns the words of the callee, turn by turn. On a loaded machine a transcript may come after its turn's end."""
    return [text for text in field_of(events, "speech.heard", "text") if text]


def said_words(events: Sequence[Event]) -> str:
    """Returns all words of the callee: on a loaded machine, words that are transcribed late are a turn of their own."""
    return " ".join(said(events))


def words(phrases: Sequence[str]) -> str:
    """Returns the words of phrases, as `said_words` has them: without pauses."""
    return re.sub(r"\[.*?\] ", "", " ".join(phrases))


def field_of(events: Sequence[Event], event_type: str, name: str) -> list[Any]:
    """Returns one field of all events of this type."""
    return [event["data"][name] for event in select(events, event_type)]


def spoken(entry: Mapping[str, Any], kind: str = "utterance") -> list[str]:
    """Returns the callee's sounds of this kind on all streams of the call."""
    return [sound["text"] for stream in entry["streams"] for sound in stream["sounds"] if sound["kind"] == kind]


def was_late(events: Sequence[Event], entry: Mapping[str, Any]) -> bool:
    """Returns whether the machine was too late for what depends on moments, such as a sound during a reply."""
    delays = field_of(events, "speech.heard", "transcription_seconds")
    is_transcript_late = any(delay is None or delay > _LATE_TRANSCRIPT_SECONDS for delay in delays)
    has_gap = any(field_of(events, "telephony.media_closed", "underruns"))
    return is_transcript_late or has_gap or any(stream["late_seconds"] for stream in entry["streams"])


def played_sentences(stream: Mapping[str, Any]) -> list[str]:
    """Returns the sentences that the callee heard to their end, as `turn.sentence`."""
    return [mark["name"].rpartition(".")[0] for mark in stream["marks"] if mark["reason"] == "played"]


def heard_replies(stream: Mapping[str, Any]) -> list[list[float]]:
    """Returns the intervals in which the callee heard the agent after its own first utterance on the stream."""
    ends = [sound["start_seconds"] + sound["seconds"] for sound in stream["sounds"] if sound["kind"] == "utterance"]
    return [interval for interval in stream["heard"] if ends and interval[0] >= ends[0]]


def _is_voice(name: str) -> bool:
    return name.partition("-")[0] == "voice"


def _has(service: SupervisedProcess, port: int | None) -> bool:
    """Returns whether the process has an accepted connection on a local port (proc(5), net/tcp)."""
    assert service.process
    own = {link.readlink().name for link in Path(f"/proc/{service.process.pid}/fd").iterdir() if link.is_symlink()}
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {row[9] for row in rows if row[3] == _ESTABLISHED and int(row[1].rpartition(":")[2], 16) == port}
    return any(f"socket:[{inode}]" in own for inode in inodes)
