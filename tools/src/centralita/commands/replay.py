"""``centralita replay``: the recorded log as a file, in another place, decided again, and as a call's story."""

import asyncio
import dataclasses
import importlib.util
from collections.abc import Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from centralita.commands import exit_codes as ends
from centralita.commands import options
from centralita.commands.output import as_json, bar, show
from centralita.replay import views
from centralita.replay.importing import ImportInterrupted, ImportRefused, import_file
from centralita.replay.manifest import DamagedExport
from centralita.replay.reading import Incomplete
from centralita.replay.record import Record, export, from_file, from_streams
from centralita.replay.scope import Scope, parse_call_id
from centralita.replay.timeline import UnknownCall, timeline
from centralita.replay.undo_import import undo_import
from contracts.permissions import ADMIN

app = typer.Typer(
    help="The log: export, import, undo-import, verify, rebuild, show.", no_args_is_help=True, epilog=ends.EPILOG
)
File = Annotated[Path, typer.Argument(help="an export, e.g. monday.jsonl.gz", show_default=False)]
RecordFile = Annotated[
    Path | None,
    typer.Option("--file", exists=True, dir_okay=False, help="an export, instead of the running system"),
]
_UNUSABLE = (DamagedExport, ImportRefused, ImportInterrupted, Incomplete, UnknownCall, OSError)


@app.command("export", epilog=ends.EPILOG)
def run_export(
    file: File,
    campaign: options.Campaign = None,
    call: options.Call = None,
    since: options.Since = None,
    until: options.Until = None,
    nats: options.NatsUrl = options.NATS_URL,
    json: options.Json = False,
) -> None:
    """Writes the log, or a part of it, to a file that holds personal data: keep it as you keep the log."""
    scope = Scope(campaign_id=campaign, call_id=call, since=options.instant(since), until=options.instant(until))

    async def work() -> None:
        async with options.connected(nats) as client:
            with bar("reading", hidden=json) as told:
                manifest = await export(client, file, scope, lambda done, of: told("reading", done, of))
        as_json(manifest) if json else show(views.export_view(file, manifest))

    _run(work())


@app.command("import", epilog=ends.EPILOG)
def run_import(
    file: File,
    speed: Annotated[float, typer.Option(min=0.001, help="how many times faster than it happened")] = 1.0,
    at_once: Annotated[bool, typer.Option("--at-once", help="as fast as the server takes it")] = False,
    into_existing: Annotated[bool, typer.Option("--into-existing", help="also if its streams hold messages")] = False,
    force: Annotated[bool, typer.Option("--force", help="also if services listen: THEY WILL ACT ON IT")] = False,
    nats: options.NatsUrl = options.NATS_URL,
    json: options.Json = False,
) -> None:
    """Publishes an export in another environment, whose call-orchestrator and voice must not run: voice would dial.

    All of it or nothing: broken off, it takes back what it has published. NATS_URL must be that of the user admin
    there: the operator's may publish no fact.
    """

    async def work() -> None:
        async with options.connected(nats, user=ADMIN, stays=True) as client:
            with bar("importing", hidden=json) as told:
                try:
                    done = await import_file(
                        client,
                        file,
                        speed=None if at_once else speed,
                        into_existing=into_existing,
                        force=force,
                        progress=told,
                    )
                except asyncio.CancelledError as stopped:
                    ends.note(stopped)
                    raise
        as_json(done) if json else show(views.import_view(done))

    _run(work())


@app.command("undo-import", epilog=ends.EPILOG)
def run_undo_import(
    import_id: Annotated[str, typer.Argument(help="as printed by the import", show_default=False)],
    nats: options.NatsUrl = options.NATS_URL,
    json: options.Json = False,
) -> None:
    """Removes exactly the messages of one import, complete or not, from CALLS and REQUESTS.

    NATS_URL must be that of the user admin in the target.
    """

    async def work() -> None:
        async with options.connected(nats, user=ADMIN) as client:
            removed = await undo_import(client, import_id)
        text = f"{removed} messages of the import {import_id} removed"
        as_json({"removed": removed}) if json else show(Text(text))

    _run(work())


