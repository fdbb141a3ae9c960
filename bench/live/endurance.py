"""The extra runs of our system: a replica that dies or is drained, coughs, and hours of calls in minutes."""

import asyncio
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.calls.processes import read_usage
from bench.console.watching import percentile
from bench.live import ledger
from bench.live.bots import Bots, Centralita
from bench.live.run import CALM, COUGHS, SHARES, Figures, Ran, print_failures, run
from centralita.embedded.processes import SupervisedProcess

LOST, CLOSED_BY_SERVER = 31903, 31921
"""Twilio's errors of a stream that broke, and of one that the server closed with another code than 1000."""
_UNHEARD_SECONDS = 0.6
"""By how much the utterances of a call may be longer than those in the log: our ear is late by some frames."""
_COUGHING_SHARE = 0.1
_IN_SENTENCE_SECONDS = 1.0


async def measure_takeover(bots: Bots, ours: Centralita, calls: int) -> Figures:
    """Kills the replica of voice with most streams in the middle of its sentences."""
    return await _without_a_replica(bots, ours, calls, SupervisedProcess.kill, (LOST, CLOSED_BY_SERVER))


async def measure_drain(bots: Bots, ours: Centralita, calls: int) -> Figures:
    """Sends SIGTERM to the replica of voice with most streams."""
    return await _without_a_replica(bots, ours, calls, _terminate, (CLOSED_BY_SERVER,))


async def _without_a_replica(
    bots: Bots, ours: Centralita, calls: int, end: Callable[[SupervisedProcess], None], expected_errors: tuple[int, ...]
) -> Figures:
    """Ends a replica of voice when every call has had a turn on average."""

    async def act() -> None:
        await ours.events.wait_for("speech.heard", calls)
        await asyncio.sleep(_IN_SENTENCE_SECONDS)
        end(_busiest(ours))

    ran = await run(ours, bots.control_url, [CALM] * calls, during=act)
    print_failures(ours, ran, expected_errors)
    return _takeover_figures(ours, ran, expected_errors)


def _takeover_figures(ours: Centralita, ran: Ran, expected_errors: tuple[int, ...]) -> Figures:
    to_stream, to_sound = ledger.gaps(ran.calls)
    found: Figures = {"calls that were taken over": len(to_stream)}
    for name, values in (("gap between streams", to_stream), ("gap between sounds", to_sound)):
        found |= {f"{name}, ms {label}": percentile(values, share) * 1000 for label, share in SHARES}
    turns = [one for call in ran.calls for one in ledger.responses(call)]
    for name, is_on_next in (("reply on the stream of its utterance", False), ("reply on the next stream", True)):
        seconds = [one.seconds for one in turns if one.seconds is not None and one.is_on_next_stream is is_on_next]
        found[f"{name}, turns"] = len(seconds)
        found |= {f"{name}, ms {label}": percentile(seconds, share) * 1000 for label, share in SHARES}
    known = ours.spoken_seconds()
    unheard = [call for call in ran.calls if ledger.spoken_seconds(call) > known[call["to"]] + _UNHEARD_SECONDS]
    found["calls with words that no turn has"] = len(unheard)
    found["turns answered twice"] = ours.events.answered_twice()
    found["calls that went on in turns"] = ours.events.total("telephony.media_degraded")
    found["failed calls"] = len(ran.failures(expected_errors))
    return found


def _busiest(ours: Centralita) -> SupervisedProcess:
    """Returns the replica of voice with most open sockets: the kernel shares streams unevenly."""
    replicas = [service for name, service in ours.system.services.items() if name.partition("-")[0] == "voice"]
    return max(replicas, key=_open_files)


def _open_files(service: SupervisedProcess) -> int:
    process = service.process
    return 0 if process is None or process.returncode is not None else len([*Path(f"/proc/{process.pid}/fd").iterdir()])


def _terminate(service: SupervisedProcess) -> None:
    """Sends SIGTERM. The process is started again when it has ended."""
    if service.process is not None:
        service.process.send_signal(signal.SIGTERM)


async def measure_coughs(bots: Bots, ours: Centralita, calls: int) -> Figures:
    """Lets a tenth of the callees cough during each reply: the agent pauses and goes on."""
    coughing = max(1, round(calls * _COUGHING_SHARE))
    ran = await run(ours, bots.control_url, [COUGHS] * coughing + [CALM] * (calls - coughing))
    print_failures(ours, ran)
    noises = [sound for stream in ledger.streams(ran.calls) for sound in stream["sounds"] if sound["kind"] == "noise"]
    return {
        "coughs over the agent": sum(1 for one in noises if one["is_over_agent"]),
        "replies that paused": ours.events.pauses.total(),
        "replies that went on": ours.events.resumes.total(),
        "interruptions": ours.events.total("speech.interrupted"),
        "failed calls": len(ran.failures()),
    }


async def soak(bots: Bots, ours: Centralita, calls: int, minutes: float) -> Figures:
    """Holds waves of conversations for so many minutes, and reads the memory after each wave."""
    loop = asyncio.get_running_loop()
    sizes: list[Mapping[str, int]] = []
    began_at, failed, late = loop.time(), 0, 0.0
    while not sizes or loop.time() - began_at < minutes * 60:
        ran = await run(ours, bots.control_url, [CALM] * calls)
        failed, late = failed + len(ran.failures()), late + ledger.late_seconds(ran.calls)
        print_failures(ours, ran)
        await asyncio.sleep(1)  # what a call leaves behind is freed
        sizes.append(read_usage().resident_bytes)
        print(f"wave {len(sizes)}: voice {sizes[-1]['voice'] / 1e6:.1f} MB", flush=True)
    found: Figures = {"waves": len(sizes), "calls": len(sizes) * calls, "failed calls": failed}
    found["seconds by which the simulator was late"] = late
    for name in ours.processes:
        found[f"memory of {name}, MB after the first wave"] = sizes[0][name] / 1e6
        found[f"memory of {name}, MB after the last wave"] = sizes[-1][name] / 1e6
    return found
