"""``centralita seal``: seals the personal data that older builds stored in clear."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from centralita.commands import exit_codes, options
from centralita.commands.connections import connected
from centralita.commands.exit_codes import CommandFailed, ExitCode
from centralita.commands.master_keys import EnvFile, read_master_key, read_number_digests, read_settings
from centralita.commands.output import print_json, progress_bar
from centralita.embedded.servers import CannotStart
from centralita.embedded.stopped_run import stopped_run
from centralita.rewriting.persons import WrongDigestKey
from centralita.rewriting.sealing_run import Sealed, SealRefused, seal_streams
from chassis.keyring import Keyring
from chassis.migration_checks import NotMigrated
from chassis.provision import NotEnoughNodes, Settings
from chassis.stream_copy import CopyInterrupted
from contracts.accounts import ADMIN

app = typer.Typer()
_NO_KEYS = "Give MASTER_KEY and NUMBER_DIGEST_KEY of the services, in the environment or by --env-file."


@app.command("seal", epilog=exit_codes.EPILOG)
def run_seal(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only count; change nothing")] = False,
    folder: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="data of a `centralita up` that was stopped, such as .data"),
    ] = None,
    env_file: EnvFile = None,
    nats: options.NatsUrl = options.NATS_URL,
    json: options.Json = False,
) -> None:
    """Seals the personal data that builds before sealing stored in clear. Then `forget` can erase any person.

    First stop all services and upstream systems; NATS keeps running. With --folder, the command runs NATS itself. It
    may be interrupted at any moment and run again. It needs the NATS user admin, the keys and sizes of the services,
    and free disk space of the size of the streams. Exit code 1: it was refused, or some messages stay in clear.
    """

    async def work(url: str, keys: Path | None) -> Sealed:
        master_key, digests = read_master_key(url, keys), read_number_digests(url, keys)
        if master_key is None or digests is None:
            raise CommandFailed(_NO_KEYS, ExitCode.WRONG_USE)
        settings = read_settings(Settings, url, keys)
        async with connected(url, user=ADMIN, reconnects=True) as client:
            with progress_bar("sealing", hidden=json) as update:
                return await seal_streams(
                    client,
                    Keyring(client, master_key),
                    digests,
                    progress=update,
                    dry_run=dry_run,
                    replicas=settings.nats_replicas,
                    max_bytes=settings.max_bytes,
                )

    try:
        with stopped_run(folder) if folder else nullcontext((nats, env_file)) as (url, keys):
            sealed = exit_codes.run(work(url, keys))
    except CannotStart as error:
        exit_codes.fail(str(error))
    except (SealRefused, NotMigrated, NotEnoughNodes, WrongDigestKey) as error:
        exit_codes.fail(f"Nothing was changed: {error}.")
    except CopyInterrupted as error:
        exit_codes.fail(f"Not finished: {error}. Run the command again before you start the services.")
    print_json(sealed) if json else typer.echo("\n".join(_lines(sealed, dry_run=dry_run)))
    if sealed.left:
        exit_codes.fail(f"{sealed.left:,} messages stay in clear. {_remedy(sealed)}")


def _lines(sealed: Sealed, *, dry_run: bool) -> list[str]:
    verb = "are in clear" if dry_run else "were in clear and are sealed now"
    lines = [
        f"{name}: {counts.in_clear:,} of {counts.messages:,} messages {verb}."
        for name, counts in sealed.streams.items()
        if counts.in_clear
    ]
    return lines or ["No message is in clear that can be sealed."]


def _remedy(sealed: Sealed) -> str:
    counts = sealed.streams.values()
    reasons = {
        "no event, so a dead letter refers to each": sum(one.unreadable for one in counts),
        "copies in dead letters of older builds": sealed.dead_letters,
        "about calls that are not in the log": sum(one.unknown for one in counts),
    }
    found = "; ".join(f"{count:,} {reason}" for reason, count in reasons.items() if count)
    return f"They are: {found}. `centralita dead-letters list` names dead letters, and `drop` or `retry` ends them."
