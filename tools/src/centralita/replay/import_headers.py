"""The header by which the messages of an import are found again, by the import itself or by a later command.

The header names the import, the message's line in the file and the number of lines. If the target contains fewer
messages of an import than its number of lines, the import was interrupted or is running.
"""

import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Self

from nats.aio.client import Client
from nats.js.errors import NotFoundError

from centralita.replay.manifest import Manifest
from chassis.stream_reader import last_sequence, read
from contracts.streams import CALLS, REQUESTS

HEADER = "centralita-import"
TARGETS = (CALLS.name, REQUESTS.name)
"""The streams that an import publishes to."""
_DIGEST_DIGITS = 12


@dataclass(frozen=True, slots=True)
class ImportHeader:
    """The value of the header: the import, the line (from 1) of its file, and the number of lines."""

    import_id: str
    line: int
    count: int

    def __str__(self) -> str:
        return f"{self.import_id} {self.line}/{self.count}"

    @classmethod
    def parse(cls, headers: Mapping[str, str]) -> Self | None:
        """Returns the value among a message's headers; None if the message was not imported."""
        import_id, _, position = headers.get(HEADER, "").partition(" ")
        line, _, count = position.partition("/")
        return cls(import_id, int(line), int(count)) if line.isdecimal() and count.isdecimal() else None


@dataclass(frozen=True, slots=True)
class FoundImport:
    """An import of which the target contains `messages` of its `count` messages."""

    import_id: str
    messages: int
    count: int

    @property
    def is_complete(self) -> bool:
        """Whether the target contains all messages of the import."""
        return self.messages == self.count

    def is_of(self, manifest: Manifest) -> bool:
        """Returns whether the imported file is the one with this manifest."""
        return self.import_id.startswith(manifest.digest[:_DIGEST_DIGITS])


def new_import_id(manifest: Manifest) -> str:
    """Returns a unique id that begins with digits of the file's digest."""
    return f"{manifest.digest[:_DIGEST_DIGITS]}-{secrets.token_hex(4)}"


async def find_imports(client: Client) -> list[FoundImport]:
    """Returns every import of which the target contains messages. Reads the headers of all its messages."""
    imports: dict[str, FoundImport] = {}
    for stream in TARGETS:
        async for _, header in _import_headers(client, stream, after_sequence=0):
            known = imports.get(header.import_id)
            messages = known.messages + 1 if known else 1
            imports[header.import_id] = FoundImport(header.import_id, messages, header.count)
    return list(imports.values())


async def imported_sequences(client: Client, stream: str, import_id: str, *, after_sequence: int) -> list[int]:
    """Returns the sequences of an import's messages in a stream, of those after `after_sequence`."""
    headers = _import_headers(client, stream, after_sequence)
    return [sequence async for sequence, header in headers if header.import_id == import_id]


async def _import_headers(client: Client, stream: str, after_sequence: int) -> AsyncIterator[tuple[int, ImportHeader]]:
    try:
        end = await last_sequence(client, stream)
    except NotFoundError:
        return
    messages = read(client, stream, start_sequence=after_sequence + 1, end_sequence=end)
    async for message in messages:
        if header := ImportHeader.parse(message.headers):
            yield message.seq, header
