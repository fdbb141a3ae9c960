"""``centralita tail``: a campaign or a call, live."""

from contextlib import aclosing
from typing import Annotated

import typer
from rich.text import Text

from centralita.commands import exit_codes as ends
from centralita.commands import options
from centralita.commands.output import as_json, show
from centralita.operations.following import Follower
from centralita.replay.event_description import description
from centralita.replay.messages import Message
from centralita.replay.scope import call_of
from contracts import CallDecision, Event

app = typer.Typer()


@app.command("tail", epilog=ends.EPILOG)
def run_tail(
    campaign: options.Campaign = None,
    call: options.Call = None,
    past: Annotated[bool, typer.Option("--past", help="from the beginning of the log, then live")] = False,
    nats: options.NatsUrl = options.NATS_URL,
    numbers: options.Numbers = False,
    json: options.Json = False,
) -> None:
    """What happens, as it happens, until Ctrl-C; of one call until it has ended. --json: a JSON object a line."""

    async def work() -> None:
        async with options.connected(nats, stays=True) as client:
            await watch(Follower(client, campaign, call, past), numbers=numbers, json=json)

    ends.run(work())


async def watch(follower: Follower, *, numbers: bool, json: bool) -> Event | None:
    """Prints every fact; returns the last one, where there is a last."""
    last: Event | None = None
    async with aclosing(follower.events()) as facts:
        async for message, event in facts:
            last = event
            if json:
                as_json(_fields(message, event), numbers=numbers, lines=True)
            else:
                show(_line(message, event), numbers=numbers)
    return last


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
