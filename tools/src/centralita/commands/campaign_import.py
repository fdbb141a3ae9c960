"""``centralita campaign import``: adds the contacts of a file to a campaign, through the REST API."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from centralita.commands import exit_codes
from centralita.commands.exit_codes import ExitCode
from centralita.commands.options import Json
from centralita.commands.output import print_json, print_view, progress_bar
from centralita.commands.rest_access import ApiKey, ApiUrl, request
from centralita.operations.rest_api import ContactFile

MEDIA_TYPES = {".csv": "text/csv", ".jsonl": "application/x-ndjson", ".ndjson": "application/x-ndjson"}
MAX_SHOWN = 20


def run_import(
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN", help="id of the campaign", show_default=False)],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="contacts: .csv, .jsonl or .ndjson", show_default=False)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="add nothing; show what would be added and when")] = False,
    refused: Annotated[
        Path | None, typer.Option("--refused", help="write the refused rows to this new CSV file", show_default=False)
    ] = None,
    from_line: Annotated[int, typer.Option(min=1, help="continue an interrupted import at this line")] = 1,
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Adds the contacts of a file to a campaign. The key needs the scope call.

    The columns are described in docs/campaigns.md. The same file again adds nothing. An interrupted import names the
    line to continue from. Correct the rows of --refused and import that file.
    """
    media_type = MEDIA_TYPES.get(file.suffix.lower())
    if media_type is None:
        exit_codes.fail(f"{file} has another format. Name it .csv, .jsonl or .ndjson.", code=ExitCode.WRONG_USE)
    if not file.is_file():
        exit_codes.fail(f"{file} cannot be read: no such file.", code=ExitCode.WRONG_USE)
    if refused and refused.exists():  # it may be the file itself
        exit_codes.fail(f"{refused} exists. Choose another name for --refused.", code=ExitCode.WRONG_USE)
    with progress_bar("kB sent", hidden=json) as update:
        sent = ContactFile(file, media_type, lambda done, total: update("kB sent", done // 1000, total // 1000))
        document = request(
            api_url,
            api_key,
            lambda api: api.import_contacts(campaign, sent, dry_run=dry_run, from_line=from_line, refused=refused),
        )
    print_json(document) if json else print_view(_view(document, refused))
    if document["refused"]:
        raise typer.Exit(ExitCode.NEGATIVE)


def _view(document: dict[str, Any], refused: Path | None) -> RenderableType:
    lines: list[RenderableType] = [Text(_summary(document), style="bold")]
    groups = Table("contacts", "first at", "country", "time zones", box=None, title_justify="left")
    for group in document.get("groups") or ():
        zones = ", ".join(group["zones"][:3]) + (", …" if len(group["zones"]) > 3 else "")
        groups.add_row(str(group["contacts"]), str(group["first_at"]), group["country"], zones)
    if groups.row_count and document["dry_run"]:
        lines.append(groups)
    rows = document.get("refused_rows") or []
    lines += [Text(f"line {row['line']}, {row['column']}: {row['reason']}") for row in rows[:MAX_SHOWN]]
    total = sum(document["refused"].values())
    if refused and total:
        lines.append(Text(f"{total} refused rows are in {refused}: correct them and import that file"))
    elif total > MAX_SHOWN:
        lines.append(Text(f"and {total - MAX_SHOWN} more: --refused FILE.csv writes all of them"))
    return Group(*lines)


def _summary(document: dict[str, Any]) -> str:
    """Returns the counts, such as ``812 callable (first at …), 150 not: 97 do_not_call, 41 unknown_zone``."""
    others = dict(sorted(document["refused"].items(), key=lambda item: -item[1]))
    if document["duplicates"]:
        others["duplicates"] = document["duplicates"]
    if document["dry_run"]:
        first = f" (first at {document['first_at']})" if document["first_at"] else ""
        counted = f"{document['added']} callable{first}"
    else:
        counted = f"{document['added']} contacts added"
    if not others:
        return f"{document['campaign_id']}: {counted}"
    reasons = ", ".join(f"{count} {reason}" for reason, count in others.items())
    return f"{document['campaign_id']}: {counted}, {sum(others.values())} not: {reasons}"
