"""Reads the record of a log from an export, or from the running system and its archive."""

import asyncio
import dataclasses
from pathlib import Path
from uuid import UUID

import typer
from nats.aio.client import Client

from centralita.commands.connections import connected
from centralita.commands.master_keys import keyring_of
from centralita.replay.archived_log import Archive, archive_id_of, require_no_archive
from centralita.replay.messages import with_keys
from centralita.replay.one_call import record_of_call
from centralita.replay.record import Record, from_file, from_streams
from centralita.replay.scope import Scope


async def read_record_of_call(file: Path | None, nats: str, archive: Path | None, call_id: UUID) -> Record:
    """Returns all messages of a call, opened with the keys of the running system. Hints at a missing archive."""
    if file:
        return await read_record(file, nats, archive, Scope(call_id=call_id))
    async with connected(nats) as client:
        if archive:
            record = await from_streams(client, Scope(call_id=call_id), await opened_archive(client, archive))
        else:
            if await archive_id_of(client):
                hint = "Calls of this log are archived: give --archive, or set ARCHIVE_DIR, to include them."
                typer.echo(hint, err=True)
            record = await record_of_call(client, call_id)
        return dataclasses.replace(record, messages=await with_keys(record.messages, keyring_of(client, nats)))


async def read_record(file: Path | None, nats: str, archive: Path | None, scope: Scope) -> Record:
    """Returns the record of an export, or of the streams. Raises WrongArchive if the archive is missing."""
    if file is not None:
        return await asyncio.to_thread(from_file, file, scope)
    async with connected(nats) as client:
        return await from_streams(client, scope, await opened_archive(client, archive))


async def opened_archive(client: Client, folder: Path | None) -> Archive | None:
    """Returns the archive. Raises WrongArchive if none is given and messages of this log are archived."""
    if folder is not None:
        return await asyncio.to_thread(Archive.open, folder)
    await require_no_archive(client)
    return None
