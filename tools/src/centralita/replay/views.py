"""What a person sees of a replay, as Rich renderables."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from centralita.replay.importing import Imported
from centralita.replay.manifest import Manifest
from centralita.replay.story import Story
from contracts import Call

if TYPE_CHECKING:  # these two need the extra ``replay``
    from centralita.replay.rebuilding import Rebuilt
    from centralita.replay.verifying import Drift, Verification

_SHOWN = 20
_VOICES = {"agent": "[cyan]agent[/cyan]", "callee": "[green]callee[/green]", "end": "[bold]ended[/bold]"}


def exported(file: Path, manifest: Manifest) -> RenderableType:
    """What an export holds."""
    table = Table.grid(padding=(0, 2))
    for stream, span in manifest.streams.items():
        table.add_row(stream, f"{span.count} messages, {span.first} to {span.last}")
    table.add_row("SHA-256", manifest.digest)
    return Panel(table, title=f"{file}: {manifest.count} messages", title_align="left", expand=False)


def imported(done: Imported) -> RenderableType:
    """That the target has all of it, and how to be rid of it again."""
    undo = f"`centralita replay take-back {done.import_id}` removes them again"
    return Text(f"{done.manifest.count} messages imported; {undo}")


def verified(found: "Verification") -> RenderableType:
    """Equal, or the first drift with both versions, and where the others are."""
    counts = (
        f"{found.calls} calls: {found.decisions} decisions and {found.without_effect} inputs without effect decided "
        f"again, {found.unjudged} not judged"
    )
    doubts = _doubts(found.doubts)
    if not found.drifts:
        title, style = "Every decision is what was recorded", "yellow" if doubts else "green"
        return Panel(Group(Text(counts), *doubts), title=title, title_align="left", border_style=style)
    first, *others = found.drifts
    parts = (_drift(first), *_listed(others), *doubts, Text(counts))
    title = f"{len(found.drifts)} decisions would be others now"
    return Panel(Group(*parts), title=title, title_align="left", border_style="red")


def _doubts(doubts: "tuple[Drift, ...]") -> list[Text]:
    if not doubts:
        return []
    head = f"{len(doubts)} inputs came to nothing and would not now, unless they were handled late (a killed replica):"
    return [Text(head, style="yellow"), *_listed(doubts)]


def _listed(drifts: "Sequence[Drift]") -> list[Text]:
    lines = [Text(f"{one.stream} {one.sequence}  {one.call_id}  {one.reason}") for one in drifts[:_SHOWN]]
    return [*lines, Text(f"… and {len(drifts) - _SHOWN} more")] if len(drifts) > _SHOWN else lines


def _drift(drift: "Drift") -> RenderableType:
    head = Text(f"The first: call {drift.call_id}, {drift.stream} {drift.sequence}: {drift.reason}", style="bold")
    lines = [
        Text(f"  {sign} {name}: {value}", style=style)
        for name, recorded, now in drift.differences
        for sign, value, style in (("-", recorded, "red"), ("+", now, "green"))
    ]
    return Group(head, *lines)


def rebuilt(done: "Rebuilt") -> RenderableType:
    """Whether the live documents were what the log says, and what stands there now."""
    lines = [f"{done.documents} documents from the log up to {done.sequence}, digest {done.digest}"]
    if done.live_digest is None:
        lines.append("There was nothing to compare them with.")
    elif done.equal:
        lines.append(f"The live ones, at {done.compared_at}, were equal.")
    else:
        lines.append(f"The live ones, at {done.compared_at}, were not: digest {done.live_digest}. Different:")
        lines += [f"  {name}" for name in done.different[:_SHOWN]]
    lines.append("They have taken the place of the live ones." if done.swapped else "Nothing was changed.")
    return Panel("\n".join(lines), title="MongoDB, from the log", border_style="green" if done.equal else "yellow")


def told(story: Story) -> RenderableType:
    """The timeline, then the call as it stood, then what had been said."""
    timeline = Table(box=None, padding=(0, 1))
    for column in ("sequence", "at", "fact", ""):
        timeline.add_column(column, justify="right" if column == "sequence" else "left", no_wrap=column != "")
    for one in story.moments:
        place = str(one.sequence) if one.stream == "CALLS" else "asked"
        timeline.add_row(place, f"{one.at:%H:%M:%S.%f}"[:-3], one.fact, Text(one.text))
    said = Table.grid(padding=(0, 2))
    for line in story.conversation:
        said.add_row(f"{line.at:%H:%M:%S}", _VOICES[line.who], escape(line.text) or "(silence)")
    title = f"Call {story.call.call_id} after {story.sequence}"
    parts = [timeline, _standing(story.call), *([said] if story.conversation else [])]
    return Panel(Group(*parts), title=title, title_align="left")


def _standing(call: Call) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    since, attempt = f"{call.status_changed_at:%Y-%m-%d %H:%M:%S} UTC", f"attempt {call.attempt}"
    table.add_row("[bold]status[/bold]", f"{call.status} since {since}, {attempt}")
    table.add_row("deadline", f"{call.deadline_at:%Y-%m-%d %H:%M:%S.%f} UTC" if call.deadline_at else "none")
    for name in ("reason", "disposition", "hangup_reason", "duration_seconds"):
        if (value := getattr(call, name)) is not None:
            table.add_row(name, escape(str(value)))
    table.add_row("request", escape(f"{call.request_id}, campaign {call.campaign_id}, contact {call.contact_id}"))
    table.add_row("number", call.phone_number)
    return Panel(table, title="as it stood then", title_align="left", expand=False)
