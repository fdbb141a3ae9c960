"""Moving the messages of ended calls to an archive, a file at a time.

For each file: write it, read it back, name it in the manifest, then delete its messages from the stream, then record
that they are deleted. A run that is killed leaves one of three states, and the next run continues:

- a file that the manifest does not name: it is written again;
- a file that the manifest names, whose messages are still in the stream: they are deleted first;
- a file that is completely moved.

The metadata of the stream CALLS name the archive and its last sequence before the first message is deleted. So a
projection that begins again does not take the rest of the log for all of it.
"""

import fcntl
import json
import os
import uuid
from array import array
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from nats.aio.client import Client
from nats.js.errors import APIError

from centralita.archiving.bounds import ARCHIVED_STREAMS, Bound, Bounds, read_bounds
from centralita.archiving.removal import remove
from centralita.archiving.selection import Selection
from centralita.replay.archive_manifest import (
    MANIFEST_FILE,
    ArchiveManifest,
    ArchivePart,
    read_archive_manifest,
    write_archive_manifest,
)
from centralita.replay.archive_part import PartWriter, check_part, is_creation, read_part
from centralita.replay.archived_log import WrongArchive
from chassis.stream_api import jetstream_of
from chassis.stream_reader import read
from contracts.accounts import api_subject
from contracts.streams import ARCHIVE_ID, ARCHIVED_SEQUENCE, CALLS, Stream
from records.messages import Message

MAX_PART_MESSAGES = 100_000
API_SECONDS = 10.0
_BATCH = 500

Progress = Callable[[str, int, int], None]
"""Called with the name of the stage, the done amount and the total amount."""


class ArchiveBusy(RuntimeError):
    """Another process writes to the archive."""


@dataclass(slots=True)
class Archived:
    """The result of a run. `moved` and `kept`: messages by stream, up to the instant. `bounds`: see `read_bounds`."""

    archive_id: str
    ended_before: datetime
    calls: int = 0
    bytes: int = 0
    files: list[str] = field(default_factory=list)
    moved: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    bounds: dict[str, Bound] = field(default_factory=dict)


