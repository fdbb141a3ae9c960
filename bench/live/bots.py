"""The systems that hold the same conversations: the floor bot, and ours in an embedded run, in its two live modes."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import httpx
from nats.aio.client import Client

from bench.calls.driving import request
from bench.calls.system import SETTINGS
from bench.live import conditions
from bench.live.log_events import LogEvents, following
from bench.live.processes import listening
from bench.live.stages import Latencies
from centralita.embedded.system import System, running
from contracts import ConversationMode, call_id_of
from simulators.server import DEFAULT_ACCOUNT_SID, DEFAULT_AUTH_TOKEN

STALL_SECONDS = 90.0
OUR_PROCESSES = ("voice", "conversation", "edge", "call-orchestrator", "nats-server")
"""Whose CPU time is ours. MongoDB and campaign-stats only count calls that have ended."""
_SETTINGS = {**SETTINGS, "ELEVENLABS_MAX_CONCURRENCY": "200", "LIVE_MAX_CALLS": "200"}
_POLL_SECONDS = 0.5
TurnsByNumber = Mapping[str, Mapping[int, Latencies]]


class Bot(Protocol):
    """A system that holds conversations. `processes` are those whose CPU time and memory are its own."""

    name: str
    processes: tuple[str, ...]

    async def begin(self) -> None:
        """Forgets the calls of the last run."""
        ...

    async def dial(self, number: str) -> None:
        """Begins one call."""
        ...

    async def wait(self) -> None:
        """Returns when all calls have ended, or when none ends any more."""
        ...

    async def latencies(self) -> TurnsByNumber:
        """Returns the latencies of all turns since `begin`, by number and turn."""
        ...

    def ends(self, number: str) -> Sequence[str]:
        """Returns how the streams of a call ended, as the system itself says."""
        ...


class Floor:
    """The floor bot. It dials by Twilio's REST API."""

    name = "floor"
    processes: tuple[str, ...] = ("floor bot",)

    def __init__(self, http: httpx.AsyncClient, url: str, twilio_url: str) -> None:
        self._http, self._url, self._twilio_url = http, url, twilio_url
        self._numbers: dict[str, str] = {}

    async def begin(self) -> None:
        """See `Bot`."""
        self._numbers.clear()
        (await self._http.delete(f"{self._url}/calls")).raise_for_status()

    async def dial(self, number: str) -> None:
        """See `Bot`."""
        answer = await self._http.post(
            f"{self._twilio_url}/2010-04-01/Accounts/{DEFAULT_ACCOUNT_SID}/Calls.json",
            data={"To": number, "From": "+12125550100", "Url": f"{self._url}/voice"},
            auth=(DEFAULT_ACCOUNT_SID, DEFAULT_AUTH_TOKEN),
        )
        self._numbers[answer.raise_for_status().json()["sid"]] = number

    async def wait(self) -> None:
        """See `Bot`."""
        seen, seen_at = -1, asyncio.get_running_loop().time()
        while seen < len(self._numbers) and asyncio.get_running_loop().time() < seen_at + STALL_SECONDS:
            await asyncio.sleep(_POLL_SECONDS)
            ended = (await self._http.get(f"{self._url}/calls")).json()["ended"]
            if ended != seen:
                seen, seen_at = ended, asyncio.get_running_loop().time()

    async def latencies(self) -> TurnsByNumber:
        """See `Bot`."""
        turns = (await self._http.get(f"{self._url}/calls", params={"turns": "1"})).json()["turns"]
        found: dict[str, dict[int, Latencies]] = {}
        for turn in turns:
            found.setdefault(self._numbers[turn["call_sid"]], {})[turn["turn"]] = turn
        return found

    def ends(self, number: str) -> Sequence[str]:
        """See `Bot`. The floor has no log."""
        return ()


@dataclass
class Centralita:
    """Ours in one mode: calls are requested over NATS, and their events are read from the log."""

    client: Client
    events: LogEvents
    system: System
    name: str = "ours"
    mode: ConversationMode = ConversationMode.LIVE
    processes: tuple[str, ...] = OUR_PROCESSES
    _numbers: dict[str, str] = field(default_factory=dict)

    async def begin(self) -> None:
        """See `Bot`."""
        self._numbers.clear()
        self.events.clear()

    async def dial(self, number: str) -> None:
        """See `Bot`."""
        own = {"campaign_id": "bench-live", "mode": self.mode, "script_template": conditions.SCRIPT, "variables": {}}
        body = request("conversation", number) | own
        self._numbers[str(call_id_of(str(body["request_id"])))] = number
        await self.client.jetstream(timeout=STALL_SECONDS).publish("call.requested", json.dumps(body).encode())

    async def wait(self) -> None:
        """See `Bot`."""
        await self.events.wait_until_ended(self._numbers, STALL_SECONDS)

    async def latencies(self) -> TurnsByNumber:
        """See `Bot`."""
        return {number: self.events.latencies[call_id] for call_id, number in self._numbers.items()}

    def ends(self, number: str) -> Sequence[str]:
        """See `Bot`."""
        return [end for call_id, one in self._numbers.items() if one == number for end in self.events.ends[call_id]]

    def relaying(self) -> "Centralita":
        """Returns the same system, which holds its calls over ConversationRelay."""
        return replace(self, name="relay", mode=ConversationMode.RELAY, _numbers={})

    def spoken_seconds(self) -> Mapping[str, float]:
        """Returns how long the utterances are that have claimed a turn, by number."""
        return {number: self.events.spoken_seconds[call_id] for call_id, number in self._numbers.items()}


@dataclass(frozen=True)
class Bots:
    """What runs: the vendors' control address, the floor, and ours unless it was left out."""

    control_url: str
    floor: Floor
    ours: Centralita | None

    @property
    def with_audio(self) -> Sequence[Bot]:
        """The systems that play the audio of their replies, in the order in which they are measured."""
        return [self.floor] if self.ours is None else [self.floor, self.ours]

    @property
    def all(self) -> Sequence[Bot]:
        """The systems of `with_audio`, and ours with a provider that speaks."""
        return self.with_audio if self.ours is None else [*self.with_audio, self.ours.relaying()]


@asynccontextmanager
async def running_bots(folder: Path, *, voices: int = 1, has_ours: bool = True) -> AsyncIterator[Bots]:
    """Runs the vendors, the floor bot and our system during the block. `voices`: replicas of voice."""
    folder.mkdir(parents=True, exist_ok=True)
    async with (
        httpx.AsyncClient(timeout=60) as http,
        listening("vendors", log=folder / "vendors.log") as urls,
        listening("floor_bot", urls["elevenlabs"], urls["openai"], log=folder / "floor_bot.log") as own,
        _running_system(folder, urls, voices) if has_ours else nullcontext() as ours,
    ):
        yield Bots(urls["twilio"], Floor(http, own["floor"], urls["twilio"]), ours)


@asynccontextmanager
async def _running_system(folder: Path, urls: Mapping[str, str], voices: int) -> AsyncIterator[Centralita]:
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    addresses = {f"{vendor.upper()}_BASE_URL": url for vendor, url in urls.items()}
    settings = {**_SETTINGS, **addresses}
    embedded = running(folder / "system", environment=environment, settings=settings, replicas={"voice": voices})
    async with embedded as system, following(system.nats_url) as (client, events):
        yield Centralita(client, events, system)
