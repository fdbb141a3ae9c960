"""Numbers, the audit log, reserved dials and the projection in MongoDB."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

from contracts import (
    CallList,
    CallListQuery,
    CampaignCalls,
    CampaignCallsQuery,
    CampaignList,
    CampaignListQuery,
    CampaignStatistics,
    NumberState,
)
from contracts.audit import AuditEntry


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry and its sequence in the audit log."""

    sequence: int
    entry: AuditEntry


@dataclass(frozen=True, slots=True)
class EntryPage:
    """Entries in log order; `has_more`: further entries are stored."""

    entries: Sequence[StoredEntry]
    has_more: bool


@dataclass(frozen=True, slots=True)
class NumberPage:
    """States of numbers; `last_sequence`: of the last one; `has_more`: further states are stored."""

    numbers: Sequence[NumberState]
    last_sequence: int
    has_more: bool


class Numbers(Protocol):
    """The states of numbers. Every method raises Unavailable."""

    async def get(self, number_digest: str) -> NumberState:
        """Returns the state of a number, from the leader; one without entries if there is none."""

    async def page(self, *, after_sequence: int, limit: int) -> NumberPage:
        """Returns up to `limit` states after a sequence."""

    async def is_settled(self) -> bool:
        """Whether each command for a list that was stored before is decided; false if that cannot be found out."""


class Audit(Protocol):
    """The audit log. Every method raises Unavailable."""

    async def append(self, entry: AuditEntry) -> None:
        """Returns when the entry is stored."""

    async def page(self, *, since: datetime | None, after: int, limit: int, subject: str) -> EntryPage:
        """Returns up to `limit` entries on a filter after a sequence or, if `after` is 0, not before `since`."""


class DialCounter(Protocol):
    """The dials that each API key has reserved, by day, for all replicas."""

    async def add(self, key_name: str, day: date, dials: int, max_dials: int, reservation_id: UUID | None) -> bool:
        """Adds dials to those of a key on a day; returns False if there would be more than `max_dials`.

        For an id that was added before, adds only what exceeds the earlier number. Raises Unavailable.
        """


class ContactCounter(Protocol):
    """The contacts that each API key has reserved, by day, for all replicas."""

    async def add_contacts(self, key_name: str, day: date, contacts: int, max_contacts: int) -> int:
        """Adds up to so many contacts to those of a key on a day, and returns how many: not above `max_contacts`.

        Raises Unavailable.
        """


class Statistics(Protocol):
    """What campaign-stats reads from MongoDB. Every method raises Unavailable."""

    async def of(self, campaign_id: str | None) -> CampaignStatistics:
        """Returns the counters of one campaign, or of all."""

    async def calls(self, query: CampaignCallsQuery) -> CampaignCalls:
        """Returns one page of the ids of a campaign's calls."""

    async def list_calls(self, query: CallListQuery) -> CallList:
        """Returns one page of calls, or of the calls of a number (`NumberCallsQuery`), newest first."""

    async def list_campaigns(self, query: CampaignListQuery) -> CampaignList:
        """Returns one page of campaigns."""
