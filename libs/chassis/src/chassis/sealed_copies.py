"""Sealed copies of requests that became dead letters (ADR 49).

Upstream systems have no keys, so their requests are in clear. One that cannot be processed must neither stay so nor be
lost: its dead letter gets a sealed copy of headers and body, and the request is erased from REQUESTS. So does one that
the edge has sealed, because no header proves that.

All copies of a day are sealed under one key, whose name is the day. A number in such a message need not be one of a
person who was called, so it makes no key of a person. The dead letter shows whom the message may name
(`contracts.named_persons`), so the erasure of a person opens no copy. The key of a day is destroyed after
``DEAD_LETTER_RETENTION_DAYS``.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, datetime

from nats.aio.client import Client
from nats.aio.msg import Msg

from chassis.keyring import Keyring
from contracts import ErasedRequest
from contracts.envelope import FIRST_STORED_HEADER, first_stored_at
from contracts.events.numbers import is_number_command
from contracts.named_persons import NamedPersons, persons_of_header
from contracts.packing import packed, unpacked
from contracts.streams import REQUESTS
from contracts.vocabulary import RequestResult

_CONTEXT = b"dead_letter"
_END_OF_JSON = b"\0"
_NAME_LENGTH = 32
MAX_OTHER_BYTES = 24 * 1024
"""More than what a dead letter has beside the copy."""


@dataclass(frozen=True, slots=True)
class SealedCopy:
    """Headers and body of a message, sealed under the key with this name."""

    key: str
    sealed: bytes


@dataclass(frozen=True, slots=True)
class OpenedCopy:
    """The message of which there was a sealed copy."""

    subject: str
    headers: dict[str, str]
    body: bytes


def key_of_day(at: datetime) -> str:
    """Returns the name of the key of a day. It has the form of a digest, and no number has it."""
    return f"{at:%Y%m%d}".zfill(_NAME_LENGTH)


def day_of_key(key: str) -> date | None:
    """Returns the day of a key; None if it is that of a person."""
    day = key.removeprefix("0" * (_NAME_LENGTH - 8))
    if len(day) != len("20260302") or not day.isdecimal():
        return None
    return datetime.strptime(day, "%Y%m%d").date()  # noqa: DTZ007  a day in UTC


class RequestSealer:
    """Seals requests for their dead letters, and erases them once these are stored."""

    def __init__(
        self, keyring: Keyring, named: NamedPersons, erase: Callable[[int, ErasedRequest], Awaitable[None]]
    ) -> None:
        """`erase`: records what became of a request, and erases it."""
        self._keyring = keyring
        self._named = named
        self._erase = erase

    def persons_in(self, message: Msg) -> str:
        """Returns whom a message may name. Those of other streams have no number in clear."""
        headers = message.headers or {}
        if message.metadata.stream != REQUESTS.name:
            return persons_of_header(headers)
        return self._named.of(message.subject, headers, message.data)

    async def copy_of(self, message: Msg, client: Client) -> SealedCopy | None:
        """Returns the sealed copy of a request; None for any other message, and for one that has no room."""
        metadata = message.metadata
        if metadata.stream != REQUESTS.name:
            return None
        headers = message.headers or {}
        if is_number_command(message.subject):  # a later change must not be undone when this one is published again
            headers = {**headers, FIRST_STORED_HEADER: first_stored_at(headers, metadata.timestamp).isoformat()}
        described = {"subject": message.subject, "headers": headers}
        text = json.dumps(described).encode() + _END_OF_JSON + message.data
        copy = await seal_copy(text, key_of_day(metadata.timestamp), self._keyring)
        return copy if len(copy.sealed) + MAX_OTHER_BYTES <= client.max_payload else None

    async def erase(self, message: Msg) -> None:
        """Erases the request. The log names it as a dead letter."""
        sequence = message.metadata.sequence.stream
        await self._erase(sequence, ErasedRequest(sequence=sequence, result=RequestResult.DEAD_LETTER))


async def seal_copy(text: bytes, key_name: str, keyring: Keyring) -> SealedCopy:
    """Returns the sealed form of a text, under a key that is made if there is none."""
    await keyring.prepare([key_name])
    key = keyring.key(key_name)
    assert key  # noqa: S101  it was made
    return SealedCopy(key_name, key.seal(packed(text), _CONTEXT))


async def open_copy(copy: SealedCopy, keyring: Keyring) -> OpenedCopy | None:
    """Returns the message; None if the key is destroyed, or the copy is damaged."""
    try:
        await keyring.load([copy.key])
        key = keyring.key(copy.key)
        if key is None or not key.has_sealed(copy.sealed):
            return None
        text = unpacked(key.open(copy.sealed, _CONTEXT))
        described, _, body = text.partition(_END_OF_JSON)
        return OpenedCopy(**json.loads(described), body=body)
    except (ValueError, TypeError):
        return None
