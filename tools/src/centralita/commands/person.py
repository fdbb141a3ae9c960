"""``centralita forget`` and ``centralita person``: erase a person, or show everything that is stored about one."""

from typing import Annotated, Any

import typer
from rich.text import Text

from centralita.commands import exit_codes
from centralita.commands.exit_codes import ExitCode
from centralita.commands.options import Json
from centralita.commands.output import print_json, print_view
from centralita.commands.rest_access import ApiKey, ApiUrl, request

app = typer.Typer()

Number = Annotated[str | None, typer.Option("--number", help="in E.164, such as +12125550123")]
Contact = Annotated[str | None, typer.Option("--contact", help="contact id of one of the person's calls or contacts")]
Campaign = Annotated[str | None, typer.Option("--campaign", help="the campaign of the contact; default: any")]


@app.command("forget", epilog=exit_codes.EPILOG)
def run_forget(
    number: Number = None,
    contact: Contact = None,
    campaign: Campaign = None,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Erases a person for good: calls are canceled, waiting contacts removed, and the key of the data is destroyed.

    While a call is hung up, the command is stored, but not finished: exit code 3. The audit log then gets the
    certificate. The key needs the scope admin.
    """
    named = _named(number, contact, campaign)
    if not yes:
        typer.confirm("What is stored about this person can never be read again. Erase it?", abort=True)
    erasure = request(api_url, api_key, lambda api: api.erase_person(named))
    certificate = erasure["certificate"]
    if json:
        print_json(erasure, numbers=True)  # it has none, and digits of the digest may look like one
    elif certificate:
        print_view(Text(_described(certificate)))
    if not certificate:
        exit_codes.fail("The command is stored, but not finished yet. Repeat it to see.", code=ExitCode.UNREACHABLE)


@app.command("person", epilog=exit_codes.EPILOG)
def run_person(
    number: Number = None,
    contact: Contact = None,
    campaign: Campaign = None,
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Prints everything that is stored about a person as JSON: calls, what was said, waiting contacts, entries, acts.

    Numbers are not masked. The key needs the scope admin, and the audit log records the reading.
    """
    named = _named(number, contact, campaign)
    print_json(request(api_url, api_key, lambda api: api.export_person(named)), numbers=True)


def _named(number: str | None, contact: str | None, campaign: str | None) -> dict[str, Any]:
    if (number is None) == (contact is None):
        exit_codes.fail("Give --number or --contact.", code=ExitCode.WRONG_USE)
    named = {"phone_number": number, "contact_id": contact, "campaign_id": campaign}
    return {name: value for name, value in named.items() if value is not None}


def _described(certificate: dict[str, Any]) -> str:
    key = "The key was destroyed" if certificate["had_key"] else "Nothing was stored under a key"
    contacts, letters = certificate["contacts_removed"], certificate["dead_letters_removed"]
    return (
        f"{key} at {certificate['erased_at']}. "
        f"Waiting contacts removed: at least {contacts}. Dead letters removed: at least {letters}."
    )
