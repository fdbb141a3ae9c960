"""The progress and the results of the demo as Rich renderables."""

from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from centralita.demo.documents import Document
from centralita.demo.fallbacks import MODEL, SPEECH, FallbackUsage
from centralita.demo.reconciliation import Reconciliation
from chassis.event_log import StoredEvent
from contracts import AudioReady, Call, CallDecision, CallStatus, ConversationEnded, ReplyGenerated, SpeechHeard
from contracts.phrases import greeting_of

COLOURS = {
    CallStatus.PENDING: "dim",
    CallStatus.DIALING: "yellow",
    CallStatus.RINGING: "yellow",
    CallStatus.IN_PROGRESS: "cyan",
    CallStatus.COMPLETED: "green",
    CallStatus.VOICEMAIL: "magenta",
    CallStatus.BUSY: "red",
    CallStatus.NO_ANSWER: "red",
    CallStatus.FAILED: "red",
    CallStatus.CANCELED: "red",
    CallStatus.EXPIRED: "red",
}


def progress(calls: Mapping[UUID, Call | None], title: str | None = None) -> RenderableType:
    """Shows the status of each call, the totals, and a title below them."""
    cells = [_cell(number, call) for number, call in enumerate(calls.values())]
    totals = Counter(call.status if call else CallStatus.PENDING for call in calls.values())
    line = Text("  ").join(Text(f"{status} {n}", style=COLOURS[status]) for status, n in sorted(totals.items()))
    return Group(Columns(cells, equal=True, expand=False), line, *([Text(title, style="bold")] if title else []))


def _cell(number: int, call: Call | None) -> Text:
    if call is None:
        return Text(f"{number:02d} requested", style="dim")
    again = f" #{call.attempt}" if call.attempt > 1 else ""
    return Text(f"{number:02d} {call.status}{again}", style=COLOURS[call.status])


def statistics(document: Document) -> RenderableType:
    """Shows the counters of a campaign in MongoDB."""
    title = f"Campaign statistics, read back from MongoDB: {document.get('_id', 'none')}"
    table = Table(title=title, title_justify="left", min_width=44)
    table.add_column("counter")
    table.add_column("value", justify="right")
    for name, value in document.items():
        if isinstance(value, int | float):
            table.add_row(name.replace("_", " "), f"{value:g}")
    return table


def agreement(result: Reconciliation, messages: int) -> RenderableType:
    """Shows whether log, MongoDB and ledger agree. `messages`: the last sequence of the log."""
    if result.problems:
        return Panel(
            "\n".join(result.problems),
            title="The log, MongoDB and the simulator's ledger do not agree",
            border_style="red",
        )
    return Panel(
        f"{result.calls} calls, {result.attempts} attempts, {result.dials} dials in the simulator's ledger and "
        f"{result.refused} refused by it; no attempt was dialled more than "
        f"{result.max_dials_of_one_attempt} time(s). {messages} messages in the log.",
        title="The log, MongoDB and the simulator's ledger agree, call by call",
        title_align="left",
        border_style="green",
    )


def fallbacks(usage: FallbackUsage) -> RenderableType:
    """Shows how often each source of the fallback chains was used, and what the breakers did."""
    table = Table(title="Fallback chains, from the log; breakers, from the services' metrics", title_justify="left")
    for column in ("chain", "source", "what the callee heard"):
        table.add_column(column)
    table.add_column("times", justify="right")
    for name, chain in (("speech", SPEECH), ("model", MODEL)):
        for source, meaning in chain.items():
            count = usage.sources[source]
            table.add_row(name, source, meaning, str(count), style=None if count else "red")
        table.add_section()
    for provider, counts in usage.breakers.items():
        state = "closed" if counts.state == 0 else "not closed"
        table.add_row("breaker", provider, f"opened {counts.opened} times, closed {counts.closed} times", state)
    return table


def transcript(events: Sequence[StoredEvent]) -> RenderableType:
    """Shows the transcript of a call, from all its events."""
    table = Table.grid(padding=(0, 2))
    call = [stored.event.call for stored in events if isinstance(stored.event, CallDecision)][-1]
    for stored in events:
        at = stored.envelope.time.strftime("%H:%M:%S.%f")[:-4]
        match stored.event:
            case AudioReady(turn=0):
                greeting = greeting_of(call)
                table.add_row(at, "[cyan]agent[/cyan]", greeting)
            case SpeechHeard(text=text):
                table.add_row(at, "[green]callee[/green]", text or "(silence)")
            case ReplyGenerated(text=text):
                table.add_row(at, "[cyan]agent[/cyan]", text)
            case ConversationEnded() as ended:
                notes = "".join(f", {name}: {value}" for name, value in ended.fields.items())
                table.add_row(at, "[bold]ended[/bold]", f"{ended.disposition}{notes}")
            case _:
                pass
    title = f"Call {call.call_id} ({call.status}, {call.duration_seconds} s), from its log"
    return Panel(table, title=title, title_align="left")
