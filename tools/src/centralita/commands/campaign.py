"""``centralita campaign``: acts on one campaign (ADR 17) and retries its calls, with an API key."""

from json import JSONDecodeError, loads
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from centralita.commands import exit_codes
from centralita.commands.campaign_import import run_import
from centralita.commands.exit_codes import ExitCode
from centralita.commands.master_keys import EnvFile, read_tool_secret
from centralita.commands.options import NATS_URL, Json, NatsUrl
from centralita.commands.output import print_json, print_view
from centralita.commands.rest_access import ApiKey, ApiUrl, request
from centralita.operations.rest_api import RestApi
from centralita.operations.rest_failures import RequestFailed
from contracts import CallStatus, CampaignStatus, CampaignTerms, RequestedTerms
from contracts.queries import MAX_PAGE
from sealing import SigningKey

app = typer.Typer(
    help="One campaign, through the REST API: create, change, import, start, show, pause, resume, finish, retry. "
    "Also the key of its tools: tool-key.",
    no_args_is_help=True,
    epilog=exit_codes.EPILOG,
)
CampaignId = Annotated[str, typer.Argument(metavar="CAMPAIGN", help="id of the campaign", show_default=False)]
File = Annotated[
    Path,
    typer.Option("--file", help='JSON: {"campaign_id": "spring", "max_concurrent_calls": 5, …}', show_default=False),
]


app.command("import", epilog=exit_codes.EPILOG)(run_import)


@app.command("show", epilog=exit_codes.EPILOG)
def run_show(campaign: CampaignId, api_url: ApiUrl = None, api_key: ApiKey = None, json: Json = False) -> None:
    """Shows the status of a campaign, and how its calls ended. The key needs the scope read."""
    document = request(api_url, api_key, lambda api: api.campaign(campaign))
    print_json(document) if json else print_view(_view(document))


@app.command("tool-key", epilog=exit_codes.EPILOG)
def run_tool_key(campaign: CampaignId, env_file: EnvFile = None, nats: NatsUrl = NATS_URL) -> None:
    """Prints the key by which the receivers of a campaign's tools check signatures (docs/tools.md).

    It is derived from TOOL_SIGNING_KEY, in the environment or by --env-file. With it, one can imitate the tool calls
    of this campaign, and of no other.
    """
    secret = read_tool_secret(nats, env_file)
    if secret is None:
        remedy = "give that of conversation in the environment or by --env-file"
        exit_codes.fail(f"TOOL_SIGNING_KEY: is not set; {remedy}", code=ExitCode.WRONG_USE)
    typer.echo(SigningKey.of(secret, campaign).text)


@app.command("create", epilog=exit_codes.EPILOG)
def run_create(file: File, api_url: ApiUrl = None, api_key: ApiKey = None, json: Json = False) -> None:
    """Creates a campaign as a draft: none of its calls begins before `start`. The key needs the scope call."""
    campaign_id, terms = _read_campaign(file)
    document = request(api_url, api_key, lambda api: api.create({"campaign_id": campaign_id, **terms}))
    _print_result(document, campaign_id, is_decided=document.get("terms") is not None, json=json)


