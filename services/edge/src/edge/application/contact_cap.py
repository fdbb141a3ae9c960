"""The daily cap of contacts per API key: how many persons a stolen key can add at most, for all replicas together.

Numbers that an import adds to do-not-call lists count, too: each is a message of its own, and a key of a person.

An import reserves contacts in blocks, so that it does not write the counter for each row, and gives nothing back. So
duplicates and refused rows of a block count, too. Numbers are reserved one by one. A dry run reserves nothing. A day
begins at 00:00 UTC.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from edge.application.dial_cap import seconds_of_day_left
from edge.application.errors import ContactCapReached, NumberCapReached
from edge.ports import ContactCounter

BLOCK = 1_000
"""Contacts that an import reserves at a time."""


def _now() -> datetime:
    return datetime.now(UTC)


class ContactCap:
    """At most `max_contacts` a day for each key; 0: no limit."""

    def __init__(self, counter: ContactCounter, *, max_contacts: int, now: Callable[[], datetime] = _now) -> None:
        self._counter = counter
        self._max_contacts = max_contacts
        self._now = now

    def of_key(self, key_name: str) -> "ReservedContacts":
        """Returns what one import of a key reserves."""
        return ReservedContacts(self, key_name)

    def of_numbers(self, key_name: str) -> "ReservedContacts":
        """Returns what one import of numbers for a do-not-call list reserves."""
        return ReservedContacts(self, key_name, block=1, error=NumberCapReached)

    async def reserve(self, key_name: str, contacts: int) -> int:
        """Reserves as many contacts of today as it may, up to a number, and returns how many. Raises Unavailable."""
        if not self._max_contacts:
            return contacts
        return await self._counter.add_contacts(key_name, self._now().date(), contacts, self._max_contacts)

    def reached(self, line: int, added: int, error: type[ContactCapReached] = ContactCapReached) -> ContactCapReached:
        """Returns the error of an import that must end at a line."""
        return error(self._max_contacts, line, added, seconds_of_day_left(self._now()))


class ReservedContacts:
    """The reserved contacts of one import."""

    def __init__(
        self, cap: ContactCap, key_name: str, block: int = BLOCK, error: type[ContactCapReached] = ContactCapReached
    ) -> None:
        """`block`: how many it reserves at least at a time."""
        self._cap = cap
        self._key_name = key_name
        self._block = block
        self._error = error
        self._left = 0

    async def take(self, contacts: int) -> int:
        """Takes as many contacts as it may, up to a number, and returns how many. Raises Unavailable."""
        if self._left < contacts:
            self._left += await self._cap.reserve(self._key_name, max(self._block, contacts - self._left))
        taken = min(contacts, self._left)
        self._left -= taken
        return taken

    def reached(self, line: int, added: int) -> ContactCapReached:
        """Returns the error of an import that must end at a line."""
        return self._cap.reached(line, added, self._error)
