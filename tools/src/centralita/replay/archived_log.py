"""The log as one: the messages in an archive and those in the streams, in the order of their sequences.

A message that is in both is yielded once: `centralita archive` was killed before it removed it from the stream.
"""

import heapq
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from nats.aio.client import Client

from centralita.replay.archive_manifest import ArchiveManifest, DamagedArchive, read_archive_manifest
from centralita.replay.archive_part import check_part, read_part
from chassis.stream_api import jetstream_of
from chassis.stream_reader import read
from contracts.streams import ARCHIVE_ID, CALLS
from records.messages import Message, matches


class WrongArchive(RuntimeError):
    """The archive is of another log, is needed and missing, or changed while it was read. Names the remedy."""


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive whose files all have the digests of its manifest."""

    folder: Path
    manifest: ArchiveManifest

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Reads the manifest and compares the digest of every file. Raises DamagedArchive, OSError."""
        manifest = read_archive_manifest(folder)
        for part in manifest.parts:
            check_part(folder, part)
        return cls(folder, manifest)

    def messages(
        self, stream: str, filters: Sequence[str] = (), *, start_sequence: int = 1, end_sequence: int
    ) -> Iterator[Message]:
        """Yields the archived messages of a stream, each once, in the order of their sequences. Raises DamagedArchive.

        A file is opened when its first message is due, so few are open at a time. Two files have the same message if a
        node of a cluster still had it after the leader had deleted it.
        """
        parts = [
            part
            for part in self.manifest.parts
            if part.stream == stream and part.first_sequence <= end_sequence and part.last_sequence >= start_sequence
        ]
        waiting, last = sorted(parts, key=lambda part: part.first_sequence, reverse=True), start_sequence - 1
        opened: list[tuple[int, int, Message, Iterator[Message]]] = []
        while waiting or opened:
            while waiting and (not opened or waiting[-1].first_sequence <= opened[0][0]):
                part = waiting.pop()
                content = read_part(self.folder, part)
                first = next(content)
                heapq.heappush(opened, (first.sequence, len(waiting), first, content))
            sequence, number, message, content = opened[0]
            if (following := next(content, None)) is None:
                heapq.heappop(opened)
            else:
                heapq.heapreplace(opened, (following.sequence, number, following, content))
            if sequence > end_sequence:
                return
            if sequence > last and (not filters or any(matches(one, message.subject) for one in filters)):
                yield message
            last = max(last, sequence)

    def check_unchanged(self) -> None:
        """Raises WrongArchive if messages were archived since `open`: they may be missing from what was read."""
        known = {part.file for part in self.manifest.parts}
        if any(part.file not in known for part in read_archive_manifest(self.folder).parts):
            raise WrongArchive(f"{self.folder}: messages were archived while it was read. Run the command again")


async def check_archive(client: Client, archive: Archive | None) -> None:
    """Raises WrongArchive if the log has an archive and this is another one, or there is none."""
    if archive is None:
        await require_no_archive(client)
    expected = await archive_id_of(client)
    if archive and archive.manifest.parts and str(archive.manifest.archive_id) != expected:
        found = f"is {expected}" if expected else "has never been used with this log"
        raise WrongArchive(
            f"{archive.folder}: the archive {archive.manifest.archive_id} is of another log: the archive of this one "
            f"{found}. Give --archive with its directory"
        )


async def require_no_archive(client: Client) -> None:
    """Raises WrongArchive if messages of this log are archived: the streams alone are not the log.

    The archive is named in the stream before its first message is deleted. So what was read before this check is whole.
    """
    if archive_id := await archive_id_of(client):
        raise WrongArchive(
            f"messages of the log are in the archive {archive_id}, perhaps only since this command began, and it needs "
            "them. Run it with --archive and the directory of the archive, or set ARCHIVE_DIR"
        )


async def archive_id_of(client: Client) -> str | None:
    """Returns the id of the archive of this log; None if nothing was archived."""
    metadata = (await jetstream_of(client, CALLS.name).stream_info(CALLS.name)).config.metadata or {}
    return metadata.get(ARCHIVE_ID)


async def read_log(
    client: Client,
    archive: Archive | None,
    stream: str,
    filters: Sequence[str] = (),
    *,
    start_sequence: int = 1,
    end_sequence: int,
) -> AsyncGenerator[Message, None]:
    """Yields the messages from `start_sequence` to `end_sequence` of archive and stream, each once.

    Raises WrongArchive, also if messages were archived meanwhile, DamagedArchive, and what `chassis.stream_reader.read`
    raises.
    """
    if start_sequence > end_sequence:
        return
    archived = (
        archive.messages(stream, filters, start_sequence=start_sequence, end_sequence=end_sequence)
        if archive
        else iter(())
    )
    waiting = next(archived, None)
    streamed = read(client, stream, filters, start_sequence=start_sequence, end_sequence=end_sequence)
    async with aclosing(streamed) as stored:
        async for delivered in stored:
            message = Message.of(delivered)
            while waiting and waiting.sequence < message.sequence:
                yield waiting
                waiting = next(archived, None)
            if waiting and waiting.sequence == message.sequence:
                waiting = next(archived, None)
            yield message
    while waiting:
        yield waiting
        waiting = next(archived, None)
    if archive:
        archive.check_unchanged()
    else:
        await require_no_archive(client)


__all__ = [
    "Archive",
    "DamagedArchive",
    "WrongArchive",
    "archive_id_of",
    "check_archive",
    "read_log",
    "require_no_archive",
]
