"""Options that several commands have."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from records.call_ids import parse_call_id

NATS_URL = "nats://127.0.0.1:4222"

NatsUrl = Annotated[str, typer.Option("--nats", envvar="NATS_URL", help="address of NATS", show_envvar=True)]
MongoUrl = Annotated[
    str | None,
    typer.Option("--mongo", envvar="MONGO_URL", help="a MongoDB replica set; default: that of `centralita up` here"),
]
Database = Annotated[str, typer.Option(envvar="MONGO_DATABASE", help="database of campaign-stats")]
ArchiveFolder = Annotated[
    Path | None,
    typer.Option(
        "--archive",
        envvar="ARCHIVE_DIR",
        exists=True,
        file_okay=False,
        help="also read the archive in this directory (`centralita archive`)",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="print JSON, for scripts")]
Numbers = Annotated[bool, typer.Option("--show-numbers", help="print phone numbers in full instead of masked")]
Campaign = Annotated[str | None, typer.Option("--campaign", help="only this campaign")]
Call = Annotated[
    UUID | None,
    typer.Option("--call", parser=parse_call_id, metavar="CALL", help="only this call: its call id or request id"),
]
Since = Annotated[datetime | None, typer.Option("--since", help="from this instant on, in UTC")]
Until = Annotated[datetime | None, typer.Option("--until", help="before this instant, in UTC")]


def in_utc(instant: datetime | None) -> datetime | None:
    """Reads an instant without a time zone as UTC."""
    return instant.replace(tzinfo=UTC) if instant and instant.tzinfo is None else instant
