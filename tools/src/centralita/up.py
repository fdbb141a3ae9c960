"""``centralita up``: the system stays up on fixed ports, its data in ``.data/``."""

import asyncio
import os
import secrets
import signal
from pathlib import Path

from rich.console import Console

from centralita import views
from centralita.system import Ports, running

PORTS = Ports(nats=4222, mongo=27017, edge=8000, voice=8001, others=(8002, 8003, 8004))


async def up(console: Console, *, folder: Path, ports: Ports = PORTS, seed: int, speed: float) -> None:
    """Runs until SIGINT or SIGTERM. Raises CannotStart."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    key = os.environ.get("API_KEYS", "").split(",")[0].strip() or secrets.token_urlsafe(24)
    settings = {} if os.environ.get("API_KEYS") else {"API_KEYS": key}
    async with running(folder, ports=ports, seed=seed, speed=speed, settings=settings) as system:
        console.print(views.started(system))
        console.print("An API key for this run" if settings else "The first of API_KEYS", "opens the REST API. Try:\n")
        console.print(_example(system.edge_url, key), soft_wrap=True, highlight=False, markup=False)
        console.print("\nCtrl-C ends it; the data stays in", str(folder))
        await stopped.wait()


def _example(url: str, key: str) -> str:
    body = (
        '{"campaign_id": "hello", "contact_id": "1", "phone_number": "+12125550123", '
        '"script_template": "Hello {{name}}!", "variables": {"name": "Ada"}, "language": "en"}'
    )
    return (
        f"curl -s {url}/api/v1/calls -H 'X-API-Key: {key}' -H 'Content-Type: application/json' -d '{body}'\n"
        f"curl -s '{url}/api/v1/calls/metrics?campaign_id=hello' -H 'X-API-Key: {key}'"
    )
