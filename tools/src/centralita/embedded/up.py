"""``centralita up``: the system stays up on fixed ports, its data in ``.data/``."""

import asyncio
import os
import secrets
import signal
from pathlib import Path

from rich.console import Console

from centralita.embedded.credentials import CREDENTIALS_FILE
from centralita.embedded.system import Ports, running
from centralita.embedded.views import started

PORTS = Ports(nats=4222, mongo=27017, edge=8000, voice=8001, others=(8002, 8003, 8004))


async def up(console: Console, *, folder: Path, ports: Ports = PORTS, seed: int, speed: float) -> None:
    """Runs until SIGINT or SIGTERM. Raises CannotStart."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    key, settings = _key(os.environ.get("API_KEYS", ""))
    kept = folder / "nats" / CREDENTIALS_FILE.name
    async with running(folder, ports=ports, seed=seed, speed=speed, settings=settings) as system:
        console.print(started(system))
        console.print("An API key for this run" if settings else "A key of API_KEYS", "opens the REST API. Try:\n")
        console.print(_example(system.edge_url, key), soft_wrap=True, highlight=False, markup=False)
        console.print("\nThe other commands, run in this folder, find it. Each user's own NATS_URL:", str(kept))
        console.print("Ctrl-C ends it; the data stays in", str(folder))
        await stopped.wait()


def _key(told: str) -> tuple[str, dict[str, str]]:
    """A key to show, and the setting that makes it good: one for this run, if there is none in `told`.

    An entry with a colon holds no key, only its digest: then whoever made it knows it.
    """
    entries = [entry.strip() for entry in told.split(",") if entry.strip()]
    if not entries:
        made = secrets.token_urlsafe(24)
        return made, {"API_KEYS": made}
    return next((entry for entry in entries if ":" not in entry), "YOUR-KEY"), {}


def _example(url: str, key: str) -> str:
    body = (
        '{"campaign_id": "hello", "contact_id": "1", "phone_number": "+12125550123", '
        '"script_template": "Hello {{name}}!", "variables": {"name": "Ada"}, "language": "en"}'
    )
    return (
        f"curl -s {url}/api/v1/calls -H 'X-API-Key: {key}' -H 'Content-Type: application/json' -d '{body}'\n"
        f"curl -s '{url}/api/v1/calls/metrics?campaign_id=hello' -H 'X-API-Key: {key}'"
    )
