"""Runs commands of replay as a user does."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping

from centralita.demo.failure import DemoFailed
from centralita.embedded.system import System

REPLAY_SECONDS = 120


async def replay(system: System, settings: Mapping[str, str], *arguments: str) -> None:
    """Runs a replay command with the settings of the demo. Raises DemoFailed if its result is negative."""
    command = [sys.executable, "-m", "centralita", "replay", *arguments]
    addresses = {"NATS_URL": system.nats_url, "MONGO_URL": system.mongo_url}
    ended = await asyncio.to_thread(
        subprocess.run,
        command,
        env={**os.environ, **settings, **addresses},
        capture_output=True,
        text=True,
        timeout=REPLAY_SECONDS,
        check=False,
    )
    if ended.returncode != 0:
        raise DemoFailed(f"`centralita replay {' '.join(arguments)}` failed: {ended.stdout}{ended.stderr}")
