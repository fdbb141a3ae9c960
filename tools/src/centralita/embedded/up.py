"""``centralita up``: the system on fixed ports, with its data in a folder, until SIGINT or SIGTERM."""

import asyncio
import os
import signal
from pathlib import Path

from rich.console import Console

from centralita.embedded.console import ConsoleLogin, api_key, is_installed
from centralita.embedded.credentials import CREDENTIALS_FILE
from centralita.embedded.system import Ports, running
from centralita.embedded.views import print_console, started

PORTS = Ports(nats=4222, mongo=27017, edge=8000, voice=8001, live=8005, others=(8002, 8003, 8004), console=8080)


async def up(console: Console, *, folder: Path, ports: Ports = PORTS, seed: int, speed: float) -> None:
    """Runs the system until SIGINT or SIGTERM. Raises CannotStart."""
    stopped = stop_requested()
    key = api_key(os.environ.get("API_KEYS", ""))
    login = ConsoleLogin.of(key) if is_installed() else None
    async with running(
        folder,
        ports=ports,
        seed=seed,
        speed=speed,
        settings=key.settings,
        console=login,
        has_dead_letters=True,
    ) as system:
        console.print(started(system))
        console.print("The REST API accepts", "this run's API key." if key.settings else "a key of API_KEYS.", "Try:\n")
        console.print(_example(system.edge_url, key.key), soft_wrap=True, highlight=False, markup=False)
        credentials = folder / "nats" / CREDENTIALS_FILE.name
        console.print(f"\nOther commands in this folder find the system. NATS_URL of each user: {credentials}")
        print_console(console, system)
        console.print(f"Ctrl-C stops the system; the data remain in {folder}")
        await stopped.wait()


def stop_requested() -> asyncio.Event:
    """Returns an event that is set at SIGINT or SIGTERM, which then end nothing by themselves."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped


def _example(url: str, key: str) -> str:
    body = (
        '{"campaign_id": "hello", "contact_id": "1", "phone_number": "+12125550123", '
        '"script_template": "Hello {{name}}!", "variables": {"name": "Ada"}, "language": "en"}'
    )
    return (
        f"curl -s {url}/api/v1/calls -H 'X-API-Key: {key}' -H 'Content-Type: application/json' -d '{body}'\n"
        f"curl -s '{url}/api/v1/calls/metrics?campaign_id=hello' -H 'X-API-Key: {key}'"
    )
