"""Profiles of the services during a run: the functions that use most of the CPU time, by service and kind of call.

The sampler is `bench/calls/profiling/sitecustomize.py`; it needs no change of the services and no right to trace them.
"""

import json
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bench.calls.driving import drive
from bench.calls.processes import SERVICES, wait_until_quiet
from bench.calls.run import KINDS, WARM_UP_CALLS, Filled, copy_of
from bench.calls.system import RunningSystem, Variant, running_services

TOP = 20
_MAX_SHARE = 0.9
"""Functions that are on the stack of more samples than this are the event loop and its callers."""


async def print_profiles(filled: Filled, folder: Path, variant: Variant, driven: Mapping[str, int]) -> None:
    """Runs calls of each kind under the sampler, and prints the top functions of each service."""
    async with copy_of(filled, folder, variant) as (system, client):
        skip = 1
        for kind in KINDS:
            profiles = folder / f"profiles-{kind}"
            profiles.mkdir()
            async with running_services(system, replace(variant, profile=profiles)):
                for warmed in KINDS:
                    await drive(client, system.control_url, warmed, WARM_UP_CALLS, skip=skip)
                await wait_until_quiet()
                _reset(system)
                await drive(client, system.control_url, kind, driven[kind], skip=skip + WARM_UP_CALLS)
                await wait_until_quiet()
                skip += WARM_UP_CALLS + max(driven.values())
            for service in SERVICES:
                print(f"\n{kind}: {service}, per cent of its samples\n{top_functions(profiles / service)}", flush=True)


def _reset(system: RunningSystem) -> None:
    for service in system.services.values():
        if service.process:
            service.process.send_signal(signal.SIGUSR2)


def top_functions(file: Path) -> str:
    """Returns the functions of a profile that use most of the CPU time, as text."""
    profile = json.loads(file.read_text())
    total = sum(count for _, count in profile["own"]) or 1
    called = [one for one in profile["with_callees"] if one[1] < _MAX_SHARE * total]
    lines = [f"{total} samples", "  own time"]
    lines += [f"    {count / total:6.1%}  {name}" for name, count in profile["own"][:TOP]]
    lines += ["  with the functions that they call"]
    lines += [f"    {count / total:6.1%}  {name}" for name, count in called[: 2 * TOP]]
    return "\n".join(lines)
