"""The contacts of campaigns, and what the streams contain about a person."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from uuid import UUID

from contracts import (
    ContactAdded,
    ContactGroupAdded,
)
from contracts.audit import AuditEntry
from contracts.queries import CallingTimes, CallingTimesQuery


class NewContact(NamedTuple):
    """A contact of an import.

    `on_result` is called once the result is known: True if the contact is added, False if its number waits already.
    """

    contact: ContactAdded
    line: int
    on_result: Callable[[bool], None]


class Importer(Protocol):
    """Adds the contacts of one import, or in a dry run finds out which ones would be added."""

    async def add(self, contacts: Sequence[NewContact]) -> None:
        """Begins to add contacts, in their order; waits while too many are in progress. Raises Unavailable."""

    async def flush(self) -> None:
        """Returns when each contact has its result. Raises Unavailable."""

    def first_open_line(self) -> int | None:
        """Returns the first line whose contact has no result yet; None: each has one."""

    def close(self) -> None:
        """Forgets the contacts that have no result yet."""


@dataclass(frozen=True, slots=True)
class ContactPage:
    """Waiting contacts in the order in which they were added, each with its sequence."""

    contacts: Sequence[tuple[int, ContactAdded]]
    has_more: bool


class Contacts(Protocol):
    """The contacts of campaigns that wait for their calls. Every method raises Unavailable."""

    async def groups(self, campaign_id: str) -> set[str]:
        """Returns the zone groups of a campaign."""

    async def add_group(self, group: ContactGroupAdded) -> None:
        """Adds a group, if the campaign does not have it."""

    def importer(self) -> Importer:
        """Returns an importer that adds contacts."""

    async def waiting(self, subjects: Sequence[str]) -> set[str]:
        """Returns those of the subjects of contacts on which a contact waits."""

    async def listed(self, campaign_id: str, list_names: Sequence[str], digests: Sequence[str]) -> Mapping[str, str]:
        """Returns the numbers that are on a do-not-call list of the campaign: the digest and the reason of each.

        `list_names`: the named lists that apply to it.
        """

    async def page(self, campaign_id: str, *, after_sequence: int, limit: int) -> ContactPage:
        """Returns the waiting contacts of a campaign after a sequence."""

    async def calling_times(self, query: CallingTimesQuery) -> CallingTimes:
        """Returns when a group of contacts may first be called in a campaign. call-orchestrator answers."""


class PersonalRecords(Protocol):
    """What the streams contain about a person, by the digest of the number. Every method raises Unavailable.

    The cost grows with the log, or with the waiting contacts of all campaigns.
    """

    async def calls(self, person: str) -> list[UUID]:
        """Returns the calls that had the number of the person at any time."""

    async def contacts(self, person: str) -> list[ContactAdded]:
        """Returns the waiting contacts of the person."""

    async def persons_of_contact(self, contact_id: str, campaign_id: str | None) -> set[str]:
        """Returns the persons of the waiting contacts with this id, in one campaign or in all."""

    async def acts(self, subjects: Sequence[str]) -> list[AuditEntry]:
        """Returns the entries of the audit log on these subjects."""
