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
from centralita.demo.views import COLOURS
from centralita.operations.explained_call import decisions_table, reason_of
from contracts import CallStatus

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ExplainedCall:
    """One call as the REST API lists it, and the decisions about it, oldest first."""

    call: Document
    decisions: list[Document]

    @property
    def contact_id(self) -> str:
        """The contact of the call."""
        return str(self.call["contact_id"])

    @property
    def reason(self) -> str:
        """The newest decision that has a reason."""
        return next(filter(None, (reason_of(decision) for decision in reversed(self.decisions))), "")


def progress(now: datetime, calls: Mapping[str, Document], step: str) -> RenderableType:
    """Shows the simulated time, the present step and how many calls have each status."""
    totals = Counter(CallStatus(call["status"]) for call in calls.values())
    line = Text("  ").join(Text(f"{status} {n}", style=COLOURS[status]) for status, n in sorted(totals.items()))
    return Group(Text(f"{now.astimezone(EASTERN):%A %H:%M} in New York: {step}", style="bold"), line)


def outcomes(campaign_id: str, explained: Iterable[ExplainedCall]) -> RenderableType:
    """Shows what became of each contact of a campaign, what that shows, and why."""
    table = Table(title=f"Outcomes of {campaign_id}", title_justify="left", min_width=100)
    for column in ("contact", "status", "dials", "dialled", "shows", "why"):
        table.add_column(column)
    for one in explained:
        status = CallStatus(one.call["status"])
        shown = Text(status, style=COLOURS[status])
        dialled = _time(one.call["dialed_at"])
        shows = EXPECTED[one.contact_id].shows
        table.add_row(one.contact_id, shown, str(one.call["attempts"]), dialled, shows, one.reason)
    return table


def explanation(one: ExplainedCall) -> RenderableType:
    """Shows each decision about a call, as `centralita why` does."""
    return Panel(
        decisions_table(one.decisions),
        title=f"centralita why {one.call['id']}  ({one.contact_id}: {EXPECTED[one.contact_id].shows})",
        title_align="left",
    )


def _time(text: str | None) -> str:
    return f"{datetime.fromisoformat(text).astimezone(EASTERN):%H:%M}" if text else ""
