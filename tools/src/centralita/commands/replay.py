"""``centralita replay``: exports, imports and verifies the log, rebuilds its projection, shows one call."""

import asyncio
import dataclasses
import tempfile
from collections.abc import Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from centralita.commands import exit_codes, options
from centralita.commands.connections import connected, mongo_errors, mongo_url_of_embedded_run
from centralita.commands.exit_codes import ExitCode
from centralita.commands.output import print_json, print_view, progress_bar
from centralita.commands.packages import require
from centralita.commands.records import opened_archive, read_messages_of_call
from centralita.embedded.credentials import is_embedded_run
from centralita.embedded.run_files import read_setting
from centralita.replay import views
from centralita.replay.archive_manifest import DamagedArchive
from centralita.replay.archived_log import WrongArchive
from centralita.replay.importing import ImportInterrupted, ImportRefused, import_file
from centralita.replay.manifest import DamagedExport
from centralita.replay.record import export
from centralita.replay.scope import Scope
from centralita.replay.undo_import import UndoRefused, undo_import
from contracts.accounts import ADMIN
from records.call_ids import parse_call_id
from records.story import UnknownCall, story_of

app = typer.Typer(
    help="The log: export, import, undo-import, verify, rebuild, show.", no_args_is_help=True, epilog=exit_codes.EPILOG
)
ExportFile = Annotated[Path, typer.Argument(help="the file to write, e.g. monday.jsonl.gz", show_default=False)]
ImportFile = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, help="an export, e.g. monday.jsonl.gz", show_default=False)
]
File = Annotated[
    Path | None,
    typer.Option("--file", exists=True, dir_okay=False, help="read an export instead of the running system"),
]
_EXPECTED_ERRORS = (
    DamagedExport,
    DamagedArchive,
    WrongArchive,
    ImportRefused,
    ImportInterrupted,
    UndoRefused,
    UnknownCall,
    OSError,
)


@app.command("export", epilog=exit_codes.EPILOG)
def run_export(
    file: ExportFile,
    campaign: options.Campaign = None,
    call: options.Call = None,
    since: options.Since = None,
    until: options.Until = None,
    archive: options.ArchiveFolder = None,
    nats: options.NatsUrl = options.NATS_URL,
    json: options.Json = False,
) -> None:
    """Writes the log, or a part of it, to a file. The file contains personal data: protect it like the log."""
    scope = Scope(campaign_id=campaign, call_id=call, since=options.in_utc(since), until=options.in_utc(until))

    async def work() -> None:
        async with connected(nats) as client:
            opened = await opened_archive(client, archive)
            with progress_bar("reading", hidden=json) as update:
                manifest = await export(client, file, scope, lambda done, total: update("reading", done, total), opened)
        print_json(manifest) if json else print_view(views.export_view(file, manifest))

    _run(work())


@app.command("import", epilog=exit_codes.EPILOG)
def run_import(
    file: ImportFile,
    speed: Annotated[float, typer.Option(min=0.001, help="speed; 1 is the recorded speed")] = 1.0,
    at_once: Annotated[bool, typer.Option("--at-once", help="publish as fast as the server stores")] = False,
    into_existing: Annotated[
        bool, typer.Option("--into-existing", help="also into streams that are not empty")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="also while services consume: THEY WILL ACT ON THE EVENTS")
    ] = False,
    nats: options.NatsUrl = options.NATS_URL,
    json: options.Json = False,
) -> None:
    """Publishes an export in another environment, in which no services may run: voice would dial.

    The import is all or nothing: if it is interrupted, it removes what it has published. It needs the NATS user admin
    of that environment: the operator may not publish events.
    """

    async def work() -> None:
        async with connected(nats, user=ADMIN, reconnects=True) as client:
            with progress_bar("importing", hidden=json) as update:
                try:
                    imported = await import_file(
                        client,
                        file,
                        speed=None if at_once else speed,
                        into_existing=into_existing,
                        force=force,
                        progress=update,
                    )
                except asyncio.CancelledError as error:
                    exit_codes.print_notes(error)
                    raise
        print_json(imported) if json else print_view(views.import_view(imported))

    _run(work())


@app.command("undo-import", epilog=exit_codes.EPILOG)
def run_undo_import(
    import_id: Annotated[str, typer.Argument(help="printed by the import", show_default=False)],
    nats: options.NatsUrl = options.NATS_URL,
    json: options.Json = False,
) -> None:
    """Removes exactly the messages of one import from CALLS and REQUESTS, whether it was completed or not.

    It needs the NATS user admin.
    """

    async def work() -> None:
        async with connected(nats, user=ADMIN) as client:
            removed = await undo_import(client, import_id)
        text = f"{removed} messages of the import {import_id} removed"
        print_json({"removed": removed}) if json else print_view(Text(text))

    _run(work())


@app.command("take-back", hidden=True, epilog=exit_codes.EPILOG)
def run_take_back(import_id: str, nats: options.NatsUrl = options.NATS_URL, json: options.Json = False) -> None:
    """The old name of ``undo-import``."""
    typer.echo("`replay take-back` is now `replay undo-import`; the old name will be removed", err=True)
    run_undo_import(import_id, nats, json)


