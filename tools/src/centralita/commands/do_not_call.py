"""``centralita do-not-call``: the lists of numbers that must not be called, through the REST API."""

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO, TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.text import Text

from centralita.commands import exit_codes
from centralita.commands.exit_codes import ExitCode
from centralita.commands.options import Json
from centralita.commands.output import print_json, print_view, progress_bar
from centralita.commands.rest_access import ApiKey, ApiUrl, request
from centralita.embedded.run_files import create_private_file
from centralita.operations.rest_api import RestApi

PART_RECORDS = 500
"""Records of a file in one request."""
PART_CHARACTERS = 250_000
"""Characters of the records of one request, unless one record has more. A request has at most 1 MB."""
COLUMNS = ("phone_number", "campaign_id", "list_name", "listed_at", "source")

app = typer.Typer(
    help="Numbers that must not be called, through the REST API: add, remove, check, import, export.",
    no_args_is_help=True,
    epilog=exit_codes.EPILOG,
)
Number = Annotated[str, typer.Argument(help="in E.164, such as +12125550123", show_default=False)]
Campaign = Annotated[str | None, typer.Option("--campaign", help="only this campaign; default: all campaigns")]
ListName = Annotated[
    str | None, typer.Option("--list", help="the list with this name, which applies to the campaigns that name it")
]


