"""The progress and the outcomes of the two campaigns as Rich renderables."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from centralita.demo.campaign_plan import EASTERN, EXPECTED
from centralita.demo.text_search import TextSearch
from centralita.demo.views import COLOURS
from centralita.operations.explained_call import decisions_table
from contracts import CallStatus
from records.decisions import reason_of

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ExplainedCall:
    """A contact, its call as the REST API shows it (None: it was refused), and the decisions, oldest first."""

    contact_id: str
    campaign_id: str
    call: Document | None
    decisions: list[Document]

    @property
    def reason(self) -> str:
        """The newest reason of a decision, and how much of a message was left."""
        reason = next(filter(None, (reason_of(decision) for decision in reversed(self.decisions))), "")
        left = self.call and self.call["voicemail_delivery"]
        return f"{reason}; message left: {left}" if left else reason


def imported(result: Document) -> RenderableType:
    """Shows what became of the rows of a CSV file."""
    refused = [f"line {row['line']}, {row['column']}: {row['reason']}" for row in result["refused_rows"]]
    counts = f"{result['added']} added, {result['duplicates']} duplicates, {len(refused)} refused"
    return Text("\n  ".join([f"{result['campaign_id']}.csv: {counts}", *refused]))


def progress(now: datetime, calls: Mapping[str, Document], step: str) -> RenderableType:
    """Shows the simulated time, the present step and how many calls have each status."""
    totals = Counter(CallStatus(call["status"]) for call in calls.values())
    line = Text("  ").join(Text(f"{status} {n}", style=COLOURS[status]) for status, n in sorted(totals.items()))
    return Group(Text(f"{now.astimezone(EASTERN):%A %H:%M} in New York: {step}", style="bold"), line)


def outcomes(campaign_id: str, explained: Iterable[ExplainedCall]) -> RenderableType:
    """Shows what became of each contact of a campaign, what that shows, and why."""
    table = Table(title=f"Outcomes of {campaign_id}", title_justify="left")
    for column in ("contact", "status", "dials", "dialled", "shows", "why"):
        table.add_column(column)
    for one in explained:
        shows, call = EXPECTED[one.contact_id].shows, one.call
        if call is None:
            table.add_row(one.contact_id, Text("refused", style="red"), "0", "", shows, one.reason)
            continue
        status = Text(call["status"], style=COLOURS[CallStatus(call["status"])])
        table.add_row(one.contact_id, status, str(call["attempts"]), _time(call["dialed_at"]), shows, one.reason)
    return table


def explanation(one: ExplainedCall) -> RenderableType:
    """Shows each decision about a call, as `centralita why` does."""
    call_id = one.call["id"] if one.call else None
    title = f"centralita why {call_id}  ({one.contact_id}: {EXPECTED[one.contact_id].shows})"
    return Panel(decisions_table(one.decisions), title=title, title_align="left")


def erased(contact_id: str, certificate: Document, checks: Iterable[str]) -> RenderableType:
    """Shows what an erasure removed, and the checks whose results are equal afterwards."""
    removed = f"waiting contacts removed: {certificate['contacts_removed']}"
    equal = "\n  ".join(["statistics: unchanged", *(f"centralita replay {check}: equal" for check in checks)])
    return Text(f"centralita forget --contact {contact_id}: the key was destroyed, {removed}\n  {equal}")


def searched(contact_id: str, search: TextSearch) -> RenderableType:
    """Shows how many places of each kind were searched, and in how many a text was found."""
    title = f"Search for the number and the sentences of {contact_id}: {len(search.texts)} texts"
    table = Table(title=title, title_justify="left")
    for column in ("place", "searched", "found"):
        table.add_column(column, justify="left" if column == "place" else "right")
    for kind, count in search.searched.items():
        found = sum(place.startswith(f"{kind}:") for place in search.found)
        table.add_row(kind, str(count), Text(str(found), style="red" if found else "green"))
    return table


def _time(text: str | None) -> str:
    return f"{datetime.fromisoformat(text).astimezone(EASTERN):%H:%M}" if text else ""
