"""``centralita archive``: moves ended calls from the streams to compressed files."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from nats.aio.client import Client
from rich.console import RenderableType
from rich.panel import Panel

from centralita.archiving.archiver import ArchiveBusy, Archived, archive_calls
from centralita.archiving.bounds import ForeignCheckpoint
from centralita.commands import exit_codes, options
from centralita.commands.connections import connected, mongo_errors, mongo_url_of_embedded_run
from centralita.commands.exit_codes import ExitCode
from centralita.commands.output import print_json, print_view, progress_bar
from centralita.commands.packages import require
from centralita.replay.archive_manifest import DamagedArchive
from centralita.replay.archived_log import WrongArchive
from chassis.bus_clock import NoServerTime, read_server_time, wall_clock
from contracts.accounts import ADMIN

MIN_RETENTION = timedelta(days=7)
"""A request id is known only while the log has its call; a repetition after that is a new call and dials again."""
_AGE = re.compile(r"(\d+)\s*d?")

app = typer.Typer()


@app.command("archive", epilog=exit_codes.EPILOG)
def run_archive(
    directory: Annotated[
        Path,
        typer.Option("--archive", envvar="ARCHIVE_DIR", file_okay=False, help="directory of the archive of this log"),
    ],
    ended_before: Annotated[
        datetime | None, typer.Option("--ended-before", help="calls that ended before this instant, in UTC")
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", envvar="LOG_RETENTION_DAYS", help="calls that ended so long ago, e.g. 90d"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only count; change nothing")] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="also calls of the last 7 days: A REPEATED REQUEST WOULD DIAL AGAIN"),
    ] = False,
    mongo: options.MongoUrl = None,
    database: options.Database = "centralita",
    nats: options.NatsUrl = options.NATS_URL,
    json: options.Json = False,
) -> None:
    """Moves calls that ended before an instant from the streams to compressed files.

    It may be interrupted at any moment and run again. The files contain personal data: protect and back them up like
    the log. `replay` reads them with --archive. It needs the NATS user admin, and MongoDB to learn what campaign-stats
    has applied.
    """
    require("campaign_stats")
    from centralita.replay.projection_database import projection_sequence

    async def work() -> None:
        mongo_url = mongo or mongo_url_of_embedded_run(nats)
        with mongo_errors(mongo_url):
            sequence = await projection_sequence(mongo_url, database)
        async with connected(nats, user=ADMIN, reconnects=True) as client:
            instant = _instant(ended_before, older_than, await _now(client), force=force)
            with progress_bar("archiving", hidden=json) as update:
                archived = await archive_calls(
                    client,
                    directory,
                    ended_before=instant,
                    projection_sequence=sequence,
                    dry_run=dry_run,
                    progress=update,
                )
        print_json(archived) if json else print_view(_view(archived, directory, dry_run=dry_run))

    try:
        exit_codes.run(work())
    except (ArchiveBusy, DamagedArchive, ForeignCheckpoint, WrongArchive, OSError) as error:
        exit_codes.fail(str(error))


async def _now(client: Client) -> datetime:
    try:
        return (await read_server_time(client)).server_at
    except NoServerTime:
        return wall_clock()


def _instant(ended_before: datetime | None, older_than: str | None, now: datetime, *, force: bool) -> datetime:
    """Returns the instant before which calls must have ended. Exits if it is missing or too recent."""
    if instant := options.in_utc(ended_before):
        chosen = instant.astimezone(UTC)
    elif older_than and (match := _AGE.fullmatch(older_than.strip())):
        chosen = now - timedelta(days=int(match[1]))
    elif older_than:
        exit_codes.fail(f"--older-than {older_than}: give a number of days, such as 90d.", code=ExitCode.WRONG_USE)
    else:
        exit_codes.fail(
            "Everything is kept: LOG_RETENTION_DAYS is not set. Give --older-than 90d or --ended-before 2026-10-01.",
            code=ExitCode.WRONG_USE,
        )
    if chosen > now - MIN_RETENTION and not force:
        exit_codes.fail(
            f"Calls of the last {MIN_RETENTION.days} days stay: a request id is known only while the log has its call, "
            "and a request that is repeated later would dial again. Give an earlier instant, or --force if no upstream "
            "system repeats requests.",
            code=ExitCode.WRONG_USE,
        )
    return min(chosen, now)


def _view(archived: Archived, directory: Path, *, dry_run: bool) -> RenderableType:
    verb = "would be moved" if dry_run else "moved"
    moved = ", ".join(f"{count} messages of {stream}" for stream, count in archived.moved.items())
    kept = ", ".join(f"{count} of {stream}" for stream, count in archived.kept.items())
    lines = [
        f"{archived.calls} calls that ended before {archived.ended_before:%Y-%m-%d %H:%M:%S} UTC {verb}: {moved}.",
        f"{kept} stay: of calls that are open or ended later, of campaigns, or needed by the services.",
    ]
    for stream, bound in archived.bounds.items():
        if bound.reason:
            lines.append(f"{stream} was read up to {bound.sequence} only: {bound.reason}.")
    if archived.files:
        lines.append(f"{archived.bytes / 1e6:.1f} MB in {len(archived.files)} files in {directory}.")
    title = "Dry run: nothing was changed" if dry_run else f"Archive {archived.archive_id}"
    return Panel("\n".join(lines), title=title, title_align="left", border_style="yellow" if dry_run else "green")
