"""``centralita demo``: a campaign on this machine, with simulated vendors."""

import asyncio
from typing import Annotated

import typer
from rich.console import Console

from centralita.commands import exit_codes
from centralita.commands.exit_codes import ExitCode
from centralita.demo.run import DemoFailed, demo
from centralita.embedded.servers import CannotStart

app = typer.Typer()


@app.command("demo", epilog=exit_codes.EPILOG)
def run_demo(
    calls: Annotated[int, typer.Option(min=1, max=100, help="number of calls")] = 25,
    timeout: Annotated[float, typer.Option(help="seconds within which every call must end")] = 120,
    keep: Annotated[bool, typer.Option(help="keep the folder with logs and data")] = False,
    faults: Annotated[bool, typer.Option("--faults", help="Twilio, ElevenLabs and OpenAI fail during the run")] = False,
) -> None:
    """Runs a whole campaign on this machine: embedded servers, simulated vendors, no account."""
    console = Console()
    try:
        asyncio.run(demo(console, count=calls, timeout=timeout, keep=keep, with_faults=faults))
    except (DemoFailed, CannotStart, TimeoutError) as error:
        console.print(f"[red]The demo failed:[/red] {error or type(error).__name__}")
        raise typer.Exit(ExitCode.NEGATIVE) from error
