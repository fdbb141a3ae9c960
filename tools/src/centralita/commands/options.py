"""Options that several commands have, and the connection that they ask for."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer
from nats.aio.client import Client
from nats.errors import Error as NatsError

from centralita.embedded.credentials import is_embedded_run, with_credentials
from centralita.embedded.run_files import read_setting
from centralita.replay.scope import parse_call_id
from chassis.addresses import connection
from contracts.permissions import OPERATOR

NatsUrl = Annotated[str, typer.Option("--nats", envvar="NATS_URL", help="where NATS listens", show_envvar=True)]
MongoUrl = Annotated[
    str | None, typer.Option("--mongo", envvar="MONGO_URL", help="a replica set; that of `centralita up` here")
]
Json = Annotated[bool, typer.Option("--json", help="for scripts: JSON on standard output")]
Numbers = Annotated[bool, typer.Option("--show-numbers", help="phone numbers in full, not masked")]
Campaign = Annotated[str | None, typer.Option("--campaign", help="only this campaign")]
Call = Annotated[
    UUID | None, typer.Option("--call", parser=parse_call_id, metavar="CALL", help="only this call (id or request id)")
]
Since = Annotated[datetime | None, typer.Option("--since", help="from this instant on; UTC")]
Until = Annotated[datetime | None, typer.Option("--until", help="before this instant; UTC")]

NATS_URL = "nats://127.0.0.1:4222"


def mongo_beside(nats_url: str) -> str:
    """The MongoDB of the `centralita up` in this folder, if `nats_url` is that of its bus. Raises BadParameter."""
    if is_embedded_run(nats_url) and (found := read_setting("MONGO_URL")):
        return found
    raise typer.BadParameter("missing: give it, or MONGO_URL", param_hint="--mongo")


def instant(given: datetime | None) -> datetime | None:
    """What was given without a time zone is UTC."""
    return given.replace(tzinfo=UTC) if given and given.tzinfo is None else given


@asynccontextmanager
async def connected(url: str, *, stays: bool = False, user: str = OPERATOR) -> AsyncIterator[Client]:
    """A connection to NATS. `stays`: one that is made again when it is lost. Raises nats.errors.Error, OSError.

    Where the URL names nobody and is that of `centralita up` in this folder, the connection is made as `user`.
    """

    why: list[Exception] = []

    async def told(error: Exception) -> None:
        """A refusal is said: whoever waits would only learn that no answer came. The rest is raised there."""
        why.append(error)
        if "permissions violation" in str(error).lower():
            sys.stderr.write(f"{error}: is NATS_URL that of a user who may?\n")

    client = Client()
    try:
        # Two tries: to nats-py, none and fewer than none are any number.
        await client.connect(
            **connection(with_credentials(url, user)),
            connect_timeout=5,
            allow_reconnect=False,  # a refusal ends it; an address where nobody listens does not
            reconnect_time_wait=0,
            max_reconnect_attempts=1,
            error_cb=told,
        )
    except (NatsError, OSError) as error:
        await client.close()
        raise why[-1] if why else error from None
    client.options["allow_reconnect"] = stays
    client.options["max_reconnect_attempts"] = -1
    client.options["reconnect_time_wait"] = 1
    try:
        yield client
    finally:
        with suppress(OSError):  # the server has gone: what ended the work is what matters
            await client.close()
