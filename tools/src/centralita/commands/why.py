"""``centralita why``: each decision about one call with its reason, through the REST API."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.table import Table

from centralita.commands import exit_codes
from centralita.commands.options import Json
from centralita.commands.output import print_json, print_view
from centralita.commands.rest_access import ApiKey, ApiUrl, request

app = typer.Typer()


@app.command("why", epilog=exit_codes.EPILOG)
def run_why(
    call: Annotated[UUID, typer.Argument(help="id of the call", show_default=False)],
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Shows why a call was dialled, delayed or ended: each decision, its reason and the rule of the calling policy.

    The key needs the scope read.
    """
    decisions = request(api_url, api_key, lambda api: api.decisions(call))
    print_json(decisions) if json else print_view(_view(decisions))


def _view(decisions: list[dict[str, Any]]) -> Table:
    table = Table("time (UTC)", "decision", "status", "attempt", "due (UTC)", "why")
    for one in decisions:
        table.add_row(
            _instant(one.get("time")),
            str(one.get("type", "")).removeprefix("call.").rpartition(".")[0],
            str(one.get("status", "")),
            str(one.get("attempt", "")),
            _instant(one.get("due_at")),
            _why(one),
        )
    return table


def _why(decision: dict[str, Any]) -> str:
    permission = decision.get("permission") or {}
    rule = f"{permission['rule']}: {permission['detail']}" if permission else None
    return "; ".join(str(part) for part in (decision.get("reason"), rule) if part)


def _instant(text: object) -> str:
    return f"{datetime.fromisoformat(str(text)):%Y-%m-%d %H:%M:%S}" if text else ""
