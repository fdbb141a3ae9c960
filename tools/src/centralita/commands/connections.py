"""Connections of the commands to NATS and MongoDB, with errors that name the problem and the command to run."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from urllib.parse import urlsplit

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import NoStreamResponseError, NotFoundError
from pymongo.errors import NetworkTimeout, OperationFailure, PyMongoError

from centralita.commands.exit_codes import CommandFailed, ExitCode
from centralita.embedded.credentials import is_embedded_run, with_credentials, without_credentials
from centralita.embedded.run_files import read_setting
from chassis.addresses import connection
from contracts.accounts import ADMIN
from contracts.permissions import OPERATOR, OWN_PERMISSIONS, users

CONNECT_SECONDS = 10
_STREAM_NOT_FOUND = 10059
_MONGO_AUTHENTICATION = (13, 18)
"""MongoDB's error codes Unauthorized and AuthenticationFailed."""


@asynccontextmanager
async def connected(url: str, *, reconnects: bool = False, user: str = OPERATOR) -> AsyncIterator[Client]:
    """A connection to NATS; a lost one is restored if `reconnects`. Raises CommandFailed.

    A URL without a user that is the address of `centralita up` in this folder is used with the credentials of `user`.
    If that is `ADMIN`, another user is refused before anything is done: it may be permitted a part of the work.
    """
    reported: list[Exception] = []

    async def report(error: Exception) -> None:
        reported.append(error)

    client = await _connect(url, user, reported, report)
    client.options |= {"allow_reconnect": reconnects, "max_reconnect_attempts": -1, "reconnect_time_wait": 1}
    reported.clear()
    try:
        if user == ADMIN:
            await _refuse_others(client, url)
        yield client
    except NatsError as error:
        raise _failed(url, error, reported) from error
    finally:
        with suppress(OSError):  # the server is gone; the error that ended the work is the one to report
            await client.close()


async def _refuse_others(client: Client, url: str) -> None:
    """Raises CommandFailed if the connection is that of another user of the contracts."""
    answer = await client.request(OWN_PERMISSIONS, timeout=CONNECT_SECONDS)
    found = str(json.loads(answer.data)["data"]["user"])
    if found in {one.name for one in users()} - {ADMIN}:
        raise CommandFailed(
            f"NATS at {without_credentials(url)} does not permit this user: {found}. Give --nats with the user admin.",
            ExitCode.WRONG_USE,
        )


async def _connect(
    url: str, user: str, reported: list[Exception], report: Callable[[Exception], Awaitable[None]]
) -> Client:
    client = Client()
    try:
        # nats-py takes 0 and -1 as any number of attempts, so it makes at least two.
        await client.connect(
            **connection(with_credentials(url, user)),
            connect_timeout=CONNECT_SECONDS,
            allow_reconnect=False,  # nats-py still retries a refused connection, but not a wrong password
            reconnect_time_wait=0,
            max_reconnect_attempts=1,
            error_cb=report,
        )
    except (NatsError, OSError) as error:
        await client.close()
        raise _failed(url, error, reported) from error
    return client


def _failed(url: str, error: Exception, reported: list[Exception]) -> CommandFailed:
    """Returns the error with a sentence for the user. `reported`: earlier errors from the server."""
    address = without_credentials(url)
    texts = [str(one).lower() for one in (*reported, error)]
    if violation := next((text for text in texts if "permissions violation" in text), None):
        what = violation.partition("permissions violation for ")[2] or violation
        return CommandFailed(
            f"NATS at {address} does not permit this user: {what}. Give --nats with the user admin.",
            ExitCode.WRONG_USE,
        )
    if any("authorization violation" in text for text in texts):
        return CommandFailed(
            f"NATS at {address} refuses the user or password. Run the command in the folder of `centralita up`, "
            "or give --nats nats://USER:PASSWORD@HOST:PORT.",
            ExitCode.WRONG_USE,
        )
    if isinstance(error, NoStreamResponseError) or getattr(error, "err_code", None) == _STREAM_NOT_FOUND:
        return CommandFailed(
            f"NATS at {address} does not have the streams of Centralita. Start the system with `centralita up`, "
            "or create them with `python -m chassis.provision`."
        )
    if any(isinstance(one, ConnectionResetError) for one in (*reported, error)):
        return CommandFailed(
            f"NATS at {address} closed the connection. Are user and password right? "
            "Give --nats nats://USER:PASSWORD@HOST:PORT."
        )
    if isinstance(error, NotFoundError):
        return CommandFailed(f"NATS at {address}: {error.description or error}.")
    return CommandFailed(f"NATS does not answer at {address}. Start it with `centralita up`, or give --nats.")


def mongo_url_of_embedded_run(nats_url: str) -> str:
    """Returns the URL of MongoDB of `centralita up` in this folder, if `nats_url` is its NATS. Raises CommandFailed."""
    if is_embedded_run(nats_url) and (url := read_setting("MONGO_URL")):
        return url
    raise CommandFailed(
        "The address of MongoDB is missing. Give --mongo or set MONGO_URL, or run the command in the folder of "
        "`centralita up`.",
        ExitCode.WRONG_USE,
    )


@contextmanager
def mongo_errors(url: str) -> Iterator[None]:
    """Raises CommandFailed for the errors of MongoDB in the block."""
    address = urlsplit(url).netloc.rpartition("@")[2]
    try:
        yield
    except OperationFailure as error:
        if error.code not in _MONGO_AUTHENTICATION:
            raise CommandFailed(f"MongoDB at {address}: {error.details or error.code}") from error
        raise CommandFailed(
            f"MongoDB at {address} refuses the user or password. Give --mongo mongodb://USER:PASSWORD@HOST:PORT.",
            ExitCode.WRONG_USE,
        ) from error
    except NetworkTimeout as error:
        raise CommandFailed(
            f"MongoDB at {address} accepted a command but did not answer in time. Run this command again when MongoDB "
            "is less busy."
        ) from error
    except PyMongoError as error:
        raise CommandFailed(
            f"MongoDB does not answer at {address} ({type(error).__name__}). Start it with `centralita up`, or give "
            "--mongo."
        ) from error