async def archive_calls(
    client: Client,
    folder: Path,
    *,
    ended_before: datetime,
    projection_sequence: int,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Archived:
    """Moves the calls that ended before an instant; with `dry_run`, only counts them.

    `projection_sequence`: the checkpoint of campaign-stats. Raises ArchiveBusy, ForeignCheckpoint, WrongArchive,
    DamagedArchive, OSError, and the errors of nats-py.
    """
    with _locked(folder, dry_run=dry_run):
        run = await _Run.open(client, folder, ended_before, dry_run=dry_run, progress=progress or (lambda *_: None))
        if not dry_run:
            await run.finish_parts()
        bounds = await read_bounds(client, projection_sequence)
        for stream in ARCHIVED_STREAMS:
            await run.archive(stream, bounds)
        return run.result


@dataclass
class _Run:
    client: Client
    folder: Path
    manifest: ArchiveManifest
    dry_run: bool
    progress: Progress
    result: Archived

    @classmethod
    async def open(
        cls, client: Client, folder: Path, ended_before: datetime, *, dry_run: bool, progress: Progress
    ) -> "_Run":
        """Reads or creates the manifest. Raises WrongArchive if this log has another archive."""
        metadata = (await jetstream_of(client, CALLS.name).stream_info(CALLS.name)).config.metadata or {}
        expected = metadata.get(ARCHIVE_ID)
        if (folder / MANIFEST_FILE).exists():
            manifest = read_archive_manifest(folder)
        elif expected:
            raise WrongArchive(f"{folder}: the archive of this log is {expected}, and is not here. Give its directory")
        else:
            manifest = ArchiveManifest(archive_id=uuid.uuid4())
        if expected and expected != str(manifest.archive_id):
            raise WrongArchive(
                f"{folder}: this is the archive {manifest.archive_id}. Give the directory of {expected}, which is that "
                "of this log"
            )
        if not expected and manifest.parts:
            raise WrongArchive(f"{folder}: this is the archive of another log. Give another directory")
        if not dry_run:
            write_archive_manifest(folder, manifest)
        return cls(client, folder, manifest, dry_run, progress, Archived(str(manifest.archive_id), ended_before))

    async def finish_parts(self) -> None:
        """Deletes the messages of files that are complete, and which an interrupted run has left in the streams."""
        for part in self.manifest.parts:
            if not part.is_removed:
                check_part(self.folder, part)
                sequences = array("Q", (message.sequence for message in read_part(self.folder, part)))
                await self._remove(part, sequences)

    async def archive(self, stream: Stream, bounds: Bounds) -> None:
        """Moves what may go of one stream."""
        result, bound = self.result, bounds.ends[stream.name]
        result.bounds[stream.name], result.moved[stream.name], result.kept[stream.name] = bound, 0, 0
        selection = Selection(self.client, bounds, result.ended_before)
        position = (await jetstream_of(self.client, stream.name).stream_info(stream.name)).state.first_seq
        while 0 < position <= bound.sequence:
            position = await self._archive_part(stream, selection, position, bound.sequence)

    async def _archive_part(self, stream: Stream, selection: Selection, position: int, end: int) -> int:
        """Writes one file, then deletes its messages. Returns the sequence at which the next file begins."""
        sequences = array("Q")
        with nullcontext() if self.dry_run else PartWriter(self.folder, stream.name) as writer:
            async with aclosing(self._batches(stream, position, end)) as batches:
                position = end + 1
                async for batch in batches:
                    await self._select(selection, batch, writer, sequences)
                    self.progress(f"reading {stream.name}", batch[-1].sequence, end)
                    if len(sequences) >= MAX_PART_MESSAGES:
                        position = batch[-1].sequence + 1
                        break
            part = writer.close(self.result.ended_before) if writer else None
        if part:
            await self._add(part)
            await self._remove(part, sequences)
        return position

    async def _batches(self, stream: Stream, start: int, end: int) -> AsyncGenerator[list[Message], None]:
        """Yields the messages of a stream, up to the first that was stored at the instant or after it."""
        batch: list[Message] = []
        async with aclosing(read(self.client, stream.name, start_sequence=start, end_sequence=end)) as stored:
            async for delivered in stored:
                message = Message.of(delivered)
                if message.time >= self.result.ended_before:
                    break
                batch.append(message)
                if len(batch) == _BATCH:
                    yield batch
                    batch = []
        if batch:
            yield batch

    async def _select(
        self, selection: Selection, batch: list[Message], writer: PartWriter | None, sequences: "array[int]"
    ) -> None:
        selected, result, stream = await selection.of(batch), self.result, batch[0].stream
        for message in selected:
            if writer:
                writer.write(message)
            sequences.append(message.sequence)
        result.calls += sum(is_creation(message) for message in selected)
        result.moved[stream] += len(selected)
        result.kept[stream] += len(batch) - len(selected)

    async def _add(self, part: ArchivePart) -> None:
        """Names the file in the manifest, and the archive in the stream."""
        await self._set_metadata(self.manifest)
        self.manifest = self.manifest.with_part(part)
        write_archive_manifest(self.folder, self.manifest)
        await self._set_metadata(self.manifest)
        self.result.bytes += part.bytes
        self.result.files.append(part.file)

    async def _set_metadata(self, manifest: ArchiveManifest) -> None:
        """Sets the metadata of CALLS. All other settings are sent back as they are, also those unknown to nats-py."""
        config = (await self._request(api_subject("STREAM.INFO", CALLS.name)))["config"]
        archive = {ARCHIVE_ID: str(manifest.archive_id), ARCHIVED_SEQUENCE: str(manifest.archived_sequence)}
        metadata = {**config.get("metadata", {}), **archive}
        if metadata != config.get("metadata"):
            await self._request(api_subject("STREAM.UPDATE", CALLS.name), {**config, "metadata": metadata})

    async def _request(self, subject: str, body: object = None) -> dict[str, Any]:
        """Sends a request to JetStream's API and returns its answer. Raises APIError."""
        data = json.dumps(body).encode() if body is not None else b""
        answer = await self.client.request(subject, data, timeout=API_SECONDS)
        result: dict[str, Any] = json.loads(answer.data)
        if "error" in result:
            APIError.from_error(result["error"])
        return result

    async def _remove(self, part: ArchivePart, sequences: "array[int]") -> None:
        await self._set_metadata(self.manifest)

        def counted() -> Iterator[int]:
            for number, sequence in enumerate(sequences, start=1):
                if number % _BATCH == 0:
                    self.progress(f"deleting from {part.stream}", number, len(sequences))
                yield sequence

        await remove(self.client, part.stream, counted())
        self.manifest = self.manifest.with_part(part.model_copy(update={"is_removed": True}))
        write_archive_manifest(self.folder, self.manifest)


@contextmanager
def _locked(folder: Path, *, dry_run: bool) -> Iterator[None]:
    """Creates the directory and prevents that two processes write to it. The lock ends with the process."""
    if dry_run:
        yield
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ArchiveBusy(f"{folder}: another process writes to this archive. Wait until it has ended") from error
        yield
    finally:
        os.close(file)
