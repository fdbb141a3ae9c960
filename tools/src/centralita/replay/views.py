"""The results of the replay commands as Rich renderables."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from centralita.replay.importing import Imported
from centralita.replay.manifest import Manifest
from contracts.streams import CALLS, REQUESTS
from records.story import StateLine, Story
from records.transcript import ConversationLine, unheard_of

if TYPE_CHECKING:  # these two need the extra ``replay``
    from centralita.replay.lost_requests import Ranges
    from centralita.replay.rebuilding import Rebuilt
    from centralita.replay.verifying import Drift, Verification

_MAX_SHOWN = 20
_SPEAKERS = {
    "agent": "[cyan]agent[/cyan]",
    "callee": "[green]callee[/green]",
    "keys": "[green]keys[/green]",
    "transfer": "[green]transfer[/green]",
    "end": "[bold]ended[/bold]",
}


def export_view(file: Path, manifest: Manifest) -> RenderableType:
    """Shows the content of an export."""
    table = Table.grid(padding=(0, 2))
    for name, stream in manifest.streams.items():
        table.add_row(name, f"{stream.count} messages, sequences {stream.first} to {stream.last}")
    table.add_row("SHA-256", manifest.digest)
    return Panel(table, title=f"{file}: {manifest.count} messages", title_align="left", expand=False)


def import_view(imported: Imported) -> RenderableType:
    """Shows a complete import and the command that undoes it."""
    undo = f"`centralita replay undo-import {imported.import_id}` removes them again"
    return Text(f"{imported.manifest.count} messages imported; {undo}")


def verification_view(result: "Verification") -> RenderableType:
    """Shows the first drift with both versions, a list of the others, and the doubts."""
    counts = Text(
        f"{result.calls} calls: {result.decisions} decisions and {result.without_effect} inputs without a decision "
        f"compared, {result.unjudged} not judged"
    )
    doubts = [*_lost(result.lost_requests), *_doubts(result.doubts)]
    if not result.drifts:
        title, style = "Every decision equals the recorded one", "yellow" if doubts else "green"
        if result.lost_requests:
            title, style = "Every decision equals the recorded one, but requests were lost", "red"
        return Panel(Group(counts, *doubts), title=title, title_align="left", border_style=style)
    first, *others = result.drifts
    title = f"{len(result.drifts)} decisions would be different now"
    content = Group(_drift(first), *_list(others), *doubts, counts)
    return Panel(content, title=title, title_align="left", border_style="red")


def _lost(ranges: "Ranges") -> list[Text]:
    if not ranges:
        return []
    count = sum(last - first + 1 for first, last in ranges)
    shown = ", ".join(f"{first}" if first == last else f"{first} to {last}" for first, last in ranges[:_MAX_SHOWN])
    more = ", …" if len(ranges) > _MAX_SHOWN else ""
    text = f"{count} requests were lost: {REQUESTS.name} has no message {shown}{more}, and the log no event about it"
    return [Text(text, style="red")]


def _doubts(doubts: "tuple[Drift, ...]") -> list[Text]:
    if not doubts:
        return []
    head = f"{len(doubts)} inputs led to no decision and would now, unless they were handled late (a killed replica):"
    return [Text(head, style="yellow"), *_list(doubts)]


def _list(drifts: "Sequence[Drift]") -> list[Text]:
    lines = [Text(f"{one.stream} {one.sequence}  {one.call_id}  {one.reason}") for one in drifts[:_MAX_SHOWN]]
    return [*lines, Text(f"… and {len(drifts) - _MAX_SHOWN} more")] if len(drifts) > _MAX_SHOWN else lines


def _drift(drift: "Drift") -> RenderableType:
    head = Text(f"First: call {drift.call_id}, {drift.stream} {drift.sequence}: {drift.reason}", style="bold")
    lines = [
        Text(f"  {sign} {name}: {value}", style=style)
        for name, recorded, now in drift.differences
        for sign, value, style in (("-", recorded, "red"), ("+", now, "green"))
    ]
    return Group(head, *lines)


def rebuild_view(rebuilt: "Rebuilt") -> RenderableType:
    """Shows whether the live documents were equal to the log, and whether they were replaced."""
    lines = [f"{rebuilt.documents} documents built from the log up to {rebuilt.sequence}, digest {rebuilt.digest}."]
    if rebuilt.live_digest is None:
        lines.append("There were no live documents to compare them with.")
    elif rebuilt.is_equal:
        lines.append(f"The live documents, at {rebuilt.compared_sequence}, were equal.")
    else:
        lines.append(f"The live documents, at {rebuilt.compared_sequence}, differ: digest {rebuilt.live_digest}.")
        lines += [f"  {name}" for name in rebuilt.different[:_MAX_SHOWN]]
    if rebuilt.left_out:
        lines.append(f"{len(rebuilt.left_out)} events cannot be decoded or written to MongoDB and were left out:")
        left_out = [
            f"  {CALLS.name} {sequence}: {'; '.join(rebuilt.left_out[sequence])}" for sequence in rebuilt.left_out
        ]
        lines += left_out[:_MAX_SHOWN]
    lines.append("The live documents were replaced." if rebuilt.is_swapped else "Nothing was changed.")
    style = "green" if rebuilt.is_equal else "yellow"
    return Panel("\n".join(lines), title="MongoDB rebuilt from the log", border_style=style)


def story_view(story: Story) -> RenderableType:
    """Shows the timeline, the state of the call, and the conversation."""
    events = Table(box=None, padding=(0, 1))
    for column in ("sequence", "at", "event", ""):
        events.add_column(column, justify="right" if column == "sequence" else "left", no_wrap=column != "")
    for entry in story.timeline:
        sequence = str(entry.sequence) if entry.stream == CALLS.name else "request"
        events.add_row(sequence, f"{entry.at:%H:%M:%S.%f}"[:-3], entry.event, Text(entry.text))
    conversation = Table.grid(padding=(0, 2))
    for line in story.conversation:
        conversation.add_row(f"{line.at:%H:%M:%S}", _SPEAKERS[line.speaker], _words(line))
    parts = [events, _state(story.state), *([conversation] if story.conversation else [])]
    return Panel(Group(*parts), title=story.title, title_align="left")


def _words(line: ConversationLine) -> Text:
    """Returns what was said. Of a reply that was interrupted, what was not heard follows what was heard."""
    if line.heard is None:
        return Text(line.text or "(silence)")
    unheard = unheard_of(line.text, line.heard)
    return Text.assemble(line.heard, (f" (not heard: {unheard})" if unheard else "…", "dim"))


def _state(lines: Sequence[StateLine]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for number, line in enumerate(lines):
        table.add_row(Text(line.name, style="" if number else "bold"), Text(line.text))
    return Panel(table, title="state", title_align="left", expand=False)
