"""The process that lists, resends and drops dead letters for the REST API."""

import sys
from collections.abc import Mapping
from pathlib import Path

from centralita.embedded.processes import SupervisedProcess
from contracts.work import DEAD_LETTER_USER


def dead_letter_process(environment: Mapping[str, str], nats_url: str, folder: Path) -> SupervisedProcess:
    """Returns the process, which is not started. `nats_url` contains its own user. It serves HTTP on any free port."""
    return SupervisedProcess(
        name=DEAD_LETTER_USER,
        command=[sys.executable, "-m", "chassis.dead_letter_service"],
        environment={**environment, "NATS_URL": nats_url, "HTTP_PORT": "0"},
        log=folder / f"{DEAD_LETTER_USER}.log",
    )
