"""``centralita why``: each decision about one call with its reason, through the REST API."""

from typing import Annotated
from uuid import UUID

import typer

from centralita.commands import exit_codes
from centralita.commands.options import Json
from centralita.commands.output import print_json, print_view
from centralita.commands.rest_access import ApiKey, ApiUrl, request
from centralita.operations.explained_call import decisions_table

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
    print_json(decisions) if json else print_view(decisions_table(decisions))
