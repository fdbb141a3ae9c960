"""What the edge needs from NATS and from other services, each replaced by a fake in tests."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

from chassis.event_log import Guard, StoredEvent, UnreadableEvent
from contracts import (
    CallList,
    CallListQuery,
    CampaignCalls,
    CampaignCallsQuery,
    CampaignList,
    CampaignListQuery,
    CampaignStatistics,
    CommandOutcome,
    ContactAdded,
    ContactGroupAdded,
    Envelope,
    Event,
    NumberState,
)
from contracts.audit import AuditEntry
from contracts.queries import CallingTimes, CallingTimesQuery
from telephony.instructions import PlayTurn


class Unavailable(Exception):
    """NATS or another service does not answer; the same request may succeed later."""


class Unreadable(Unavailable):
    """An event of the call cannot be decoded by this build; another replica, or the next deploy, can."""


class TooLarge(Exception):
    """The request is larger than the maximum NATS message."""


class BacklogFull(Exception):
    """So many calls wait for a slot that no further one is accepted; the same request may succeed later."""


class SpeechUnavailable(Exception):
    """Voice has no audio for this turn."""


class CallLog(Protocol):
    """The log of calls. Every method raises Unavailable; those that return events also raise Unreadable."""

    async def last(self, subject: str) -> StoredEvent | None:
        """Returns the newest event on a filter, from the leader."""

    async def last_of_any_node(self, subject: str) -> StoredEvent | None:
        """Returns the newest event on a filter, from any node, which may lag."""

    async def read(self, subjects: Sequence[str]) -> list[StoredEvent]:
        """Returns every event on these filters, in log order, as new as the leader's."""

    async def read_after(
        self,
        subject: str,
        after_sequence: int,
        *,
        known_sequence: int | None = None,
        kinds: Collection[type[Event]] | None = None,
    ) -> list[StoredEvent]:
        """Returns the events on a filter after a sequence near the end, of these types, in log order.

        From any node: the newest may be missing, except up to `known_sequence`.
        """

    async def append(
        self, event: Event, *, cause: Envelope | None, event_id: str, guard: Guard | None = None
    ) -> StoredEvent:
        """Appends an event and returns it. Raises chassis.event_log.Conflict if the guard fails.

        An event with the same id is stored once: a second append leaves the first one as it is.
        """


class DisplayedLog(CallLog, Protocol):
    """The log of calls, for people too."""

    async def read_all(self, subjects: Sequence[str]) -> list[StoredEvent | UnreadableEvent]:
        """As `read`, with an UnreadableEvent in place of each event that cannot be decoded."""


OnOutcome = Callable[[CommandOutcome], Awaitable[None]]
"""Called with the outcome of a request."""


class Requests(Protocol):
    """Requests and commands for the orchestrator."""

    async def send(
        self,
        request: Event,
        message_id: str | None = None,
        *,
        on_late_outcome: OnOutcome | None = None,
        person: str | None = None,
    ) -> CommandOutcome | None:
        """Stores the request and returns its outcome; None if there is no outcome in time.

        A request that contains no number is sealed under the key of `person`, the digest of its call's number.

        A request with the same `message_id` is decided once; without one, every request has its own. A request without
        an outcome is stored, and is decided later; `on_late_outcome` is then called with the outcome, unless it is
        very late or this process ends before it. Raises Unavailable and TooLarge.
        """


class Backlog(Protocol):
    """The calls that wait for a slot and the requests that are not decided yet, and their limit."""

    async def check(self, count: int = 1) -> None:
        """Raises BacklogFull if the limit is reached; otherwise counts that many requests as undecided."""


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


class Statistics(Protocol):
    """What campaign-stats reads from MongoDB. Every method raises Unavailable."""

    async def of(self, campaign_id: str | None) -> CampaignStatistics:
        """Returns the counters of one campaign, or of all."""

    async def calls(self, query: CampaignCallsQuery) -> CampaignCalls:
        """Returns one page of the ids of a campaign's calls."""

    async def list_calls(self, query: CallListQuery) -> CallList:
        """Returns one page of calls, newest first."""

    async def list_campaigns(self, query: CampaignListQuery) -> CampaignList:
        """Returns one page of campaigns."""


class Importer(Protocol):
    """Adds the contacts of one import, or in a dry run finds out which ones would be added."""

    async def prepare(self, digests: Collection[str]) -> None:
        """Makes what is needed to add contacts with these numbers, all together. Raises Unavailable."""

    async def add(self, contact: ContactAdded, line: int, on_result: Callable[[bool], None]) -> None:
        """Begins to add a contact; waits while too many are in progress.

        `on_result` is called later: True if the contact is added, False if its number waits already. Raises
        Unavailable.
        """

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


FeedEvent = StoredEvent | UnreadableEvent
"""An event of the log, or the reasons why this build cannot decode it."""


class Selection(Protocol):
    """Which events a stream contains."""

    def may_include(self, subject: str) -> bool:
        """Whether events with this subject may be included. Called for each message of the log."""

    def includes(self, event: FeedEvent) -> bool:
        """Whether the event is included, if its subject may be."""


class LiveEvents(Protocol):
    """The events of one stream that are stored after `start_sequence`, in the order of the log."""

    start_sequence: int

    async def next(self, ends_at: float) -> FeedEvent | None:
        """Returns the next event; None at `ends_at` (time of the event loop), and if the stream cannot continue."""


class EventFeed(Protocol):
    """The events of the log, as they are stored."""

    def subscribe(self, selection: Selection) -> AbstractAsyncContextManager[LiveEvents]:
        """Yields the events from now on. Entering raises Unavailable."""

    def read(self, selection: Selection, *, after_sequence: int, end_sequence: int) -> AsyncGenerator[FeedEvent, None]:
        """Yields the stored decisions between two sequences, without the first. Raises Unavailable."""

    async def last_sequence(self) -> int:
        """Returns the sequence of the newest event. Raises Unavailable."""


class Speech(Protocol):
    """The synthesized speech of voice."""

    def stream_turn(self, turn: PlayTurn) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Yields the turn's ``audio/mpeg`` during its synthesis. Entering raises SpeechUnavailable."""