@app.command("add", epilog=exit_codes.EPILOG)
def run_add(
    number: Number,
    campaign: Campaign = None,
    list_name: ListName = None,
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Lists a number: no call to it begins from now on. The key needs the scope call."""
    _print(request(api_url, api_key, lambda api: api.list_number(number, campaign, list_name)), json=json)


@app.command("remove", epilog=exit_codes.EPILOG)
def run_remove(
    number: Number,
    campaign: Campaign = None,
    list_name: ListName = None,
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Removes the entry of all campaigns, of one, or of a named list. The key needs the scopes read and call."""

    async def remove(api: RestApi) -> dict[str, Any]:
        return await api.unlist_number((await api.check_number(number, campaign, list_name))["id"], campaign, list_name)

    _print(request(api_url, api_key, remove), json=json)


@app.command("check", epilog=exit_codes.EPILOG)
def run_check(
    number: Number,
    campaign: Campaign = None,
    list_name: ListName = None,
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Shows the entries of a number; exit code 1: it is listed. The key needs the scope read."""
    found = request(api_url, api_key, lambda api: api.check_number(number, campaign, list_name))
    _print(found, json=json)
    if found["entries"]:
        raise typer.Exit(ExitCode.NEGATIVE)


@app.command("import", epilog=exit_codes.EPILOG)
def run_import(
    file: Annotated[
        Path, typer.Argument(help="CSV with the columns phone_number, campaign_id, list_name", show_default=False)
    ],
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Lists the numbers of a CSV file. The key needs the scope call.

    A row with neither campaign_id nor list_name counts for all campaigns. Wrong rows are shown, and the others are
    added. The same file again changes nothing, so repeat an interrupted import.
    """
    total = _count_lines(file)

    async def send(api: RestApi) -> dict[str, Any]:
        totals: dict[str, Any] = {"added": 0, "already_listed": 0, "undecided": 0, "refused": 0, "refused_rows": []}
        with progress_bar("lines", hidden=json) as update:
            for part in _parts(file):
                result = await api.import_numbers(part.text)
                for name in ("added", "already_listed", "undecided", "refused"):
                    totals[name] += result[name]
                rows = ({**row, "line": row["line"] + part.skipped_lines} for row in result["refused_rows"])
                totals["refused_rows"] += rows
                update("lines", part.end_line, total)
        return totals

    totals = request(api_url, api_key, send)
    if json:
        print_json(totals)
    else:
        rows = [f"line {row['line']}: {row['reason']}" for row in totals["refused_rows"]]
        already = f", {totals['already_listed']} were listed already" if totals["already_listed"] else ""
        counts = f"{totals['added']} listed{already}, {totals['refused']} refused, {totals['undecided']} undecided"
        print_view(Text("\n".join([counts, *rows])))
    if totals["undecided"]:
        exit_codes.fail("Some rows are stored, but not decided yet.", code=ExitCode.UNREACHABLE)
    if totals["refused"]:
        raise typer.Exit(ExitCode.NEGATIVE)


@app.command("export", epilog=exit_codes.EPILOG)
def run_export(
    file: Annotated[Path, typer.Argument(help="a new CSV file, readable by its owner only", show_default=False)],
    campaign: Campaign = None,
    list_name: ListName = None,
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Writes the listed numbers to a CSV file, which `import` accepts. The key needs the scope read.

    Entries without a number are counted and left out: those of erased persons, and those that are not on the lists of
    the campaigns to which the key is limited.
    """

    async def write(api: RestApi) -> tuple[int, int]:
        count = hidden = 0
        with TextIOWrapper(create_private_file(file), encoding="utf-8", newline="") as target:
            rows = csv.writer(target, lineterminator="\n")
            rows.writerow(COLUMNS)
            async for number in api.listed_numbers(campaign, list_name):
                if number["phone_number"] is None:
                    hidden += len(number["entries"])
                    continue
                for entry in number["entries"]:
                    rows.writerow([number["phone_number"], *(entry[name] for name in COLUMNS[1:])])
                    count += 1
        return count, hidden

    try:
        count, hidden = request(api_url, api_key, write)
    except FileExistsError:
        exit_codes.fail(f"{file} exists. Choose another name.", code=ExitCode.WRONG_USE)
    except OSError as error:
        exit_codes.fail(f"{file} cannot be written: {error.strerror}.", code=ExitCode.WRONG_USE)
    sys.stderr.write(f"{count} entries are in {file}.\n")
    if hidden:
        sys.stderr.write(f"{hidden} entries are not: erased persons, or numbers that the key may not read.\n")


def _print(number: dict[str, Any], *, json: bool) -> None:
    if json:
        print_json(number)
        return
    entries = [f"{_scope(entry)} since {entry['listed_at']} ({entry['source']})" for entry in number["entries"]]
    print_view(Text("\n".join(entries) or "not listed"))


def _scope(entry: dict[str, Any]) -> str:
    if entry["list_name"]:
        return f"on the list {entry['list_name']}"
    return f"not called in {entry['campaign_id'] or 'any campaign'}"


def _count_lines(file: Path) -> int:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            return sum(1 for _ in lines)
    except OSError as error:
        exit_codes.fail(f"{file} cannot be read: {error.strerror}.", code=ExitCode.WRONG_USE)
    except UnicodeDecodeError:
        exit_codes.fail(f"{file} is not UTF-8. Save it as UTF-8.", code=ExitCode.WRONG_USE)


@dataclass(frozen=True, slots=True)
class _Part:
    """Records of a file below the names of its columns.

    `skipped_lines`: those of the file that are left out above the records; `end_line`: the last line of the records.
    """

    text: str
    skipped_lines: int
    end_line: int


def _parts(file: Path) -> Iterator[_Part]:
    """Yields parts of the file. A quoted cell with line breaks stays in one part, as `csv` reads it."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        records = _records(lines)
        header = next(records, "")
        end_line = header_lines = _lines_in(header)
        is_empty = True
        while True:
            part, characters = [], 0
            for record in records:
                part.append(record)
                characters += len(record)
                if len(part) >= PART_RECORDS or characters >= PART_CHARACTERS:
                    break
            if not part and not is_empty:
                return
            text, is_empty = "".join(part), False
            skipped_lines, end_line = end_line - header_lines, end_line + _lines_in(text)
            yield _Part(header + text, skipped_lines, end_line)


def _records(lines: TextIO) -> Iterator[str]:
    """Yields the text of each record. The end of one that cannot be read is where `csv` reads on."""
    read: list[str] = []

    def reading() -> Iterator[str]:
        for line in lines:
            read.append(line)
            yield line

    rows = csv.reader(reading())
    while True:
        try:
            next(rows)
        except StopIteration:
            return
        except csv.Error:
            pass  # the answer to the part names the row
        yield "".join(read)
        read.clear()


def _lines_in(text: str) -> int:
    """Returns the number of lines, as `csv` counts them."""
    return sum(1 for _ in StringIO(text, newline=""))
