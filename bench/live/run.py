"""One run: calls begin within the ramp, talk, and end; then the ledger and the usage of the processes are read."""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import httpx

from bench.calls.driving import numbers
from bench.calls.processes import read_usage
from bench.console.watching import percentile
from bench.live import conditions, ledger, stages
from bench.live.bots import Bot, TurnsByNumber

RAMP_SECONDS = 8.0
TURNS = len(conditions.PHRASES)
CALM, INTERRUPTS, COUGHS = "dictates", "interrupts", "coughs"
"""Behaviours of the simulated callees. The first one never interrupts; its phrases have no number here."""
_SAMPLE_SECONDS = 0.5
_LAST_STATUS_SECONDS = 30.0
_ENDED = ("completed", "busy", "failed", "no-answer", "canceled")
_MAX_SHOWN = 3
Figures = dict[str, float]
FRESH_NUMBERS: Iterator[str] = numbers("unanswered")
"""No number is called twice: the log would take the provider's ids of a second call for repetitions."""


@dataclass(frozen=True)
class Ran:
    """What a run has shown. By process: its CPU seconds, and by how much its memory grew at most.

    `ends`: by number, how the streams of its call ended, as the system says.
    """

    numbers: Sequence[str]
    calls: Sequence[ledger.Entry]
    latencies: TurnsByNumber
    cpu_seconds: Mapping[str, float]
    peak_bytes: Mapping[str, int]
    ends: Mapping[str, Sequence[str]]

    def hops(self) -> list[stages.Hops]:
        """Returns the hops of all turns that have a reply and reported latencies."""
        found = [
            stages.hops(response, self.latencies.get(call["to"], {}).get(response.turn, {}))
            for call in self.calls
            for response in ledger.responses(call)
        ]
        return [one for one in found if one is not None]

    def failures(self, expected_errors: Collection[int] = ()) -> list[str]:
        """Returns why calls have failed, one text for each."""
        undialled = set(self.numbers) - {call["to"] for call in self.calls}
        found = dict.fromkeys(undialled, "not dialled") | ledger.failures(self.calls, TURNS, expected_errors)
        return [f"{number}: {'; '.join([text, *self.ends.get(number, ())])}" for number, text in found.items()]


async def run(
    bot: Bot,
    control_url: str,
    behaviours: Sequence[str],
    *,
    ramp_seconds: float = RAMP_SECONDS,
    during: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> Ran:
    """Holds one conversation for each of the `behaviours`. `during` runs while they talk."""
    wanted = list(islice(FRESH_NUMBERS, len(behaviours)))
    async with httpx.AsyncClient(timeout=60) as http:
        (await http.delete(f"{control_url}/_simulator")).raise_for_status()
        for number, behaviour in zip(wanted, behaviours, strict=True):
            document = {"behaviour": behaviour, "settings": _settings()}
            (await http.put(f"{control_url}/_simulator/callees/{number}", json=document)).raise_for_status()
        await bot.begin()
        before = read_usage()
        peak = dict(before.resident_bytes)
        sampling = asyncio.create_task(_sample(peak))
        acting = asyncio.create_task(during()) if during else None
        try:
            await _dial(bot, wanted, ramp_seconds)
            await bot.wait()
        finally:
            for task in (sampling, acting):
                if task is not None:
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task
        used = read_usage().since(before)
        calls = await _ended_calls(http, control_url)
    growth = {name: size - before.resident_bytes.get(name, 0) for name, size in peak.items()}
    return Ran(wanted, calls, await bot.latencies(), used, growth, {number: bot.ends(number) for number in wanted})


async def _ended_calls(http: httpx.AsyncClient, control_url: str) -> list[ledger.Entry]:
    """Returns the ledger when each call has its last status: the network sets it after a system has ended the call.

    After `_LAST_STATUS_SECONDS`, as it is.
    """
    clock = asyncio.get_running_loop().time
    until = clock() + _LAST_STATUS_SECONDS
    while True:
        calls: list[ledger.Entry] = (await http.get(f"{control_url}/_simulator/ledger")).json()["calls"]
        if all(call["status"] in _ENDED for call in calls) or clock() > until:
            return calls
        await asyncio.sleep(_SAMPLE_SECONDS)


async def _dial(bot: Bot, wanted: Sequence[str], ramp_seconds: float) -> None:
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    for position, number in enumerate(wanted):
        await asyncio.sleep(max(0.0, began_at + position * ramp_seconds / len(wanted) - loop.time()))
        await bot.dial(number)


async def _sample(peak: dict[str, int]) -> None:
    """Keeps the largest resident size of each process."""
    while True:
        await asyncio.sleep(_SAMPLE_SECONDS)
        for name, size in read_usage().resident_bytes.items():
            peak[name] = max(size, peak.get(name, 0))


def _settings() -> dict[str, Any]:
    return {
        "language": "en",
        "phrases": conditions.PHRASES,
        "delay_seconds": conditions.ANSWER_DELAY_SECONDS,
        "at_seconds": conditions.INTERRUPTS_AFTER_SECONDS,
    }


def figures(bot: Bot, ran: Ran, calls: int) -> Figures:
    """Returns the figures of a run of conversations without interruptions."""
    found: Figures = {}
    hops = ran.hops()
    for stage, (median, high) in stages.milliseconds(hops).items():
        name = "hops together" if stage == "total" else f"hops: {stage.replace('_', ' ')}"
        found |= {f"{name}, ms p50": median, f"{name}, ms p95": high}
    minutes = ledger.minutes(ran.calls)
    if minutes:
        cpu = {name: ran.cpu_seconds.get(name, 0.0) / minutes for name in bot.processes}
        found["CPU together, s per call-minute"] = sum(cpu.values())
        found |= {f"CPU of {name}, s per call-minute": seconds for name, seconds in cpu.items()}
    for name in bot.processes:
        found[f"memory of {name}, MB per call"] = ran.peak_bytes.get(name, 0) / 1e6 / calls
    found["memory together, MB per call"] = sum(ran.peak_bytes.get(name, 0) for name in bot.processes) / 1e6 / calls
    found["turns measured"] = len(hops)
    if not any(stream["kind"] == ledger.RELAY for stream in ledger.streams(ran.calls)):  # there, the provider speaks
        found["underruns"] = ledger.underruns(ran.calls)
    found["failed calls"] = len(ran.failures())
    found["seconds by which the simulator was late"] = ledger.late_seconds(ran.calls)
    return found


def print_failures(bot: Bot, ran: Ran, expected_errors: Collection[int] = ()) -> None:
    """Prints why calls have failed, at most `_MAX_SHOWN` of them."""
    for text in ran.failures(expected_errors)[:_MAX_SHOWN]:
        print(f"{bot.name}: {text}", flush=True)


def barge_in_figures(ran: Ran) -> Figures:
    """Returns how fast the agent became silent for callees who interrupt."""
    stops = ledger.stops(ran.calls)
    found: Figures = {"interruptions": len(stops)}
    for name, values in (
        ("onset to clear", [one.to_clear for one in stops if one.to_clear is not None]),
        ("onset to silence", [one.to_silence for one in stops if one.to_silence is not None]),
    ):
        found |= {f"{name}, ms {label}": percentile(values, share) * 1000 for label, share in SHARES}
        found[f"{name}: none"] = len(stops) - len(values)
    return found


SHARES = (("p50", 0.5), ("p95", 0.95))
