"""``centralita why``: each decision about one call with its reason, through the REST API."""

from typing import Annotated
from uuid import UUID

import typer

from centralita.commands import exit_codes
from centralita.commands.exit_codes import ExitCode
from centralita.commands.options import Json
from centralita.commands.output import print_json, print_view
from centralita.commands.rest_access import ApiKey, ApiUrl, request
from centralita.operations.explained_call import decisions_table

app = typer.Typer()


@app.command("why", epilog=exit_codes.EPILOG)
def run_why(
    call: Annotated[UUID | None, typer.Argument(help="id of the call", show_default=False)] = None,
    contact: Annotated[str | None, typer.Option("--contact", help="a contact of --campaign")] = None,
    campaign: Annotated[str | None, typer.Option("--campaign", help="the campaign of --contact")] = None,
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Shows why a call was dialled, delayed or ended: each decision, its reason and the rule of the calling policy.

    Of a contact, it shows the decisions about its call, or why it was refused. The key needs the scope read.
    """
    if call and not (contact or campaign):
        decisions = request(api_url, api_key, lambda api: api.decisions(call))
    elif contact and campaign and not call:
        decisions = request(api_url, api_key, lambda api: api.decisions_on_contact(campaign, contact))
    else:
        exit_codes.fail("Give the id of a call, or --campaign and --contact.", code=ExitCode.WRONG_USE)
    print_json(decisions) if json else print_view(decisions_table(decisions))
