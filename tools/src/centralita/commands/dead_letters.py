"""``centralita dead-letters``: what a consumer gave up on, why, and sending it again."""

import json as encoding
from typing import Annotated, Any

import typer
from nats.aio.client import Client
from nats.js.errors import APIError
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from centralita.commands import exit_codes as ends
from centralita.commands import options
from centralita.commands.output import as_json, show
from centralita.operations.dead_letters import (
    CannotRetry,
    StoredDeadLetter,
    find_dead_letter,
    read_dead_letters,
    retry,
)
from contracts.permissions import ADMIN

app = typer.Typer(help="What consumers gave up on: list, show, retry.", no_args_is_help=True, epilog=ends.EPILOG)
Sequence = Annotated[int, typer.Argument(min=1, help="its number in the list", show_default=False)]
Sequences = Annotated[list[int] | None, typer.Argument(min=1, help="numbers in the list", show_default=False)]


@app.command("list", epilog=ends.EPILOG)
def run_list(nats: options.NatsUrl = options.NATS_URL, json: options.Json = False) -> None:
    """All of them, the oldest first, with the reason of each."""

    async def work() -> None:
        async with options.connected(nats) as client:
            found = [letter async for letter in read_dead_letters(client)]
        as_json([_summary(letter) for letter in found]) if json else show(_table(found))

    ends.run(work())


@app.command("show", epilog=ends.EPILOG)
def run_show(
    sequence: Sequence,
    nats: options.NatsUrl = options.NATS_URL,
    numbers: options.Numbers = False,
    json: options.Json = False,
) -> None:
    """One of them, whole."""

    async def work() -> None:
        async with options.connected(nats) as client:
            letter = await find_dead_letter(client, sequence)
        whole = {**_summary(letter), "headers": letter.dead_letter.headers, "body": _body(letter)}
        as_json(whole, numbers=numbers) if json else show(_whole(letter), numbers=numbers)

    _run_or_say(work())


@app.command("retry", epilog=ends.EPILOG)
def run_retry(
    sequence: Sequences = None,
    all_of_them: Annotated[bool, typer.Option("--all", help="every one of them")] = False,
    force: Annotated[bool, typer.Option("--force", help="also one whose decision is in the log already")] = False,
    nats: options.NatsUrl = options.NATS_URL,
    json: options.Json = False,
) -> None:
    """Publishes them again, each on its subject; a letter is deleted only when its message is stored. 1: some stay.

    NATS_URL must be that of the user admin: the operator's may publish no fact.
    """
    if bool(sequence) == all_of_them:
        ends.fail("give the numbers of letters, or --all", code=ends.WRONG_USE)

    async def work() -> None:
        async with options.connected(nats, user=ADMIN) as client:
            wanted = sequence or [letter.sequence async for letter in read_dead_letters(client)]
            results = [await _retried(client, one, force=force) for one in wanted]
        as_json(results) if json else show(Group(*(_result(one) for one in results)))
        if any(one["reason"] for one in results):
            raise typer.Exit(ends.NO)

    ends.run(work())


async def _retried(client: Client, sequence: int, *, force: bool) -> dict[str, Any]:
    try:
        stored = await retry(client, await find_dead_letter(client, sequence), force=force)
    except (CannotRetry, APIError) as error:
        return {"letter": sequence, "stored_at": None, "reason": str(error)}
    return {"letter": sequence, "stored_at": stored, "reason": None}


def _result(result: dict[str, Any]) -> RenderableType:
    if result["reason"]:
        return Text(f"{result['letter']}: stays: {result['reason']}", style="red")
    return Text(f"{result['letter']}: sent again, at {result['stored_at']}")


def _summary(letter: StoredDeadLetter) -> dict[str, Any]:
    dead = letter.dead_letter
    return {
        "letter": letter.sequence,
        "at": letter.at,
        "consumer": dead.consumer,
        "stream": dead.stream,
        "sequence": dead.sequence,
        "subject": dead.subject,
        "deliveries": dead.deliveries,
        "reasons": dead.reasons,
    }


def _table(found: list[StoredDeadLetter]) -> RenderableType:
    if not found:
        return Text("There are none.")
    table = Table("letter", "at", "consumer", "subject", "reasons", box=None)
    for one in found:
        dead = one.dead_letter
        reasons = Text("\n".join(dead.reasons))
        table.add_row(str(one.sequence), f"{one.at:%Y-%m-%d %H:%M:%S}", dead.consumer, dead.subject, reasons)
    return table


def _whole(letter: StoredDeadLetter) -> RenderableType:
    dead = letter.dead_letter
    place = f"{dead.subject}, {dead.stream} {dead.sequence}, tried {dead.deliveries} times by {dead.consumer}"
    headers = [Text(f"{name}: {value}", style="dim") for name, value in dead.headers.items()]
    body = _body(letter)
    text = body if isinstance(body, str) else encoding.dumps(body, ensure_ascii=False, indent=2)
    reasons = [Text(reason, style="red") for reason in dead.reasons]
    return Group(Text(place, style="bold"), *reasons, *headers, Text(text))


def _body(letter: StoredDeadLetter) -> Any:
    try:
        return encoding.loads(letter.message.body)
    except ValueError:
        return letter.message.body.decode(errors="replace")


def _run_or_say(work: Any) -> None:
    try:
        ends.run(work)
    except CannotRetry as error:
        ends.fail(str(error))
