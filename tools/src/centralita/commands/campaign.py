"""``centralita campaign``: acts on one campaign (ADR 17) and retries its calls, with an API key."""

from collections.abc import Awaitable, Callable
from json import JSONDecodeError, loads
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from centralita.commands import exit_codes
from centralita.commands.exit_codes import CommandFailed, ExitCode
from centralita.commands.options import Json
from centralita.commands.output import print_json, print_view
from centralita.embedded.run_files import read_setting
from centralita.operations.rest_api import RequestFailed, RestApi
from contracts import CallStatus, CampaignStatus, CampaignTerms, RequestedTerms
from contracts.queries import MAX_PAGE

API_URL = "http://127.0.0.1:8000"

app = typer.Typer(
    help="One campaign, through the REST API: create, change, start, show, pause, resume, finish, retry.",
    no_args_is_help=True,
    epilog=exit_codes.EPILOG,
)
CampaignId = Annotated[str, typer.Argument(metavar="CAMPAIGN", help="id of the campaign", show_default=False)]
File = Annotated[
    Path,
    typer.Option("--file", help='JSON: {"campaign_id": "spring", "max_concurrent_calls": 5, …}', show_default=False),
]
ApiUrl = Annotated[
    str | None,
    typer.Option("--api-url", envvar="API_URL", help=f"address of the REST API; default: `centralita up` or {API_URL}"),
]
ApiKey = Annotated[
    str | None,
    typer.Option("--api-key", envvar="API_KEY", help="API key; default: that of `centralita up` in this folder"),
]

_EXIT_CODES = {
    401: ExitCode.WRONG_USE,
    403: ExitCode.WRONG_USE,
    422: ExitCode.WRONG_USE,
    429: ExitCode.UNREACHABLE,
    503: ExitCode.UNREACHABLE,
    None: ExitCode.UNREACHABLE,
}
"""By HTTP status; None: no answer. Every other status is a negative result."""


@app.command("show", epilog=exit_codes.EPILOG)
def run_show(campaign: CampaignId, api_url: ApiUrl = None, api_key: ApiKey = None, json: Json = False) -> None:
    """Shows the status of a campaign, and how its calls ended. The key needs the scope read."""
    document = _request(api_url, api_key, lambda api: api.campaign(campaign))
    print_json(document) if json else print_view(_view(document))


@app.command("create", epilog=exit_codes.EPILOG)
def run_create(file: File, api_url: ApiUrl = None, api_key: ApiKey = None, json: Json = False) -> None:
    """Creates a campaign as a draft: none of its calls begins before `start`. The key needs the scope call."""
    campaign_id, terms = _read_campaign(file)
    document = _request(api_url, api_key, lambda api: api.create({"campaign_id": campaign_id, **terms}))
    _print_result(document, campaign_id, is_decided=document.get("terms") is not None, json=json)


@app.command("change", epilog=exit_codes.EPILOG)
def run_change(file: File, api_url: ApiUrl = None, api_key: ApiKey = None, json: Json = False) -> None:
    """Replaces the terms of a campaign by those of the file. The key needs the scope call."""
    campaign_id, terms = _read_campaign(file)
    document = _request(api_url, api_key, lambda api: api.change(campaign_id, terms))
    after = CampaignTerms.model_validate(document.get("terms") or {})
    is_decided = after == RequestedTerms.model_validate(terms).stored()
    _print_result(document, campaign_id, is_decided=is_decided, json=json)


@app.command("start", epilog=exit_codes.EPILOG)
def run_start(campaign: CampaignId, api_url: ApiUrl = None, api_key: ApiKey = None, json: Json = False) -> None:
    """Starts a campaign: its calls begin, within its period. The key needs the scope call."""
    document = _request(api_url, api_key, lambda api: api.start(campaign))
    _print_result(document, campaign, is_decided=document.get("started_at") is not None, json=json)


@app.command("finish", epilog=exit_codes.EPILOG)
def run_finish(campaign: CampaignId, api_url: ApiUrl = None, api_key: ApiKey = None, json: Json = False) -> None:
    """Finishes a campaign for good: calls in progress continue, and no further call begins.

    Its waiting calls expire, and requests for it are refused. The key needs the scope call.
    """
    document = _request(api_url, api_key, lambda api: api.finish(campaign))
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
    document = _request(api_url, api_key, lambda api: api.pause(campaign, reason))
    _print_result(document, campaign, is_decided=document.get("paused") is True, json=json)


@app.command("resume", epilog=exit_codes.EPILOG)
def run_resume(campaign: CampaignId, api_url: ApiUrl = None, api_key: ApiKey = None, json: Json = False) -> None:
    """Resumes a paused campaign. The key needs the scope call."""
    document = _request(api_url, api_key, lambda api: api.resume(campaign))
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
    totals = _request(api_url, api_key, lambda api: _retry_pages(api, campaign, names, page, cursor))
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


def _request(
    api_url: str | None, api_key: str | None, request: Callable[[RestApi], Awaitable[dict[str, Any]]]
) -> dict[str, Any]:
    async def work() -> dict[str, Any]:
        url, key = _address_and_key(api_url, api_key)
        try:
            async with RestApi(url, key) as api:
                return await request(api)
        except RequestFailed as error:
            code = _EXIT_CODES.get(error.status, ExitCode.NEGATIVE)
            raise CommandFailed(str(error), code) from None

    return exit_codes.run(work())


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


def _address_and_key(api_url: str | None, api_key: str | None) -> tuple[str, str]:
    """Returns both, completed from the files of `centralita up`. The key of that run is used for its address only."""
    own_url = read_setting("API_URL")
    url = api_url or own_url or API_URL
    if key := api_key or (_plain_key(read_setting("API_KEYS") or "") if url.rstrip("/") == own_url else None):
        return url, key
    raise CommandFailed(
        "The API key is missing. Set API_KEY or give --api-key, or run the command in the folder of `centralita up`.",
        ExitCode.WRONG_USE,
    )


def _plain_key(api_keys: str) -> str | None:
    """Returns the first key of the setting API_KEYS; an entry with a colon contains only the digest of a key."""
    entries = (entry.strip() for entry in api_keys.split(","))
    return next((entry for entry in entries if entry and ":" not in entry), None)


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
    for name, value in (document.get("terms") or {}).items():
        if value is not None:
            table.add_row(name.replace("_", " "), str(value))
    for name, value in (document.get("calls") or {}).items():
        if isinstance(value, int | float):
            table.add_row(name.replace("_", " "), f"{value:g}")
    return Group(Text(_state(document), style="bold"), table)
