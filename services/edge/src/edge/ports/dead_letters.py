"""Dead letters, which a process of its own reads and resends."""

from typing import Protocol

from contracts.dead_letter_queries import (
    DeadLetterDetails,
    DeadLetterGroups,
    DeadLetterGroupsQuery,
    DeadLetterList,
    DeadLetterListQuery,
    DeadLetterOutcome,
)


class DeadLetterDirectory(Protocol):
    """The requests to the process of dead letters. Every method raises Unavailable."""

    async def list_page(self, query: DeadLetterListQuery) -> DeadLetterList:
        """Returns one page of dead letters, the oldest first."""

    async def count(self, query: DeadLetterGroupsQuery) -> DeadLetterGroups:
        """Returns the largest groups of dead letters."""

    async def show(self, sequence: int) -> DeadLetterDetails:
        """Returns a dead letter and its message, without personal data."""

    async def retry(self, sequence: int) -> DeadLetterOutcome:
        """Publishes the message of a dead letter again, and erases the dead letter."""

    async def drop(self, sequence: int) -> DeadLetterOutcome:
        """Erases a dead letter, and its request unless that was decided."""
