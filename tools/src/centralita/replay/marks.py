"""The header by which the messages of an import are found again: by itself, or by whoever comes after it was killed.

Each says which import it is of and how many messages that has. An import of which fewer stand in the target was broken
off, or runs now.
"""

import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Self

from nats.aio.client import Client
from nats.js.errors import NotFoundError

from centralita.replay.manifest import Manifest
from centralita.replay.reading import last_sequence, read
from contracts.streams import CALLS, REQUESTS

HEADER = "centralita-import"
TARGETS = (CALLS.name, REQUESTS.name)
"""The streams that an import writes to."""
_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Mark:
    """Which import a message is of, and which of the file's messages it is (from 1)."""

    import_id: str
    line: int
    count: int

    def __str__(self) -> str:
        return f"{self.import_id} {self.line}/{self.count}"

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Self | None:
        """The mark that a message has, if it was imported."""
        import_id, _, place = headers.get(HEADER, "").partition(" ")
        line, _, count = place.partition("/")
        return cls(import_id, int(line), int(count)) if line.isdecimal() and count.isdecimal() else None


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands in a target of one import: `messages` of its `count`."""

    import_id: str
    messages: int
    count: int

    @property
    def whole(self) -> bool:
        """Whether it came to its end, and nothing of it has been removed."""
        return self.messages == self.count

    def is_of(self, manifest: Manifest) -> bool:
        """Whether it was this very file that was imported."""
        return self.import_id.startswith(manifest.digest[:_DIGITS])


def new_id(manifest: Manifest) -> str:
    """An id that no other import has, and that says which file it is of."""
    return f"{manifest.digest[:_DIGITS]}-{secrets.token_hex(4)}"


async def standing(client: Client) -> list[Standing]:
    """Every import of which messages stand in the target. Reads the headers of all that it holds."""
    found: dict[str, Standing] = {}
    for stream in TARGETS:
        async for _, mark in _marks(client, stream, after=0):
            known = found.get(mark.import_id)
            found[mark.import_id] = Standing(mark.import_id, known.messages + 1 if known else 1, mark.count)
    return list(found.values())


async def marked(client: Client, stream: str, import_id: str, after: int) -> list[int]:
    """The sequences of an import's messages in a stream, of those after `after`."""
    return [sequence async for sequence, mark in _marks(client, stream, after) if mark.import_id == import_id]


async def _marks(client: Client, stream: str, after: int) -> AsyncIterator[tuple[int, Mark]]:
    try:
        upto = await last_sequence(client, stream)
    except NotFoundError:
        return
    async for message in read(client, stream, start=after + 1, upto=upto, headers_only=True):
        if mark := Mark.of(message.headers):
            yield message.sequence, mark
