"""``centralita why``: each decision about one call with its reason, through the REST API."""

from typing import Annotated, Any
from uuid import UUID

import typer

from centralita.commands import exit_codes
from centralita.commands.exit_codes import ExitCode
from centralita.commands.options import Json
from centralita.commands.output import print_json, print_view
from centralita.commands.rest_access import ApiKey, ApiUrl, request
from centralita.operations.explained_call import decisions_table
from centralita.operations.rest_api import RestApi

app = typer.Typer()


@app.command("why", epilog=exit_codes.EPILOG)
def run_why(
    call: Annotated[UUID | None, typer.Argument(help="id of the call", show_default=False)] = None,
    contact: Annotated[str | None, typer.Option("--contact", help="a contact of --campaign")] = None,
    campaign: Annotated[str | None, typer.Option("--campaign", help="the campaign of the call")] = None,
    provider_call_id: Annotated[
        str | None, typer.Option("--provider-call-id", help="the telephone provider's id of an attempt, such as CA…")
    ] = None,
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Shows why a call was dialled, delayed or ended: each decision, its reason and the rule of the calling policy.

    Of a contact, it shows the decisions about its call, or why it was refused. The telephone provider's id of an
    attempt finds its call, whose id is shown, too. The key needs the scope read.
    """
    if provider_call_id and not (call or contact):
        decisions = request(api_url, api_key, lambda api: _decisions_on_attempt(api, provider_call_id, campaign))
    elif call and not (contact or campaign or provider_call_id):
        decisions = request(api_url, api_key, lambda api: api.decisions(call))
    elif contact and campaign and not (call or provider_call_id):
        decisions = request(api_url, api_key, lambda api: api.decisions_on_contact(campaign, contact))
    else:
        ways = "Give the id of a call, or --campaign and --contact, or --provider-call-id"
        exit_codes.fail(f"{ways} (with --campaign for a key of certain campaigns).", code=ExitCode.WRONG_USE)
    print_json(decisions) if json else print_view(decisions_table(decisions))


async def _decisions_on_attempt(api: RestApi, provider_call_id: str, campaign: str | None) -> list[dict[str, Any]]:
    """Returns the decisions about the call of an attempt, each with the id of the call."""
    call_id = await api.find_attempt(provider_call_id, campaign)
    return [{"call_id": str(call_id), **one} for one in await api.decisions(call_id)]