@app.command("verify", epilog=exit_codes.EPILOG)
def run_verify(
    file: File = None,
    campaign: options.Campaign = None,
    call: options.Call = None,
    dial_within: Annotated[
        float, typer.Option(envvar="DIAL_WITHIN_MINUTES", min=0, help="minutes; the orchestrator's setting")
    ] = 1440,
    calling_rules: Annotated[
        Path | None,
        typer.Option(envvar="CALLING_RULES", exists=True, dir_okay=False, help="file; the orchestrator's setting"),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="count doubts as differences (killed services cause some)")
    ] = False,
    archive: options.ArchiveFolder = None,
    nats: options.NatsUrl = options.NATS_URL,
    numbers: options.Numbers = False,
    json: options.Json = False,
) -> None:
    """Decides every recorded input again with this version's rules.

    Exit code 1: a decision differs, or a request was lost.
    """
    require("call_orchestrator")
    from centralita.replay.decisions import read_calling_policy
    from centralita.replay.split_record import SplitRecord, split_export, split_streams
    from centralita.replay.verifying import verify

    if calling_rules is None and file is None and is_embedded_run(nats) and (own := read_setting("CALLING_RULES")):
        calling_rules = Path(own)
    try:
        calling_policy = read_calling_policy(calling_rules)
    except ValueError as error:
        exit_codes.fail(str(error), code=ExitCode.WRONG_USE)

    async def split(scope: Scope, folder: Path) -> SplitRecord:
        if file is not None:
            return await asyncio.to_thread(split_export, file, scope, folder)
        async with connected(nats) as client:
            return await split_streams(client, scope, await opened_archive(client, archive), folder)

    async def work() -> None:
        scope = Scope(campaign_id=campaign, call_id=call)
        with tempfile.TemporaryDirectory(prefix="centralita-verify-") as folder:
            record = await split(scope, Path(folder))
            with progress_bar("deciding again", hidden=json) as update:
                verification = await verify(
                    record,
                    dial_within=timedelta(minutes=dial_within),
                    calling_policy=calling_policy,
                    progress=lambda done, total: update("deciding again", done, total),
                )
        print_json(verification, numbers=numbers) if json else print_view(
            views.verification_view(verification), numbers=numbers
        )
        if verification.drifts or verification.lost_requests or (strict and verification.doubts):
            raise typer.Exit(ExitCode.NEGATIVE)

    _run(work())


@app.command("rebuild", epilog=exit_codes.EPILOG)
def run_rebuild(
    mongo: options.MongoUrl = None,
    database: options.Database = "centralita",
    check: Annotated[bool, typer.Option("--check", help="only compare; exit code 1: the documents differ")] = False,
    archive: options.ArchiveFolder = None,
    nats: options.NatsUrl = options.NATS_URL,
    json: options.Json = False,
) -> None:
    """Builds the documents in MongoDB from the log in separate collections, then replaces the live ones.

    An interrupted rebuild continues where it stopped.
    """
    require("campaign_stats")
    from centralita.replay.rebuilding import DifferentLog, rebuild

    async def work() -> None:
        mongo_url = mongo or mongo_url_of_embedded_run(nats)
        async with connected(nats) as client:
            opened = await opened_archive(client, archive)
            with progress_bar("rebuilding", hidden=json) as update, mongo_errors(mongo_url):
                try:
                    rebuilt = await rebuild(client, mongo_url, database, archive=opened, check=check, progress=update)
                except DifferentLog as error:
                    exit_codes.fail(str(error))
        fields = {"is_equal": rebuilt.is_equal, **dataclasses.asdict(rebuilt)}
        print_json(fields) if json else print_view(views.rebuild_view(rebuilt))
        if check and not rebuilt.is_equal:
            raise typer.Exit(ExitCode.NEGATIVE)

    _run(work())


@app.command("show", epilog=exit_codes.EPILOG)
def run_show(
    call: Annotated[str, typer.Argument(help="call id or request id", show_default=False)],
    at: Annotated[int | None, typer.Option(min=1, help="as it was after this sequence of CALLS")] = None,
    file: File = None,
    archive: options.ArchiveFolder = None,
    nats: options.NatsUrl = options.NATS_URL,
    numbers: options.Numbers = False,
    json: options.Json = False,
) -> None:
    """Shows one call as a timeline, with its state, deadline and conversation at that time.

    Texts are shown if MASTER_KEY is set; else, and without NATS (--file), they are hidden.
    """

    async def work() -> None:
        story = story_of(await read_messages_of_call(file, nats, archive, parse_call_id(call)), at)
        print_json(story, numbers=numbers) if json else print_view(views.story_view(story), numbers=numbers)

    _run(work())


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Runs the work; prints the errors of files, imports and calls in one line."""
    try:
        exit_codes.run(work)
    except _EXPECTED_ERRORS as error:
        exit_codes.fail(str(error))
