"""The process that lists, resends and drops dead letters for the REST API."""

import sys
from collections.abc import Mapping
from pathlib import Path

from centralita.embedded.credentials import Credentials
from centralita.embedded.processes import SupervisedProcess
from contracts.work import DEAD_LETTER_USER


def dead_letter_process(
    environment: Mapping[str, str], access: Credentials, nats_url: str, folder: Path
) -> SupervisedProcess:
    """Returns the process, which is not started. It has a user of its own, and serves HTTP on any free port."""
    return SupervisedProcess(
        name=DEAD_LETTER_USER,
        command=[sys.executable, "-m", "chassis.dead_letter_service"],
        environment={**environment, "NATS_URL": access.url(nats_url, DEAD_LETTER_USER), "HTTP_PORT": "0"},
        log=folder / f"{DEAD_LETTER_USER}.log",
    )