@app.command("change", epilog=exit_codes.EPILOG)
def run_change(
    file: File,
    version: Annotated[
        int | None, typer.Option(min=0, help="version that `show` printed: no newer terms are replaced (ADR 63)")
    ] = None,
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Replaces the terms of a campaign by those of the file. The key needs the scope call."""
    campaign_id, terms = _read_campaign(file)
    document = request(api_url, api_key, lambda api: _change(api, campaign_id, terms, version))
    after = CampaignTerms.model_validate(document.get("terms") or {})
    is_decided = after == RequestedTerms.model_validate(terms).stored()
    _print_result(document, campaign_id, is_decided=is_decided, json=json)


async def _change(api: RestApi, campaign: str, terms: dict[str, Any], version: int | None) -> dict[str, Any]:
    """Changes the terms. Raises RequestFailed, with the remedy if the campaign has another version."""
    try:
        return await api.change(campaign, terms, version)
    except RequestFailed as error:
        if error.status != httpx.codes.CONFLICT or "version" not in error.fields:
            raise
        raise RequestFailed(
            f"{campaign} has changed since version {version}, and nothing was replaced. Compare its terms with "
            f"the file by `centralita campaign show {campaign}`. Then give the version that it prints as --version.",
            error.status,
        ) from None


@app.command("start", epilog=exit_codes.EPILOG)
def run_start(campaign: CampaignId, api_url: ApiUrl = None, api_key: ApiKey = None, json: Json = False) -> None:
    """Starts a campaign: its calls begin, within its period. The key needs the scope call."""
    document = request(api_url, api_key, lambda api: api.start(campaign))
    _print_result(document, campaign, is_decided=document.get("started_at") is not None, json=json)


@app.command("finish", epilog=exit_codes.EPILOG)
def run_finish(campaign: CampaignId, api_url: ApiUrl = None, api_key: ApiKey = None, json: Json = False) -> None:
    """Finishes a campaign for good: calls in progress continue, and no further call begins.

    Its waiting calls expire, and requests for it are refused. The key needs the scope call.
    """
    document = request(api_url, api_key, lambda api: api.finish(campaign))
    _print_result(document, campaign, is_decided=document.get("finished_at") is not None, json=json)


@app.command("pause", epilog=exit_codes.EPILOG)
def run_pause(
    campaign: CampaignId,
    reason: Annotated[str | None, typer.Option(help="why; it is shown with the campaign and in the audit log")] = None,
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Pauses a campaign: no further call of it begins; calls in progress continue. The key needs the scope call."""
    document = request(api_url, api_key, lambda api: api.pause(campaign, reason))
    _print_result(document, campaign, is_decided=document.get("paused") is True, json=json)


@app.command("resume", epilog=exit_codes.EPILOG)
def run_resume(campaign: CampaignId, api_url: ApiUrl = None, api_key: ApiKey = None, json: Json = False) -> None:
    """Resumes a paused campaign. The key needs the scope call."""
    document = request(api_url, api_key, lambda api: api.resume(campaign))
    _print_result(document, campaign, is_decided=document.get("paused") is False, json=json)


@app.command("retry", epilog=exit_codes.EPILOG)
def run_retry(
    campaign: CampaignId,
    statuses: Annotated[
        list[CallStatus],
        typer.Option("--status", help="retry calls with this status; may be repeated", show_default=False),
    ],
    page: Annotated[int, typer.Option(min=1, max=MAX_PAGE, help="calls for each request to the REST API")] = 100,
    cursor: Annotated[str | None, typer.Option(help="continue an interrupted retry at this cursor")] = None,
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Dials the calls with these statuses again, within their max_retries. The key needs the scope call.

    Statuses: expired, failed, busy, no_answer, voicemail. Calls that are refused have been dialled max_retries times,
    or no longer have the status.
    """
    names = list(dict.fromkeys(status.value for status in statuses))
    totals = request(api_url, api_key, lambda api: _retry_pages(api, campaign, names, page, cursor))
    print_json(totals) if json else print_view(Text(f"{campaign}: {_counts(totals)}"))
    if totals["undecided"]:
        exit_codes.fail("Some retries are stored, but not decided yet.", code=ExitCode.UNREACHABLE)
    if totals["refused"]:
        raise typer.Exit(ExitCode.NEGATIVE)


async def _retry_pages(
    api: RestApi, campaign: str, statuses: list[str], limit: int, cursor: str | None
) -> dict[str, Any]:
    """Retries page after page, and prints the totals so far to standard error. Raises RequestFailed."""
    totals: dict[str, Any] = {"campaign_id": campaign, "requested": 0, "refused": 0, "undecided": 0}
    while True:
        try:
            document = await api.retry(campaign, statuses, limit=limit, cursor=cursor)
        except RequestFailed as error:
            again = f" Continue with --cursor {cursor}." if cursor else ""
            raise RequestFailed(f"{error}{again}", error.status) from None
        for name in ("requested", "refused", "undecided"):
            totals[name] += int(document.get(name) or 0)
        cursor = document.get("next")
        if cursor is None:
            return totals
        exit_codes.errors.print(f"{_counts(totals)} so far", markup=False)


def _counts(totals: dict[str, Any]) -> str:
    counts = f"{totals['requested']} calls are dialled again, {totals['refused']} refused"
    return f"{counts}, {totals['undecided']} undecided" if totals["undecided"] else counts


def _read_campaign(file: Path) -> tuple[str, dict[str, Any]]:
    """Returns the id and the terms in a file. The REST API validates the terms."""
    try:
        campaign = loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        exit_codes.fail(f"{file} cannot be read: {error.strerror}.", code=ExitCode.WRONG_USE)
    except UnicodeDecodeError:
        exit_codes.fail(f"{file} is not UTF-8. Save it as UTF-8.", code=ExitCode.WRONG_USE)
    except JSONDecodeError as error:
        exit_codes.fail(
            f"{file} is not JSON: {error.msg}, line {error.lineno}, column {error.colno}.", code=ExitCode.WRONG_USE
        )
    campaign_id = campaign.pop("campaign_id", None) if isinstance(campaign, dict) else None
    if not isinstance(campaign_id, str):
        exit_codes.fail(f'{file} names no campaign. Write {{"campaign_id": "…", …}}.', code=ExitCode.WRONG_USE)
    return campaign_id, campaign


def _print_result(document: dict[str, Any], campaign: str, *, is_decided: bool, json: bool) -> None:
    if json:
        print_json(document)
    if not is_decided:
        exit_codes.fail(
            f"The request is stored, but not decided yet. Look again with `centralita campaign show {campaign}`.",
            code=ExitCode.UNREACHABLE,
        )
    if not json:
        print_view(Text(_state(document)))


def _state(document: dict[str, Any]) -> str:
    status = document.get("status")
    state = "not paused" if status == CampaignStatus.UNDECLARED else status
    reason = f" ({document['reason']})" if document.get("reason") else ""
    return f"{document.get('campaign_id')} is {state}{reason}"


def _view(document: dict[str, Any]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    if version := document.get("version"):
        table.add_row("version", str(version))
    for name, value in (document.get("terms") or {}).items():
        if value is not None:
            table.add_row(name.replace("_", " "), Text(_in_words(value)))
    for name, value in (document.get("calls") or {}).items():
        if isinstance(value, int | float):
            table.add_row(name.replace("_", " "), f"{value:g}")
    return Group(Text(_state(document), style="bold"), table)


def _in_words(value: object) -> str:
    """Returns a term as text: a list or an object by its parts, ``none`` if it is empty."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        parts = {name: part for name, part in value.items() if part is not None}
        separator = "; " if any(isinstance(part, dict) for part in parts.values()) else ", "
        return separator.join(f"{name}: {_in_words(part)}" for name, part in parts.items()) or "none"
    if isinstance(value, list):
        separator = "; " if any(isinstance(part, dict) for part in value) else ", "
        return separator.join(_in_words(part) for part in value) or "none"
    return str(value)
