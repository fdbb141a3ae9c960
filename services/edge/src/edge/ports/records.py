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
    Outcomes,
    OutcomesQuery,
)
from contracts.audit import AuditEntry

ALL_SUBJECTS = ">"
"""The filter of all entries. A page of a filter with ``*`` would cost as much as the log after it is long."""


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry and its sequence in the audit log."""

    sequence: int
    entry: AuditEntry


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which entries a page has, and their order.

    `since`, `until`: from an instant on, and before one. `position`: after this sequence or, with the newest first,
    before it; 0: from the beginning, or from the end. `act`: an act, or a family of acts, such as `call`.
    """

    subject: str
    limit: int
    since: datetime | None = None
    until: datetime | None = None
    position: int = 0
    is_newest_first: bool = False
    key_name: str | None = None
    act: str | None = None

    @property
    def is_filtered(self) -> bool:
        """Whether entries are read that the page does not have."""
        return self.key_name is not None or self.act is not None

    def selects(self, entry: AuditEntry) -> bool:
        """Whether an entry is of the key, of the act, and before `until`."""
        is_of_act = self.act in (None, entry.act, entry.act.partition(".")[0])
        is_before = self.until is None or entry.recorded_at < self.until
        return is_of_act and is_before and self.key_name in (None, entry.key_name)


@dataclass(frozen=True, slots=True)
class EntryPage:
    """Entries in the wanted order. `next_position`: where the next page begins; None: this is the last one."""

    entries: Sequence[StoredEntry]
    next_position: int | None


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
        """Whether each command for a list that was stored before is decided, soon at the latest.

        False if that cannot be found out.
        """


class Audit(Protocol):
    """The audit log. Every method raises Unavailable."""

    async def append(self, entry: AuditEntry) -> None:
        """Returns when the entry is stored."""

    async def page(self, query: AuditQuery) -> EntryPage:
        """Returns up to `limit` entries; fewer, or none, if it has read as many as one request may read."""


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
        """Returns one page of calls, or of the calls of a number (`NumberCallsQuery`) or of an id of the provider."""

    async def list_campaigns(self, query: CampaignListQuery) -> CampaignList:
        """Returns one page of campaigns."""

    async def outcomes(self, query: OutcomesQuery) -> Outcomes:
        """Returns how far calls came, why they ended, and their outcomes over time."""
