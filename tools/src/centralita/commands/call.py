"""``centralita call``: one request on the bus, as an upstream system sends it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
import uuid_utils
from nats.aio.client import Client
from nats.errors import TimeoutError as NoAnswer
from pydantic import ValidationError

from centralita.commands import exit_codes as ends
from centralita.commands import options
from centralita.commands.output import as_json, screen
from centralita.commands.tail import watch
from centralita.operations.following import Follower
from contracts import CallRequested, CommandOutcome, Envelope, call_id_of, reasons_of

ANSWER_SECONDS = 10.0
SCRIPT = "Hello, this is a call from Centralita.\n\nSay who you are, ask how they are, and say goodbye."

app = typer.Typer()
_Given = Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="may be given often")]


@app.command("call", epilog=ends.EPILOG)
def run_call(
    phone_number: Annotated[str, typer.Argument(help="E.164, such as +12125550123", show_default=False)],
    campaign: Annotated[str, typer.Option(help="its id")] = "by-hand",
    contact: Annotated[str, typer.Option(help="who it is, in your books")] = "by-hand",
    script: Annotated[str, typer.Option(help="first paragraph: the greeting, word for word")] = SCRIPT,
    script_file: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="it, from a file")] = None,
    variable: _Given = None,
    metadata: _Given = None,
    language: Annotated[str, typer.Option(help="es or en, with or without a region")] = "en",
    at: Annotated[datetime | None, typer.Option(help="not before this instant; UTC")] = None,
    retries: Annotated[int | None, typer.Option(help="dials after the first")] = None,
    retry_delay: Annotated[int | None, typer.Option(help="seconds between two dials")] = None,
    ring: Annotated[int | None, typer.Option(help="seconds that it may ring")] = None,
    request_id: Annotated[str | None, typer.Option(help="the same one again is the same call")] = None,
    follow: Annotated[bool, typer.Option("--watch", help="follow it until it has ended")] = False,
    nats: options.NatsUrl = options.NATS_URL,
    numbers: options.Numbers = False,
    json: options.Json = False,
) -> None:
    """Asks for one call and prints its id. 1: it was refused. 3: it is stored, but nobody has answered yet."""
    fields: dict[str, object] = {
        "request_id": request_id or str(uuid_utils.uuid7()),
        "campaign_id": campaign,
        "contact_id": contact,
        "phone_number": phone_number,
        "script_template": script_file.read_text() if script_file else script,
        "variables": _pairs(variable, "--variable"),
        "metadata": _pairs(metadata, "--metadata"),
        "language": language,
        "scheduled_at": options.instant(at),
        "max_retries": retries,
        "retry_delay_seconds": retry_delay,
        "call_timeout_seconds": ring,
    }
    ends.run(_place(nats, _checked(fields), follow=follow, numbers=numbers, json=json))


async def _place(nats: str, request: CallRequested, *, follow: bool, numbers: bool, json: bool) -> None:
    async with options.connected(nats) as client:
        try:
            outcome = await ask(client, request)
        except NoAnswer:
            named = call_id_of(request.request_id or "")
            ends.fail(f"{named}: stored; is a call-orchestrator running?", code=ends.UNREACHABLE)
        _show(outcome, json=json)
        if follow:
            await watch(Follower(client, call_id=outcome.call_id, past=True), numbers=numbers, json=json)


async def ask(client: Client, request: CallRequested) -> CommandOutcome:
    """Publishes a request with a `request_id`, waits until it is stored, and for the orchestrator's answer.

    Raises nats.errors.TimeoutError if there is none in time; the request stands in the stream all the same.
    """
    inbox = client.new_inbox()
    answers = await client.subscribe(inbox, max_msgs=1)
    envelope = Envelope.of(request, id=str(uuid_utils.uuid7()), source="centralita-cli", time=datetime.now(UTC))
    headers = {**envelope.headers(), "reply_to": inbox}
    await client.jetstream().publish(request.subject, request.model_dump_json().encode(), headers=headers)
    return CommandOutcome.model_validate_json((await answers.next_msg(timeout=ANSWER_SECONDS)).data)


def _checked(fields: dict[str, object]) -> CallRequested:
    try:
        return CallRequested.model_validate(fields)
    except ValidationError as error:
        ends.fail("\n".join(reasons_of(error)), code=ends.WRONG_USE)


def _pairs(given: list[str] | None, option: str) -> dict[str, str]:
    pairs = [one.partition("=") for one in given or []]
    if not all(name and sign for name, sign, _ in pairs):
        ends.fail(f"{option}: write it as NAME=VALUE", code=ends.WRONG_USE)
    return {name: value for name, _, value in pairs}


def _show(outcome: CommandOutcome, *, json: bool) -> None:
    if json:
        as_json(outcome, lines=True)
    elif outcome.accepted:
        screen.print(str(outcome.call_id), highlight=False)
    if not outcome.accepted:
        ends.fail("refused: " + "; ".join(outcome.reasons))
