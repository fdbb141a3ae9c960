"""An export on disk: gzip, one JSON object a line, the manifest first.

Every line ends in a check: 16 hexadecimal digits of the SHA-256 of all lines up to it. So a change is found with the
line that was changed, and a line that is missing with the one after it.
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

from centralita.replay.manifest import CONTRACTS, Damaged, Manifest, Span, read_manifest
from centralita.replay.messages import Message, belongs, from_json, to_json
from centralita.replay.scope import Scope

_CHECK = re.compile(rb',"check":"([0-9a-f]{16})"\}\n$')


class Writer:
    """Writes an export beside its place; it stands there whole after `close`, or not at all."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder = tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-")
        self._lines = Path(self._folder.name, "lines")
        self._file = gzip.open(self._lines, "wb")  # noqa: SIM115  closed by `close` and `__exit__`
        self._digest, self._running = hashlib.sha256(), hashlib.sha256()
        self._spans: dict[str, Span] = {}

    def write(self, message: Message) -> None:
        """Adds one message; within a stream in the order of their sequences."""
        content = to_json(message)[:-1].encode()
        self._running.update(content)
        line = content + f',"check":"{self._running.hexdigest()[:16]}"}}\n'.encode()
        self._digest.update(line)
        self._file.write(line)
        known = self._spans.get(message.stream)
        first, count = (known.first, known.count + 1) if known else (message.sequence, 1)
        self._spans[message.stream] = Span(first=first, last=message.sequence, count=count)

    def close(self, scope: Scope, handled: dict[str, int], given_up: tuple[str, ...]) -> Manifest:
        """Puts the manifest before the lines and the file in its place."""
        self._file.close()
        manifest = Manifest(
            created_at=datetime.now(UTC),
            scope=scope,
            streams=self._spans,
            count=sum(span.count for span in self._spans.values()),
            digest=self._digest.hexdigest(),
            contracts=CONTRACTS,
            handled=handled,
            given_up=given_up,
        )
        whole = Path(self._folder.name, "whole")
        # gzip files one after the other are one gzip file (RFC 1952, 2.2): the manifest needs to be known only now.
        with whole.open("wb") as target, self._lines.open("rb") as lines:
            target.write(gzip.compress(manifest.model_dump_json().encode() + b"\n"))
            shutil.copyfileobj(lines, target)
        os.replace(whole, self._path)
        return manifest

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._file.close()
        self._folder.cleanup()


def validated(path: Path, on_line: Callable[[int, int], None] | None = None) -> Manifest:
    """Reads the whole file and gives its manifest if all of it is as it was written. Raises Damaged, OSError."""
    manifest: Manifest | None = None
    digest = hashlib.sha256()
    running = hashlib.sha256()
    number, last = 0, dict[str, int]()
    for number, line in enumerate(_lines(path), start=1):
        if manifest is None:
            manifest = read_manifest(line)
            continue
        digest.update(line)
        _check(number, line, running, last, manifest)
        if on_line:
            on_line(number - 1, manifest.count)
    if manifest is None:
        raise Damaged(1, "the file is empty")
    if number - 1 != manifest.count:
        raise Damaged(number + 1, f"cut: the manifest promises {manifest.count} messages, here are {number - 1}")
    if digest.hexdigest() != manifest.digest:
        raise Damaged(1, "the digest in the manifest is not that of the lines")
    return manifest


def messages(path: Path) -> Iterator[Message]:
    """The messages of a file that `validated` has read."""
    for number, line in enumerate(_lines(path)):
        if number:
            yield from_json(line.decode())


def _check(number: int, line: bytes, running: "hashlib._Hash", last: dict[str, int], manifest: Manifest) -> None:
    """Raises Damaged unless the line is as it was written, and where it was written."""
    found = _CHECK.search(line)
    if not line.endswith(b"\n"):
        raise Damaged(number, "cut in the middle of the line")
    if number - 1 > manifest.count:
        raise Damaged(number, f"more lines than the {manifest.count} that the manifest promises")
    if not found:
        raise Damaged(number, "no message of an export: its check is missing")
    running.update(line[: found.start()])
    if running.hexdigest()[:16].encode() != found[1]:
        raise Damaged(number, "its check does not fit: it was changed, or a line before it is missing")
    try:
        message = from_json(line.decode())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(number, f"no message of an export ({type(error).__name__})") from error
    if not belongs(message.stream, message.subject):
        raise Damaged(number, f"{message.subject} is no subject of the stream {message.stream}")
    if message.sequence <= last.get(message.stream, 0):
        raise Damaged(number, f"{message.stream} {message.sequence} comes after {last[message.stream]}")
    last[message.stream] = message.sequence


def _lines(path: Path) -> Iterator[bytes]:
    number = 1
    with gzip.open(path, "rb") as file:
        while True:
            try:
                line = file.readline()
            except EOFError as error:
                raise Damaged(number, "cut: the compressed data end in the middle") from error
            except (zlib.error, gzip.BadGzipFile) as error:
                raise Damaged(number, f"the compressed data are damaged ({error})") from error
            if not line:
                return
            yield line
            number += 1
