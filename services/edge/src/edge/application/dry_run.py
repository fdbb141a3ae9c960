"""Finds out which contacts an import would add, without adding them."""

from collections.abc import Callable, Sequence

from edge.application.seen_numbers import SeenNumbers
from edge.ports import Contacts, NewContact

BATCH = 500
"""From how many subjects on they are compared; one request names up to `contact_import.BATCH` more."""


class DryRun:
    """Implements `edge.ports.Importer`. A number is a duplicate if it waits already, or appeared before in the file.

    Only groups that the campaign has are compared with the stream: a contact of any other group cannot wait.
    """

    def __init__(self, contacts: Contacts, groups: set[str]) -> None:
        self._contacts = contacts
        self._groups = groups
        self._seen = SeenNumbers()
        self._batch: dict[str, Callable[[bool], None]] = {}
        self._first_line: int | None = None

    async def add(self, contacts: Sequence[NewContact]) -> None:
        """Compares contacts with the earlier ones, and later with the waiting ones."""
        for contact, line, on_result in contacts:
            if not self._seen.add(contact.number_digest):
                on_result(False)
            elif contact.zone_group not in self._groups:
                on_result(True)
            else:
                self._first_line = self._first_line or line
                self._batch[contact.subject] = on_result
        if len(self._batch) >= BATCH:
            await self.flush()

    async def flush(self) -> None:
        """Compares the remaining contacts with the waiting ones."""
        if self._batch:
            waiting = await self._contacts.waiting(list(self._batch))
            for subject, on_result in self._batch.items():
                on_result(subject not in waiting)
            self._batch, self._first_line = {}, None

    def first_open_line(self) -> int | None:
        """Returns the line of the first contact that is not compared yet."""
        return self._first_line

    def close(self) -> None:
        """Removes the numbers from the disk."""
        self._seen.close()
