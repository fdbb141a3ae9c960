"""A campaign with a seeded fault schedule: what was acknowledged, the log, the provider's ledger and MongoDB agree.

``make chaos CALLS=1000 FAULTS=100 SEED=7`` sizes it and repeats a schedule. The order in which processes run is not
repeated, so the same seed may find another interleaving.
"""

import os
import random
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from rich.console import Console
from tests.chaos.campaigns import RULES
from tests.chaos.run import BEHAVIOURS, REPLICAS, RULES_FILE, SETTINGS, SPEED, ChaosRun

from centralita.embedded.system import running

CALLS = int(os.environ.get("CALLS") or 60)
FAULTS = int(os.environ.get("FAULTS") or 10)
IS_BIG = any(os.environ.get(name) for name in ("CALLS", "FAULTS", "SEED"))
SEED = int(os.environ.get("SEED") or (random.SystemRandom().randrange(10**6) if IS_BIG else 1))
SETTLE_SECONDS = 900
WRONG_CLOCK = "call-orchestrator-2"


def clock_environment(hours: int) -> dict[str, str] | None:
    """Returns the variables with which a process has a wrong clock; None where libfaketime cannot be loaded."""
    found = find_spec("libfaketime")
    if found is None or found.origin is None:
        return None
    library = Path(found.origin).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
    environment = {"LD_PRELOAD": str(library), "FAKETIME": f"{hours:+d}h", "DONT_FAKE_MONOTONIC": "1"}
    code = "import time, sys; sys.stdout.write(str(round((time.time() - float(sys.argv[1])) / 3600)))"
    command = [sys.executable, "-c", code, str(time.time())]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    return environment if result.stdout == str(hours) else None


@pytest.mark.timeout(600 + SETTLE_SECONDS + 5 * CALLS)
async def test_all_records_agree_after_a_campaign_with_faults(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hours = random.Random(f"{SEED}:clock").choice((-1, 1))
    faketime = clock_environment(hours)
    clock = f"{hours:+d} h" if faketime else "right: libfaketime does not load here"
    with capsys.disabled():
        console = Console(stderr=True, width=120, soft_wrap=True, highlight=False)
        console.print(f"\nCALLS={CALLS} FAULTS={FAULTS} SEED={SEED}; the logs are in {tmp_path}")
        rules = tmp_path / RULES_FILE
        rules.write_text(RULES)
        async with running(
            tmp_path,
            environment={"PATH": "/usr/bin:/bin"},
            seed=SEED,
            speed=SPEED,
            behaviours=BEHAVIOURS,
            settings={**SETTINGS, "CALLING_RULES": str(rules)},
            replicas=REPLICAS,
            environments={WRONG_CLOCK: faketime or {}},
        ) as system:
            run = ChaosRun(system, SEED, CALLS, FAULTS, console.print, clock)
            report = await run.run(SETTLE_SECONDS)
        console.print(report.table())
        for line in report.found:
            console.print(line)
    assert report.found == []
