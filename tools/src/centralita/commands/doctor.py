"""``centralita doctor``: checks everything that a call needs, and prints a remedy for each problem."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from nats.errors import Error as NatsError
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from centralita.commands import exit_codes, options
from centralita.commands.connections import connected
from centralita.commands.exit_codes import ExitCode
from centralita.commands.output import print_json, print_view
from centralita.embedded.credentials import Credentials, without_credentials
from centralita.operations.doctor import accounts, bus, limits, permissions, public, settings, vendors
from chassis.account_checks import LOAD_ACCOUNTS, find_missing_accounts
from chassis.bus_checks import AREA as NATS
from chassis.findings import Finding, Result, failed, skipped
from chassis.provision import Settings as Provisioning
from contracts.permissions import OPERATOR

app = typer.Typer()
_STYLES = {Result.OK: "green", Result.WARNING: "yellow", Result.FAILED: "red", Result.SKIPPED: "dim"}


@app.command("doctor", epilog=exit_codes.EPILOG)
def run_doctor(
    env_file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="a file with settings, such as .env")
    ] = None,
    nats: options.NatsUrl = options.NATS_URL,
    json: options.Json = False,
) -> None:
    """Checks settings, vendor credentials, the public address, and NATS: accounts, permissions, streams and clock.

    Run it with the environment of the services. It sends vendors only requests that are free of charge. It compares
    the accounts on each node of NATS, and the permissions of each user whose NATS_PASSWORD_... is among the settings.
    Exit code 1: a check failed.
    """
    findings = exit_codes.run(examine(nats, env_file))
    print_json(findings) if json else print_view(_table(findings))
    if any(finding.result is Result.FAILED for finding in findings):
        raise typer.Exit(ExitCode.NEGATIVE)


async def examine(nats_url: str, env_file: Path | None = None) -> list[Finding]:
    """Runs all checks, in the order in which failures are best corrected."""
    env_file = env_file or settings.run_settings_file(nats_url)
    known, findings = settings.read(env_file)
    findings += limits.check(known)
    findings += await vendors.check(known)
    wanted = settings.provisioning(env_file)
    findings += await _check_nats(nats_url, settings.passwords(nats_url, env_file), wanted)
    return findings + await public.check(known)


async def _check_nats(url: str, passwords: dict[str, str], wanted: Provisioning) -> list[Finding]:
    """Checks accounts and permissions first: they explain later failures.

    Connects as the operator if `url` contains no user.
    """
    findings: list[Finding] = []
    if "@" not in url and OPERATOR in passwords:
        url = Credentials(passwords).url(url, OPERATOR)
    try:
        async with connected(url) as client:
            if missing := await find_missing_accounts(client):
                others = skipped(NATS, "permissions, streams, consumers and services", "they need the accounts")
                return [failed(NATS, "accounts", missing, LOAD_ACCOUNTS), others]
            findings += await accounts.check(NATS, client)
            findings += await permissions.check(NATS, without_credentials(url), passwords)
            findings += await bus.check(client, wanted.nats_replicas, wanted.max_bytes)
    except (NatsError, OSError) as error:
        advice = "start nats-server there, and put its user and password into NATS_URL"
        findings.append(failed(NATS, "connection", str(error) or type(error).__name__, advice))
    return findings


def _table(findings: list[Finding]) -> RenderableType:
    table = Table("", "check", "result", box=None)
    for finding in findings:
        text = Text(finding.found).append(f"\n→ {finding.advice}" if finding.advice else "", style="bold")
        table.add_row(Text(finding.result, style=_STYLES[finding.result]), f"{finding.area}: {finding.check}", text)
    counts = Counter(finding.result for finding in findings)
    return Group(table, Text(", ".join(f"{count} {result}" for result, count in counts.items())))
