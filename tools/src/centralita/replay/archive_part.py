"""One file of an archive: zstd, one message a line, as in an export but without its checks.

The manifest has the SHA-256 of the file. A file is read only after its digest was compared.
"""

import hashlib
import os
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from centralita.embedded.run_files import create_private_file
from centralita.replay.archive_manifest import ArchivePart, DamagedArchive, move_durably
from contracts import CallCreated
from records.messages import Message, from_json, to_json

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_OPTIONS: dict[int, int] = {
    zstd.CompressionParameter.compression_level: 6,
    zstd.CompressionParameter.checksum_flag: 1,
}
_CREATED = f"{CallCreated.event_name}."


class PartWriter:
    """Writes messages to a temporary file; `close` verifies it, moves it to its name and describes it.

    Only its owner can read the file: it contains personal data.
    """

    def __init__(self, folder: Path, stream: str) -> None:
        self._folder, self._stream = folder, stream
        self._temporary = folder / f".{stream}.new"
        self._temporary.unlink(missing_ok=True)
        self._raw = create_private_file(self._temporary)
        self._file = zstd.open(self._raw, "wb", options=_OPTIONS)
        self._first: Message | None = None
        self._last: Message | None = None
        self.messages = 0
        self.calls = 0

    def write(self, message: Message) -> None:
        """Adds one message of the stream; its sequence must be higher than that of the one before."""
        self._file.write(to_json(message).encode() + b"\n")
        self._first, self._last = self._first or message, message
        self.messages += 1
        self.calls += is_creation(message)

    def close(self, ended_before: datetime) -> ArchivePart | None:
        """Returns the description of the file, which is on disk now; None if no message was written.

        Reads the whole file back first. Raises DamagedArchive if it does not contain what was written.
        """
        self._file.close()
        self._raw.flush()
        os.fsync(self._raw.fileno())
        self._raw.close()
        if self._first is None or self._last is None:
            self._temporary.unlink()
            return None
        part = ArchivePart(
            file=f"{self._stream}-{self._first.sequence:012}-{self._last.sequence:012}.jsonl.zst",
            stream=self._stream,
            digest=_digest_of(self._temporary),
            bytes=self._temporary.stat().st_size,
            messages=self.messages,
            calls=self.calls,
            first_sequence=self._first.sequence,
            last_sequence=self._last.sequence,
            from_at=self._first.time,
            until_at=self._last.time,
            ended_before=ended_before,
        )
        for _ in _messages_of(self._temporary, part):
            pass
        move_durably(self._temporary, self._folder / part.file)
        return part

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._file.close()
        self._raw.close()
        self._temporary.unlink(missing_ok=True)


def is_creation(message: Message) -> bool:
    """Returns whether the message created a call; it does so once."""
    return message.subject.startswith(_CREATED)


def check_part(folder: Path, part: ArchivePart) -> None:
    """Compares the file with its description. Raises DamagedArchive, OSError."""
    file = folder / part.file
    try:
        size = file.stat().st_size
    except FileNotFoundError as error:
        raise DamagedArchive(file, "the file is missing: restore it from a backup") from error
    if size != part.bytes:
        raise DamagedArchive(file, f"it has {size} bytes, the manifest names {part.bytes}: restore it from a backup")
    if _digest_of(file) != part.digest:
        raise DamagedArchive(file, "its digest is not the one in the manifest: restore it from a backup")


def read_part(folder: Path, part: ArchivePart) -> Iterator[Message]:
    """Yields the messages of a file that `check_part` has accepted. Raises DamagedArchive, OSError."""
    return _messages_of(folder / part.file, part)


def _messages_of(file: Path, part: ArchivePart) -> Iterator[Message]:
    count, last = 0, 0
    try:
        with zstd.open(file, "rb") as lines:
            for line in lines:
                message = from_json(line.decode())
                if message.stream != part.stream or message.sequence <= last:
                    raise DamagedArchive(file, f"{message.stream} {message.sequence} follows {last}")
                count, last = count + 1, message.sequence
                yield message
    except (zstd.ZstdError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, DamagedArchive):
            raise
        raise DamagedArchive(file, f"message {count + 1} cannot be read ({type(error).__name__})") from error
    if (count, last) != (part.messages, part.last_sequence):
        raise DamagedArchive(file, f"it has {count} messages, the manifest names {part.messages}")


def _digest_of(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
