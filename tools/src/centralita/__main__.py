"""``centralita`` and ``python -m centralita``."""

import os
from importlib.metadata import version
from typing import Annotated

import typer

from centralita.commands import (
    archive,
    call,
    campaign,
    console,
    dead_letters,
    demo,
    do_not_call,
    doctor,
    exit_codes,
    keys,
    person,
    replay,
    seal,
    tail,
    up,
    why,
)

# Local variables may contain credentials, so no traceback shows them.
app = typer.Typer(no_args_is_help=True, pretty_exceptions_show_locals=False)
for command in (demo, up, console, call, tail, why, person, archive, seal, doctor):
    app.add_typer(command.app)
app.add_typer(campaign.app, name="campaign")
app.add_typer(do_not_call.app, name="do-not-call")
app.add_typer(replay.app, name="replay")
app.add_typer(keys.app, name="keys")
app.add_typer(dead_letters.app, name="dead-letters")


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(version("centralita"))
        raise typer.Exit


@app.callback(epilog=exit_codes.EPILOG)
def main(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """AI agents that make phone calls."""
    # Exports, logs and the servers of an embedded run contain personal data and secrets: for their owner only.
    os.umask(0o077)


if __name__ == "__main__":
    app()
