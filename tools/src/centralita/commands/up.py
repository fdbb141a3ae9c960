"""``centralita up``: the system on fixed ports, until Ctrl-C."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from centralita.commands import exit_codes
from centralita.commands.exit_codes import ExitCode
from centralita.embedded.servers import CannotStart
from centralita.embedded.up import up

app = typer.Typer()


@app.command("up", epilog=exit_codes.EPILOG)
def run_up(
    folder: Annotated[Path, typer.Option(help="where the data are stored")] = Path(".data"),
    seed: Annotated[int, typer.Option(help="seed of the simulators")] = 1,
    speed: Annotated[float, typer.Option(help="speed of the simulators; 1 is real time")] = 1.0,
) -> None:
    """Runs the system on fixed ports until Ctrl-C. Vendors whose settings are in the environment are real."""
    console = Console()
    try:
        asyncio.run(up(console, folder=folder, seed=seed, speed=speed))
    except CannotStart as error:
        console.print(f"[red]Cannot start:[/red] {error}")
        raise typer.Exit(ExitCode.NEGATIVE) from error
