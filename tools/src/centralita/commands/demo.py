"""``centralita demo``: a campaign on this machine, with simulated vendors."""

import asyncio
import os
import sys
from typing import Annotated

import typer
from rich.console import Console

from centralita.commands import exit_codes
from centralita.commands.exit_codes import ExitCode
from centralita.demo import live
from centralita.demo.campaign_day import demo_campaigns
from centralita.demo.campaign_plan import FORGETTABLE
from centralita.demo.failure import DemoFailed
from centralita.demo.run import demo
from centralita.demo.stay import Stay
from centralita.embedded.console import api_key
from centralita.embedded.servers import CannotStart
from centralita.operations.rest_failures import RequestFailed

app = typer.Typer()


@app.command("demo", epilog=exit_codes.EPILOG)
def run_demo(
    calls: Annotated[
        int | None, typer.Option(min=1, max=100, help=f"number of calls; default: 25, with --live {live.COUNT}")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(help="seconds in which every call must end; default: 120, --live 240, --campaigns 300"),
    ] = None,
    keep: Annotated[bool, typer.Option(help="keep the folder with logs and data")] = False,
    faults: Annotated[bool, typer.Option("--faults", help="Twilio, ElevenLabs and OpenAI fail during the run")] = False,
    is_live: Annotated[
        bool, typer.Option("--live", help="live conversations: callees interrupt; each call is recorded")
    ] = False,
    campaigns: Annotated[
        bool, typer.Option("--campaigns", help="two campaigns in three time zones, in simulated time")
    ] = False,
    forget: Annotated[
        str | None,
        typer.Option(
            metavar="CONTACT", help=f"with --campaigns: erase this person at the end: {', '.join(FORGETTABLE)}"
        ),
    ] = None,
    stay: Annotated[
        bool | None,
        typer.Option("--stay/--no-stay", help="show the calls in a browser until Ctrl-C; default: in a terminal"),
    ] = None,
) -> None:
    """Runs a whole campaign on this machine: embedded servers, simulated vendors, no account."""
    if campaigns + faults + is_live > 1:
        exit_codes.fail("Give one of --campaigns, --faults and --live.", code=ExitCode.WRONG_USE)
    if forget and not (campaigns and forget in FORGETTABLE):
        remedy = f"Give it with --campaigns, and one of {', '.join(FORGETTABLE)}."
        exit_codes.fail(f"--forget {forget} is not possible. {remedy}", code=ExitCode.WRONG_USE)
    console = Console()
    stays = console.is_terminal and sys.stdin.isatty() if stay is None else stay
    try:
        if campaigns:
            asyncio.run(demo_campaigns(console, timeout=timeout or 300, keep=keep, stays=stays, forget=forget))
        else:
            staying = Stay(stays, api_key(os.environ.get("API_KEYS", "")))
            seconds = timeout or (live.TIMEOUT_SECONDS if is_live else 120)
            count = calls or (live.COUNT if is_live else 25)
            options = {"with_faults": faults, "is_live": is_live}
            asyncio.run(demo(console, count=count, timeout=seconds, keep=keep, stay=staying, **options))
    except (DemoFailed, CannotStart, RequestFailed, TimeoutError) as error:
        console.print(f"[red]The demo failed:[/red] {error or type(error).__name__}")
        raise typer.Exit(ExitCode.NEGATIVE) from error
