"""An export on disk: gzip, one JSON object a line, the manifest first.

Every line ends in a check: 16 hexadecimal digits of the SHA-256 of all message lines up to and including it. A changed
line is found at that line; a missing line is found at the one after it.
"""

import gzip
import hashlib
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from centralita.embedded.run_files import create_private_file
from centralita.replay.manifest import CONTRACTS, DamagedExport, Manifest, StreamRange, read_manifest
from centralita.replay.scope import Scope
from records.messages import Message, from_json, stores_subject, to_json

_CHECK = re.compile(rb',"check":"([0-9a-f]{16})"\}\n$')


class ExportWriter:
    """Writes an export to a temporary file; `close` moves it to `path`. Without `close`, `path` stays as it was.

    Only its owner can read the export: it contains personal data.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder = tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-")
        self._lines = Path(self._folder.name, "lines")
        self._file = gzip.open(self._lines, "wb")  # noqa: SIM115  closed by `close` and `__exit__`
        self._digest, self._running = hashlib.sha256(), hashlib.sha256()
        self._streams: dict[str, StreamRange] = {}

    def write(self, message: Message) -> None:
        """Adds one message. The messages of one stream must be written in the order of their sequences."""
        content = to_json(message)[:-1].encode()
        self._running.update(content)
        line = content + f',"check":"{self._running.hexdigest()[:16]}"}}\n'.encode()
        self._digest.update(line)
        self._file.write(line)
        known = self._streams.get(message.stream)
        first, count = (known.first, known.count + 1) if known else (message.sequence, 1)
        self._streams[message.stream] = StreamRange(first=first, last=message.sequence, count=count)

    def close(
        self,
        scope: Scope,
        acknowledged: dict[str, int],
        dead_letters: tuple[str, ...],
        recorded_after: int | None = None,
    ) -> Manifest:
        """Writes the manifest, moves the file to its path and returns the manifest."""
        self._file.close()
        manifest = Manifest(
            created_at=datetime.now(UTC),
            scope=scope,
            streams=self._streams,
            count=sum(stream.count for stream in self._streams.values()),
            digest=self._digest.hexdigest(),
            contracts=CONTRACTS,
            acknowledged=acknowledged,
            dead_letters=dead_letters,
            recorded_after=recorded_after,
        )
        complete = Path(self._folder.name, "complete")
        # Concatenated gzip files are one gzip file (RFC 1952, 2.2), so the manifest can be written last and come first.
        with create_private_file(complete) as target, self._lines.open("rb") as lines:
            target.write(gzip.compress(manifest.model_dump_json().encode() + b"\n"))
            shutil.copyfileobj(lines, target)
        os.replace(complete, self._path)
        return manifest

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._file.close()
        self._folder.cleanup()


def validate(path: Path, on_line: Callable[[int, int], None] | None = None) -> Manifest:
    """Reads the whole file, checks every line and returns the manifest. Raises DamagedExport, OSError."""
    manifest: Manifest | None = None
    digest = hashlib.sha256()
    running = hashlib.sha256()
    number, last_sequences = 0, dict[str, int]()
    for number, line in enumerate(_lines(path), start=1):
        if manifest is None:
            manifest = read_manifest(line)
            continue
        digest.update(line)
        _check(number, line, running, last_sequences, manifest)
        if on_line:
            on_line(number - 1, manifest.count)
    if manifest is None:
        raise DamagedExport(1, "the file is empty")
    if number - 1 != manifest.count:
        reason = f"the end is missing: the manifest lists {manifest.count} messages, the file has {number - 1}"
        raise DamagedExport(number + 1, reason)
    if digest.hexdigest() != manifest.digest:
        raise DamagedExport(1, "the digest in the manifest is not the digest of the lines")
    return manifest


def read_messages(path: Path) -> Iterator[Message]:
    """Yields the messages of a file that `validate` has accepted."""
    for number, line in enumerate(_lines(path)):
        if number:
            yield from_json(line.decode())


def _check(
    number: int, line: bytes, running: "hashlib._Hash", last_sequences: dict[str, int], manifest: Manifest
) -> None:
    """Raises DamagedExport if the line is changed or out of order. Adds it to `running` and to `last_sequences`."""
    check = _CHECK.search(line)
    if not line.endswith(b"\n"):
        raise DamagedExport(number, "the end of the line is missing")
    if number - 1 > manifest.count:
        raise DamagedExport(number, f"the file has more lines than the {manifest.count} that the manifest lists")
    if not check:
        raise DamagedExport(number, "not a message of an export: its check is missing")
    running.update(line[: check.start()])
    if running.hexdigest()[:16].encode() != check[1]:
        raise DamagedExport(number, "its check is wrong: the line was changed, or a line before it is missing")
    try:
        message = from_json(line.decode())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedExport(number, f"not a message of an export ({type(error).__name__})") from error
    if not stores_subject(message.stream, message.subject):
        raise DamagedExport(number, f"{message.subject} is not a subject of the stream {message.stream}")
    last = last_sequences.get(message.stream, 0)
    if message.sequence <= last:
        raise DamagedExport(number, f"{message.stream} {message.sequence} follows {last}: the sequences must increase")
    last_sequences[message.stream] = message.sequence


def _lines(path: Path) -> Iterator[bytes]:
    number = 1
    with gzip.open(path, "rb") as file:
        while True:
            try:
                line = file.readline()
            except EOFError as error:
                raise DamagedExport(number, "the end of the compressed data is missing") from error
            except (zlib.error, gzip.BadGzipFile) as error:
                raise DamagedExport(number, f"the compressed data are damaged ({error})") from error
            if not line:
                return
            yield line
            number += 1
