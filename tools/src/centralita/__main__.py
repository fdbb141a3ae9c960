"""``centralita`` and ``python -m centralita``."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from centralita.commands import call, dead_letters, doctor, replay, tail
from centralita.demo.run import DemoFailed, demo
from centralita.embedded.servers import CannotStart
from centralita.embedded.up import up

app = typer.Typer(help="Outbound phone calls, held by an AI.", no_args_is_help=True)
for command in (call, tail, doctor):
    app.add_typer(command.app)
app.add_typer(replay.app, name="replay")
app.add_typer(dead_letters.app, name="dead-letters")
console = Console()


@app.command("demo")
def run_demo(
    calls: Annotated[int, typer.Option(min=1, max=100, help="how many people are called")] = 25,
    timeout: Annotated[float, typer.Option(help="seconds after which open calls are a failure")] = 120,
    keep: Annotated[bool, typer.Option(help="keep the logs and the data")] = False,
    faults: Annotated[bool, typer.Option("--faults", help="ElevenLabs and OpenAI fail in the middle")] = False,
) -> None:
    """A whole campaign on this machine: embedded servers, simulated vendors, no account. Exit code 0: all is well."""
    try:
        asyncio.run(demo(console, count=calls, timeout=timeout, keep=keep, faults=faults))
    except (DemoFailed, CannotStart, TimeoutError) as error:
        console.print(f"[red]The demo failed:[/red] {error or type(error).__name__}")
        raise typer.Exit(1) from error


@app.command("up")
def run_up(
    folder: Annotated[Path, typer.Option(help="where the data stays")] = Path(".data"),
    seed: Annotated[int, typer.Option(help="of the simulators")] = 1,
    speed: Annotated[float, typer.Option(help="how many times faster than life the simulators are")] = 1.0,
) -> None:
    """The system, staying up on fixed ports; real vendors where their settings are in the environment."""
    try:
        asyncio.run(up(console, folder=folder, seed=seed, speed=speed))
    except CannotStart as error:
        console.print(f"[red]Cannot start:[/red] {error}")
        raise typer.Exit(1) from error


if __name__ == "__main__":
    app()
