"""``centralita dead-letters``: lists messages that could not be processed, shows one, resends or drops them."""

import json as encoding
from typing import Annotated, Any

import typer
from nats.aio.client import Client
from nats.errors import BadSubjectError
from nats.js.errors import APIError
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from centralita.commands import exit_codes, options
from centralita.commands.connections import connected
from centralita.commands.exit_codes import ExitCode
from centralita.commands.master_keys import keyring_of
from centralita.commands.output import print_json, print_view
from chassis.dead_letter_acts import (
    CannotRetry,
    SealedMessage,
    UnknownDeadLetter,
    drop,
    find_dead_letter,
    message_of,
    missing,
    retry,
)
from chassis.dead_letters import StoredDeadLetter, read_dead_letters
from chassis.direct_get import StoredMessage
from chassis.keyring import Keyring
from contracts.accounts import ADMIN
from contracts.personal import json_and_sealed

app = typer.Typer(
    help="Messages that could not be processed: list, show, retry, drop.",
    no_args_is_help=True,
    epilog=exit_codes.EPILOG,
)
Sequence = Annotated[int, typer.Argument(min=1, help="its number in the list", show_default=False)]
Sequences = Annotated[list[int] | None, typer.Argument(min=1, help="numbers in the list", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="all dead letters")]


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
    """Shows one dead letter, with headers and body of its message.

    The copy of a request that was in clear is sealed: it is shown if MASTER_KEY is set. Exit code 1: the message no
    longer exists, or cannot be opened.
    """

    async def work() -> None:
        async with connected(nats) as client:
            stored = await find_dead_letter(client, sequence)
            reason, message = None, None
            try:
                message = await message_of(client, stored, keyring_of(client, nats))
            except SealedMessage as error:
                reason = str(error)
        if json:
            found = {"headers": message.headers, "body": _body(message)} if message else {"headers": None, "body": None}
            print_json({**_summary(stored), **found}, numbers=numbers)
        else:
            print_view(_details(stored, message), numbers=numbers)
        if message is None:
            exit_codes.fail(f"dead letter {sequence}: {reason}" if reason else missing(stored))

    try:
        exit_codes.run(work())
    except UnknownDeadLetter as error:
        exit_codes.fail(str(error))


@app.command("retry", epilog=exit_codes.EPILOG)
def run_retry(
    sequence: Sequences = None,
    all_of_them: All = False,
    force: Annotated[bool, typer.Option("--force", help="also if the log already contains its decision")] = False,
    nats: options.NatsUrl = options.NATS_URL,
    json: options.Json = False,
) -> None:
    """Publishes messages again on their subjects, and erases each dead letter when its message is stored.

    A request that is published again is erased from its former position. A sealed one needs MASTER_KEY.

    It needs the NATS user admin: the operator may not publish events. Exit code 1: some dead letters remain.
    """
    _require_selection(sequence, all_of_them)

    async def work() -> None:
        async with connected(nats, user=ADMIN) as client:
            keyring, selected = keyring_of(client, nats), await _selected(client, sequence)
            results = [await _retried(client, one, keyring, force=force) for one in selected]
        if json:
            print_json(results)
        else:
            print_view(Group(*map(_result, results)) if results else Text("There are no dead letters."))
        if any(result["reason"] for result in results):
            raise typer.Exit(ExitCode.NEGATIVE)

    exit_codes.run(work())


@app.command("drop", epilog=exit_codes.EPILOG)
def run_drop(
    sequence: Sequences = None,
    all_of_them: All = False,
    is_confirmed: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    nats: options.NatsUrl = options.NATS_URL,
    json: options.Json = False,
) -> None:
    """Erases dead letters without publishing their messages.

    Requests are erased, too. Events of the log stay in it, and so do requests that were decided.

    It needs the NATS user admin. Exit code 1: some numbers have no dead letter.
    """
    _require_selection(sequence, all_of_them)
    if not is_confirmed:
        names = "all dead letters" if all_of_them else f"dead letters {', '.join(map(str, sequence or ()))}"
        typer.confirm(f"Drop {names}? Their messages will never be processed.", abort=True, err=True)

    async def work() -> None:
        async with connected(nats, user=ADMIN) as client:
            results = [await _dropped(client, one) for one in await _selected(client, sequence)]
        if json:
            print_json(results)
        else:
            lines = [Text(f"{one['number']}: {one['reason'] or 'dropped'}") for one in results]
            print_view(Group(*lines) if lines else Text("There are no dead letters."))
        if any(result["reason"] for result in results):
            raise typer.Exit(ExitCode.NEGATIVE)

    exit_codes.run(work())


def _require_selection(sequences: list[int] | None, all_of_them: bool) -> None:
    if bool(sequences) == all_of_them:
        exit_codes.fail("Give the numbers of dead letters, or --all.", code=ExitCode.WRONG_USE)


async def _selected(client: Client, sequences: list[int] | None) -> list[int]:
    return sequences or [one.sequence async for one in read_dead_letters(client)]


async def _retried(client: Client, sequence: int, keyring: Keyring | None, *, force: bool) -> dict[str, Any]:
    """Returns the result for one dead letter. A message that the client refuses to send must not stop the others."""
    try:
        stored = await retry(client, await find_dead_letter(client, sequence), force=force, keyring=keyring)
    except (UnknownDeadLetter, CannotRetry, APIError, BadSubjectError, ValueError) as error:
        return {"number": sequence, "stored_sequence": None, "reason": str(error) or type(error).__name__}
    return {"number": sequence, "stored_sequence": stored, "reason": None}


async def _dropped(client: Client, sequence: int) -> dict[str, Any]:
    try:
        await drop(client, sequence)
    except (UnknownDeadLetter, APIError) as error:
        return {"number": sequence, "reason": str(error)}
    return {"number": sequence, "reason": None}


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


def _details(stored: StoredDeadLetter, message: StoredMessage | None) -> RenderableType:
    dead = stored.dead_letter
    origin = f"{dead.subject}, {dead.stream} {dead.sequence}, delivered {dead.deliveries} times to {dead.consumer}"
    reasons = [Text(reason, style="red") for reason in dead.reasons]
    if message is None:
        return Group(Text(origin, style="bold"), *reasons)
    headers = [Text(f"{name}: {value}", style="dim") for name, value in message.headers.items()]
    body = _body(message)
    text = body if isinstance(body, str) else encoding.dumps(body, ensure_ascii=False, indent=2)
    return Group(Text(origin, style="bold"), *reasons, *headers, Text(text))


def _body(message: StoredMessage) -> Any:
    """Returns the body as JSON, or as text if Python cannot read it as JSON and print it. Sealed bytes are left out."""
    text, _ = json_and_sealed(message.data)
    try:
        value = encoding.loads(text)
        encoding.dumps(value, ensure_ascii=False, indent=2).encode()
    except (ValueError, RecursionError):
        return text.decode(errors="replace")
    return value