@app.command("take-back", hidden=True, epilog=ends.EPILOG)
def run_take_back(import_id: str, nats: options.NatsUrl = options.NATS_URL, json: options.Json = False) -> None:
    """The old name of ``undo-import``."""
    typer.echo("`replay take-back` is now `replay undo-import`; the old name will be removed", err=True)
    run_undo_import(import_id, nats, json)


@app.command("verify", epilog=ends.EPILOG)
def run_verify(
    file: RecordFile = None,
    campaign: options.Campaign = None,
    call: options.Call = None,
    dial_within: Annotated[
        float, typer.Option(envvar="DIAL_WITHIN_MINUTES", min=0, help="minutes; as the orchestrator had it")
    ] = 1440,
    strict: Annotated[bool, typer.Option("--strict", help="doubts count too (a killed service makes some)")] = False,
    nats: options.NatsUrl = options.NATS_URL,
    numbers: options.Numbers = False,
    json: options.Json = False,
) -> None:
    """Decides every recorded input again, by the rules of this program. 1: a decision would be another one now."""
    _needs("call_orchestrator")
    from centralita.replay.verifying import verify

    async def work() -> None:
        record = await _record(file, nats, Scope(campaign_id=campaign, call_id=call))
        with bar("deciding again", hidden=json) as told:
            found = await verify(
                record,
                dial_within=timedelta(minutes=dial_within),
                progress=lambda done, of: told("deciding again", done, of),
            )
        as_json(found, numbers=numbers) if json else show(views.verification_view(found), numbers=numbers)
        if found.drifts or (strict and found.doubts):
            raise typer.Exit(ends.NO)

    _run(work())


@app.command("rebuild", epilog=ends.EPILOG)
def run_rebuild(
    mongo: options.MongoUrl = None,
    database: Annotated[str, typer.Option(envvar="MONGO_DATABASE", help="campaign-stats' database")] = "centralita",
    check: Annotated[bool, typer.Option("--check", help="only compare; 1: the live documents are different")] = False,
    nats: options.NatsUrl = options.NATS_URL,
    json: options.Json = False,
) -> None:
    """Builds MongoDB's documents anew from the log, beside the live ones, and puts them in their place.

    Broken off, it goes on where it was when it is run again.
    """
    _needs("campaign_stats")
    from centralita.replay.rebuilding import DifferentLog, rebuild

    documents = mongo or options.mongo_beside(nats)

    async def work() -> None:
        async with options.connected(nats) as client:
            with bar("rebuilding", hidden=json) as told:
                try:
                    done = await rebuild(client, documents, database, check=check, progress=told)
                except DifferentLog as error:
                    ends.fail(str(error))
        as_json({"is_equal": done.is_equal, **dataclasses.asdict(done)}) if json else show(views.rebuild_view(done))
        if check and not done.is_equal:
            raise typer.Exit(ends.NO)

    _run(work())


@app.command("show", epilog=ends.EPILOG)
def run_show(
    call: Annotated[str, typer.Argument(help="its id, or the request id that it is made from", show_default=False)],
    at: Annotated[int | None, typer.Option(min=1, help="as it stood after this sequence of CALLS")] = None,
    file: RecordFile = None,
    nats: options.NatsUrl = options.NATS_URL,
    numbers: options.Numbers = False,
    json: options.Json = False,
) -> None:
    """One call as a timeline, with its state, deadline and conversation as they stood then."""

    async def work() -> None:
        found = timeline(await _record(file, nats, Scope(call_id=parse_call_id(call))), at)
        as_json(found.as_json(), numbers=numbers) if json else show(views.timeline_view(found), numbers=numbers)

    _run(work())


async def _record(file: Path | None, nats: str, scope: Scope) -> Record:
    if file is not None:
        return await asyncio.to_thread(from_file, file, scope)
    async with options.connected(nats) as client:
        return await from_streams(client, scope)


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Runs it; what is wrong with a file, a target or a call is said in one line."""
    try:
        ends.run(work)
    except _UNUSABLE as error:
        ends.fail(str(error))


def _needs(package: str) -> None:
    """Deciding and projecting are the services' own: their packages are in the extra ``replay``."""
    if importlib.util.find_spec(package) is None:
        ends.fail(f"{package} is not installed: it is in the extra 'replay' of centralita", code=ends.WRONG_USE)
