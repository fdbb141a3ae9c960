"""How the commands that use the REST API find its address and a key, and which exit code each failure has."""

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from centralita.commands import exit_codes
from centralita.commands.exit_codes import CommandFailed, ExitCode
from centralita.embedded.run_files import read_setting
from centralita.operations.rest_api import RestApi
from centralita.operations.rest_failures import RequestFailed

API_URL = "http://127.0.0.1:8000"

ApiUrl = Annotated[
    str | None,
    typer.Option("--api-url", envvar="API_URL", help=f"address of the REST API; default: `centralita up` or {API_URL}"),
]
ApiKey = Annotated[
    str | None,
    typer.Option("--api-key", envvar="API_KEY", help="API key; default: that of `centralita up` in this folder"),
]

T = TypeVar("T")

_EXIT_CODES = {
    401: ExitCode.WRONG_USE,
    403: ExitCode.WRONG_USE,
    422: ExitCode.WRONG_USE,
    429: ExitCode.UNREACHABLE,
    503: ExitCode.UNREACHABLE,
    None: ExitCode.UNREACHABLE,
}
"""By HTTP status; None: no answer. Every other status is a negative result."""


def request(api_url: str | None, api_key: str | None, request: Callable[[RestApi], Awaitable[T]]) -> T:
    """Returns the result of a request to the REST API; prints why it failed and exits."""

    async def work() -> T:
        url, key = _address_and_key(api_url, api_key)
        try:
            async with RestApi(url, key) as api:
                return await request(api)
        except RequestFailed as error:
            code = _EXIT_CODES.get(error.status, ExitCode.NEGATIVE)
            raise CommandFailed(str(error), code) from None

    return exit_codes.run(work())


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
