"""``centralita doctor``: whether everything is there that a call needs, and what to do where it is not."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from nats.errors import Error as NatsError
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from centralita.commands import exit_codes as ends
from centralita.commands import options
from centralita.commands.output import as_json, show
from centralita.embedded.credentials import Credentials, without_credentials
from centralita.operations.doctor import bus, permissions, public, settings, vendors
from centralita.operations.doctor.checks import Finding, Result, failed
from contracts.permissions import OPERATOR

app = typer.Typer()
_STYLES = {Result.OK: "green", Result.WARNING: "yellow", Result.FAILED: "red", Result.SKIPPED: "dim"}


@app.command("doctor", epilog=ends.EPILOG)
def run_doctor(
    env_file: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="settings, as in .env")] = None,
    nats: options.NatsUrl = options.NATS_URL,
    json: options.Json = False,
) -> None:
    """Checks settings, credentials, NATS, its permissions, clock and streams, and the public address. 1: one fails.

    Asks the vendors only what costs nothing. Run it in the environment of the services. What NATS permits a user is
    asked as that user, if NATS_PASSWORD_… is in the settings.
    """
    found = ends.run(examine(nats, env_file))
    as_json(found) if json else show(_table(found))
    if any(finding.result is Result.FAILED for finding in found):
        raise typer.Exit(ends.NO)


async def examine(nats_url: str, env_file: Path | None = None) -> list[Finding]:
    """Every check, in the order in which its failures are best mended."""
    env_file = env_file or settings.run_settings_file(nats_url)
    told, findings = settings.read(env_file)
    findings += await vendors.check(told)
    findings += await _bus(nats_url, settings.passwords(nats_url, env_file), settings.replicas(env_file))
    return findings + await public.check(told)


async def _bus(url: str, passwords: dict[str, str], replicas: int) -> list[Finding]:
    """Permissions first: they explain why something else may not be asked. As the operator, if `url` names nobody."""
    found: list[Finding] = []
    if "@" not in url and OPERATOR in passwords:
        url = Credentials(passwords).url(url, OPERATOR)
    try:
        async with options.connected(url) as client:
            found += await permissions.check(bus.AREA, without_credentials(url), passwords)
            found += await bus.check(client, replicas)
    except (NatsError, OSError) as error:
        advice = "is a nats-server running there, and does NATS_URL hold its user and password?"
        found.append(failed(bus.AREA, "connection", f"no answer ({type(error).__name__})", advice))
    return found


def _table(found: list[Finding]) -> RenderableType:
    table = Table("", "check", "found", box=None)
    for one in found:
        says = Text(one.found).append(f"\n→ {one.advice}" if one.advice else "", style="bold")
        table.add_row(Text(one.result, style=_STYLES[one.result]), f"{one.area}: {one.check}", says)
    counts = Counter(one.result for one in found)
    return Group(table, Text(", ".join(f"{n} {result}" for result, n in counts.items())))
