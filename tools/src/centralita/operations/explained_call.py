"""Why a call was dialled, delayed or ended: the decisions of the REST API as a table."""

from datetime import datetime
from typing import Any

from rich.table import Table

from records.decisions import name_of, reason_of


def decisions_table(decisions: list[dict[str, Any]]) -> Table:
    """Returns the decisions, oldest first, each with its reason and the rule of the calling policy.

    Decisions that name their call have it as the title.
    """
    call_id = decisions[0].get("call_id") if decisions else None
    table = Table(title=f"call {call_id}" if call_id else None)
    table.add_column("time (UTC)", no_wrap=True)
    table.add_column("decision", no_wrap=True)
    table.add_column("attempt", justify="right")
    table.add_column("why")
    for one in decisions:
        table.add_row(_instant(one.get("time")), name_of(one), str(one.get("attempt", "")), _why(one))
    return table


def _why(decision: dict[str, Any]) -> str:
    due_at = _instant(decision.get("due_at"))
    return "; ".join(filter(None, (reason_of(decision), f"not before {due_at}" if due_at else "")))


def _instant(text: object) -> str:
    return f"{datetime.fromisoformat(str(text)):%Y-%m-%d %H:%M:%S}" if text else ""
