"""Why a call was dialled, delayed or ended: the decisions of the REST API as a table."""

from datetime import datetime
from typing import Any

from rich.table import Table


def decisions_table(decisions: list[dict[str, Any]]) -> Table:
    """Returns the decisions, oldest first, each with its reason and the rule of the calling policy."""
    table = Table()
    table.add_column("time (UTC)", no_wrap=True)
    table.add_column("decision", no_wrap=True)
    table.add_column("attempt", justify="right")
    table.add_column("why")
    for one in decisions:
        table.add_row(_instant(one.get("time")), _decision(one), str(one.get("attempt", "")), _why(one))
    return table


def reason_of(decision: dict[str, Any]) -> str:
    """Returns why a decision was made: its reason, and what the calling policy said, unless the reason repeats it."""
    reason, permission = str(decision.get("reason") or ""), decision.get("permission")
    if not permission or (reason and permission["detail"] in reason):
        return reason
    return "; ".join(filter(None, (reason, f"{permission['rule']}: {permission['detail']}")))


def _decision(decision: dict[str, Any]) -> str:
    """Returns the kind of decision; of a change of the status, the new one."""
    kind = str(decision.get("type", "")).removeprefix("call.").rpartition(".")[0]
    return str(decision.get("status", "")) if kind == "status_changed" else kind


def _why(decision: dict[str, Any]) -> str:
    due_at = _instant(decision.get("due_at"))
    return "; ".join(filter(None, (reason_of(decision), f"not before {due_at}" if due_at else "")))


def _instant(text: object) -> str:
    return f"{datetime.fromisoformat(str(text)):%Y-%m-%d %H:%M:%S}" if text else ""
