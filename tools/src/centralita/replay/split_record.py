"""A recorded log for verify, in temporary files: each has all messages of its calls, so one file's calls fit in memory.

Only the inputs of the orchestrator and its decisions are kept; verify reads no other messages.
"""

import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from nats.aio.client import Client

from centralita.embedded.run_files import create_private_file
from centralita.replay.archived_log import Archive
from centralita.replay.decisions import INPUTS
from centralita.replay.export_file import validate
from centralita.replay.lost_requests import Ranges
from centralita.replay.record import StreamSnapshot, messages_in_file, missing_requests_in, scope_within
from centralita.replay.scope import Scope
from records.call_ids import call_of
from records.messages import Message, from_json, to_json

MAX_PART_MESSAGES = 50_000
"""About how many messages of the log one file is made for."""
_MAX_PARTS = 200
"""The files are open at the same time while they are written."""
_INPUT_NAMES = frozenset(str(getattr(one, "event_name", "")) for one in INPUTS)


@dataclass(frozen=True, slots=True)
class SplitRecord:
    """A recorded log in files. The other fields are those of `centralita.replay.record.Record`."""

    scope: Scope
    files: tuple[Path, ...]
    acknowledged: dict[str, int]
    dead_letters: tuple[str, ...]
    missing_requests: Ranges = ()

    def parts(self) -> Iterator[list[Message]]:
        """Yields the messages of each file, in the order in which they were added. A call is in one file only."""
        for file in self.files:
            with file.open(encoding="utf-8") as lines:
                yield [from_json(line) for line in lines]


async def split_streams(client: Client, scope: Scope, archive: Archive | None, folder: Path) -> SplitRecord:
    """Writes the record of a system to files in `folder`. Raises WrongArchive, DamagedArchive, Incomplete, OSError."""
    snapshot = await StreamSnapshot.open(client, scope, archive)
    missing = missing_requests_in(scope, snapshot.recorded_after, snapshot.acknowledged)
    with _Files(folder, size=snapshot.size) as files:
        async for message in snapshot.requests():
            files.add(message)
            missing.add(message)
        async for message in snapshot.events():
            files.add(message)
    return SplitRecord(scope, files.names, snapshot.acknowledged, snapshot.dead_letters, missing.ranges())


def split_export(path: Path, scope: Scope, folder: Path) -> SplitRecord:
    """Writes the record in an export to files in `folder`. Raises DamagedExport, OSError."""
    manifest = validate(path)
    within = scope_within(manifest, scope)
    missing = missing_requests_in(within, manifest.recorded_after, manifest.acknowledged)
    with _Files(folder, size=manifest.count) as files:
        for message in messages_in_file(path, scope):
            files.add(message)
            missing.add(message)
    return SplitRecord(within, files.names, manifest.acknowledged, manifest.dead_letters, missing.ranges())


class _Files:
    """Files in a folder, which only their owner can read: they contain personal data."""

    def __init__(self, folder: Path, *, size: int) -> None:
        """`size`: about how many messages will be added."""
        count = min(max(-(-size // MAX_PART_MESSAGES), 1), _MAX_PARTS)
        self.names = tuple(folder / f"part-{number}" for number in range(count))
        self._stack = ExitStack()
        self._open = [self._stack.enter_context(create_private_file(file)) for file in self.names]

    def add(self, message: Message) -> None:
        """Adds a message if verify needs it."""
        if _is_needed(message):
            call_id = call_of(message) or ""
            self._open[zlib.crc32(call_id.encode()) % len(self._open)].write(to_json(message).encode() + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def _is_needed(message: Message) -> bool:
    family, *rest = message.subject.split(".", 2)
    return family in ("call", "campaign", "number", "request") or ".".join([family, *rest[:1]]) in _INPUT_NAMES
