"""``centralita tail``: prints events as they happen."""

from contextlib import aclosing
from typing import Annotated

import typer
from rich.text import Text

from centralita.commands import exit_codes, options
from centralita.commands.connections import connected
from centralita.commands.master_keys import keyring_of
from centralita.commands.output import print_json, print_view
from centralita.operations.following import Follower
from contracts import CallDecision, Event
from records.call_ids import call_of
from records.event_description import description
from records.messages import Message

app = typer.Typer()


@app.command("tail", epilog=exit_codes.EPILOG)
def run_tail(
    campaign: options.Campaign = None,
    call: options.Call = None,
    past: Annotated[bool, typer.Option("--past", help="begin with the first event of the log")] = False,
    nats: options.NatsUrl = options.NATS_URL,
    numbers: options.Numbers = False,
    json: options.Json = False,
) -> None:
    """Prints events as they happen: of one call until it has ended, otherwise until Ctrl-C.

    With --json, each line is one event. Texts are shown if MASTER_KEY is set; else they are hidden.
    """

    async def work() -> None:
        async with connected(nats, reconnects=True) as client:
            follower = Follower(client, campaign, call, past, keyring_of(client, nats))
            await print_events(follower, numbers=numbers, json=json)

    exit_codes.run(work())


async def print_events(follower: Follower, *, numbers: bool, json: bool) -> None:
    """Prints every event that `follower` yields."""
    async with aclosing(follower.events()) as events:
        async for message, event in events:
            if json:
                print_json(_fields(message, event), numbers=numbers, lines=True)
            else:
                print_view(_line(message, event), numbers=numbers)


def _fields(message: Message, event: Event) -> dict[str, object]:
    return {
        "sequence": message.sequence,
        "at": message.time,
        "call_id": call_of(message),
        "fact": event.event_name,
        "event": event,
    }


def _line(message: Message, event: Event) -> Text:
    style = "bold" if isinstance(event, CallDecision) else "dim"
    line = Text.assemble((f"{message.time:%H:%M:%S.%f}"[:-3], "dim"), f"  {(call_of(message) or '')[:8]}  ")
    return line.append(f"{event.event_name:<26}", style=style).append(description(event))
