"""``centralita keys``: replaces the master key."""

import dataclasses

import typer
from nats.js.errors import NotFoundError

from centralita.commands import exit_codes, options
from centralita.commands.connections import connected
from centralita.commands.exit_codes import CommandFailed, ExitCode
from centralita.commands.master_keys import EnvFile, read_master_key
from centralita.commands.output import print_json, progress_bar
from centralita.operations.master_key_rotation import Rotation, rotate
from contracts.accounts import ADMIN

app = typer.Typer(
    help="The keys under which personal data is sealed: rotate.", no_args_is_help=True, epilog=exit_codes.EPILOG
)
_NOT_TWO = (
    "Give the new key as MASTER_KEY and the one that it replaces as FORMER_MASTER_KEY, in the environment or by "
    "--env-file. Restart all services with both before this command."
)


@app.callback()
def _group() -> None:
    """Makes `rotate` a subcommand: Typer runs a single command without its name."""


@app.command("rotate", epilog=exit_codes.EPILOG)
def run_rotate(env_file: EnvFile = None, nats: options.NatsUrl = options.NATS_URL, json: options.Json = False) -> None:
    """Wraps the keys of all persons under MASTER_KEY that are still wrapped under FORMER_MASTER_KEY.

    First restart all services with both keys. The services keep running meanwhile. It may be interrupted and run again.
    Afterwards remove FORMER_MASTER_KEY and restart them again. It needs the NATS user admin. Exit code 1: some keys are
    wrapped under neither.
    """

    async def work() -> Rotation:
        master_key = read_master_key(nats, env_file)
        if master_key is None or master_key.former is None:
            raise CommandFailed(_NOT_TWO, ExitCode.WRONG_USE)
        async with connected(nats, user=ADMIN, reconnects=True) as client:
            with progress_bar("wrapping again", hidden=json) as update:
                try:
                    return await rotate(client, master_key, update)
                except NotFoundError:
                    exit_codes.fail("There are no keys yet: no service has started with this NATS.")

    rotation = exit_codes.run(work())
    print_json(dataclasses.asdict(rotation)) if json else typer.echo(
        f"{rotation.rotated:,} keys were wrapped again under MASTER_KEY."
    )
    if rotation.unknown:
        exit_codes.fail(f"{rotation.unknown:,} keys are wrapped under neither MASTER_KEY nor FORMER_MASTER_KEY.")
    if not json:
        typer.echo("Remove FORMER_MASTER_KEY and restart the services.")
