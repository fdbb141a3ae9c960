"""Reads the record of a log from an export, or from the running system and its archive."""

import asyncio
from pathlib import Path
from uuid import UUID

import typer
from nats.aio.client import Client

from centralita.commands.connections import connected
from centralita.commands.master_keys import keyring_of
from centralita.replay.archived_log import Archive, archive_id_of, require_no_archive
from centralita.replay.record import Record, from_file, from_streams
from centralita.replay.scope import Scope
from records.messages import Message, with_keys
from records.one_call import messages_of_call


async def read_messages_of_call(file: Path | None, nats: str, archive: Path | None, call_id: UUID) -> list[Message]:
    """Returns all messages of a call, opened with the keys of the running system. Hints at a missing archive."""
    if file:
        return (await read_record(file, nats, archive, Scope(call_id=call_id))).messages
    async with connected(nats) as client:
        if archive:
            opened = await opened_archive(client, archive)
            messages = (await from_streams(client, Scope(call_id=call_id), opened)).messages
        else:
            if await archive_id_of(client):
                hint = "Calls of this log are archived: give --archive, or set ARCHIVE_DIR, to include them."
                typer.echo(hint, err=True)
            messages = await messages_of_call(client, call_id)
        return await with_keys(messages, keyring_of(client, nats))


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
