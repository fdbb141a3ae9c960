"""``centralita dead-letters``: lists messages that could not be processed, shows one, publishes them again."""

import json as encoding
from typing import Annotated, Any

import typer
from nats.aio.client import Client
from nats.js.errors import APIError
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from centralita.commands import exit_codes, options
from centralita.commands.connections import connected
from centralita.commands.exit_codes import ExitCode
from centralita.commands.output import print_json, print_view
from centralita.operations.dead_letters import (
    CannotRetry,
    StoredDeadLetter,
    find_dead_letter,
    read_dead_letters,
    retry,
)
from contracts.permissions import ADMIN

app = typer.Typer(
    help="Messages that could not be processed: list, show, retry.", no_args_is_help=True, epilog=exit_codes.EPILOG
)
Sequence = Annotated[int, typer.Argument(min=1, help="its number in the list", show_default=False)]
Sequences = Annotated[list[int] | None, typer.Argument(min=1, help="numbers in the list", show_default=False)]


@app.command("list", epilog=exit_codes.EPILOG)
def run_list(nats: options.NatsUrl = options.NATS_URL, json: options.Json = False) -> None:
    """Lists all dead letters with their reasons, the oldest first."""

    async def work() -> None:
        async with connected(nats) as client:
            found = [stored async for stored in read_dead_letters(client)]
        print_json([_summary(stored) for stored in found]) if json else print_view(_table(found))

    exit_codes.run(work())


@app.command("show", epilog=exit_codes.EPILOG)
def run_show(
    sequence: Sequence,
    nats: options.NatsUrl = options.NATS_URL,
    numbers: options.Numbers = False,
    json: options.Json = False,
) -> None:
    """Shows one dead letter with headers and body."""

    async def work() -> None:
        async with connected(nats) as client:
            stored = await find_dead_letter(client, sequence)
        if json:
            fields = {**_summary(stored), "headers": stored.dead_letter.headers, "body": _body(stored)}
            print_json(fields, numbers=numbers)
        else:
            print_view(_details(stored), numbers=numbers)

    try:
        exit_codes.run(work())
    except CannotRetry as error:
        exit_codes.fail(str(error))


@app.command("retry", epilog=exit_codes.EPILOG)
def run_retry(
    sequence: Sequences = None,
    all_of_them: Annotated[bool, typer.Option("--all", help="all dead letters")] = False,
    force: Annotated[bool, typer.Option("--force", help="also if the log already contains its decision")] = False,
    nats: options.NatsUrl = options.NATS_URL,
    json: options.Json = False,
) -> None:
    """Publishes messages again on their subjects, and deletes each dead letter when its message is stored.

    It needs the NATS user admin: the operator may not publish events. Exit code 1: some dead letters remain.
    """
    if bool(sequence) == all_of_them:
        exit_codes.fail("Give the numbers of dead letters, or --all.", code=ExitCode.WRONG_USE)

    async def work() -> None:
        async with connected(nats, user=ADMIN) as client:
            numbers = sequence or [one.sequence async for one in read_dead_letters(client)]
            results = [await _retried(client, number, force=force) for number in numbers]
        if json:
            print_json(results)
        else:
            print_view(Group(*map(_result, results)) if results else Text("There are no dead letters."))
        if any(result["reason"] for result in results):
            raise typer.Exit(ExitCode.NEGATIVE)

    exit_codes.run(work())


async def _retried(client: Client, sequence: int, *, force: bool) -> dict[str, Any]:
    try:
        stored = await retry(client, await find_dead_letter(client, sequence), force=force)
    except (CannotRetry, APIError) as error:
        return {"number": sequence, "stored_sequence": None, "reason": str(error)}
    return {"number": sequence, "stored_sequence": stored, "reason": None}


def _result(result: dict[str, Any]) -> RenderableType:
    if result["reason"]:
        return Text(f"{result['number']}: not retried: {result['reason']}", style="red")
    return Text(f"{result['number']}: published again with sequence {result['stored_sequence']}")


def _summary(stored: StoredDeadLetter) -> dict[str, Any]:
    dead = stored.dead_letter
    return {
        "number": stored.sequence,
        "at": stored.at,
        "consumer": dead.consumer,
        "stream": dead.stream,
        "sequence": dead.sequence,
        "subject": dead.subject,
        "deliveries": dead.deliveries,
        "reasons": dead.reasons,
    }


def _table(found: list[StoredDeadLetter]) -> RenderableType:
    if not found:
        return Text("There are no dead letters.")
    table = Table("number", "at", "consumer", "subject", "reasons", box=None)
    for stored in found:
        dead = stored.dead_letter
        reasons = Text("\n".join(dead.reasons))
        table.add_row(str(stored.sequence), f"{stored.at:%Y-%m-%d %H:%M:%S}", dead.consumer, dead.subject, reasons)
    return table


def _details(stored: StoredDeadLetter) -> RenderableType:
    dead = stored.dead_letter
    origin = f"{dead.subject}, {dead.stream} {dead.sequence}, delivered {dead.deliveries} times to {dead.consumer}"
    headers = [Text(f"{name}: {value}", style="dim") for name, value in dead.headers.items()]
    body = _body(stored)
    text = body if isinstance(body, str) else encoding.dumps(body, ensure_ascii=False, indent=2)
    reasons = [Text(reason, style="red") for reason in dead.reasons]
    return Group(Text(origin, style="bold"), *reasons, *headers, Text(text))


def _body(stored: StoredDeadLetter) -> Any:
    try:
        return encoding.loads(stored.message.body)
    except ValueError:
        return stored.message.body.decode(errors="replace")
