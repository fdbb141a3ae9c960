"""The interfaces to the orchestrator's streams, which fakes implement in tests."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from call_orchestrator.domain.slot_events import SlotEvent, Waiting
from chassis.event_log import Guard, StoredEvent
from contracts import (
    Call,
    CallCommand,
    Campaign,
    ContactAdded,
    ContactGroupAdded,
    Envelope,
    ErasedRequest,
    Event,
    NumberState,
    PersonEraseRequested,
)


@dataclass(frozen=True, slots=True)
class CampaignStates:
    """Campaigns by id, as they are after the event of a campaign with this sequence in the log."""

    sequence: int
    campaigns: Mapping[str, Campaign]


class Log(Protocol):
    """The log, as `chassis.event_log.EventLog` offers it."""

    async def last(self, subject: str) -> StoredEvent | None:
        """Returns the newest event on a filter, or none."""

    async def read(self, subjects: Sequence[str]) -> list[StoredEvent]:
        """Returns every event on these filters, in the order of the log."""

    async def append(
        self,
        event: Event,
        *,
        cause: Envelope | None = None,
        guard: Guard | None = None,
        event_id: str | None = None,
    ) -> StoredEvent:
        """Appends an event. Raises Conflict if the guard fails. The same `event_id` is stored once."""


class NumberLog(Protocol):
    """The states of numbers, as `chassis.event_log.EventLog` offers them."""

    @property
    def now(self) -> Callable[[], datetime]:
        """The present time of the server."""

    async def last(self, subject: str) -> StoredEvent | None:
        """Returns the newest event of a number, or none."""

    async def last_of_any_node(self, subject: str) -> StoredEvent | None:
        """As `last`, from any node, which may lag."""

    async def append(
        self,
        event: Event,
        *,
        cause: Envelope | None = None,
        guard: Guard | None = None,
        ttl_seconds: int | None = None,
        person: str | None = None,
    ) -> StoredEvent:
        """Appends an event, which the server removes after `ttl_seconds`. Raises Conflict if the guard fails.

        `person`: under whose key its personal fields are sealed.
        """


class Requests(Protocol):
    """The stream of requests and commands."""

    async def commands(self, call_id: UUID, after_sequence: int) -> list[StoredEvent[CallCommand]]:
        """Returns the commands of the call after this position, in the order of the stream.

        Commands that cannot be decoded are skipped: their own delivery makes them dead letters.
        """

    async def undecided_before(self, sequence: int) -> int:
        """Returns how far before this position the first undecided request is; 0 if all before it are decided."""


class ErasedRequests(Protocol):
    """The erasure of requests."""

    async def erase(self, sequence: int, record: ErasedRequest | None = None, *, is_overwritten: bool = True) -> None:
        """Erases a request. `record`: what became of it, if no decision in the log shows that.

        `is_overwritten`: false if it is sealed, so that its bytes may stay in a file until the server compacts that.
        """


class DeadLetterKeys(Protocol):
    """The keys under which the copies in dead letters are sealed."""

    async def destroy_old(self) -> None:
        """Destroys the keys whose time is over."""


class Timers(Protocol):
    """One deadline per call."""

    async def set(self, call: Call, fires_at: datetime, *, previous: Call | None, cause: Envelope) -> None:
        """Schedules the timer of the call, and removes that of `previous`: the call before the last event, if known."""

    async def wake(
        self, call: Call, cause: Envelope, *, is_number_free: bool = False, is_campaign_finished: bool = False
    ) -> None:
        """Fires the timer of a call early, for the reason that is given."""

    def calls(self) -> AsyncIterator[UUID]:
        """Yields the calls that have a timer: those that wait or are live."""

    async def clear(self, previous: Call) -> None:
        """Removes the timer of a call that has ended; `previous` is its last state with a deadline."""


class Queue(Protocol):
    """The calls that wait for a slot."""

    async def join(self, call: Call, *, due_sequence: int, cause: Envelope) -> None:
        """Adds the call, which has waited since the event `due_sequence`. Replaces an earlier entry of the call."""

    async def leave(self, queue_sequence: int) -> None:
        """Removes the entry of this sequence. Has no effect if the entry was removed or replaced."""


class WaitingContacts(Protocol):
    """The contacts of campaigns that wait for their calls."""

    async def add(self, contact: ContactAdded, group: ContactGroupAdded, cause: Envelope) -> bool:
        """Adds the contact, and before it its group. Returns False if its number already waits in the campaign.

        The same `cause` adds its contact once while the contact waits, and returns True each time.
        """


class PersonalMessages(Protocol):
    """What the streams contain about a person, beside the log. `person`: the digest of the telephone number."""

    async def open_calls(self, person: str) -> list[UUID]:
        """Returns the calls of the person that have not ended, at a cost that other calls do not raise."""

    async def has_unsealed_calls(self, person: str) -> bool:
        """Whether the log has calls of the person in clear. Reads the log, unless its first call is sealed."""

    async def cancel(self, call_id: UUID, cause: Envelope) -> None:
        """Sends the command to cancel the call. The same `cause` cancels a call once."""

    async def contacts(self, person: str) -> list[StoredEvent[ContactAdded]]:
        """Returns the waiting contacts of the person."""

    async def remove_contact(self, sequence: int) -> None:
        """Removes a waiting contact."""

    async def remove_dead_letters(self, person: str) -> int:
        """Removes the dead letters whose message names the person, and returns how many there were."""


class NumberStates(Protocol):
    """The states of all numbers."""

    def all(self) -> AsyncIterator[NumberState]:
        """Yields the newest state of each number that has one."""


class PersonCommands(Protocol):
    """The commands about persons."""

    async def erase(self, command: PersonEraseRequested, *, cause: Envelope | None = None) -> None:
        """Sends the command to erase a person, once for each cause.

        Without a cause, one that was sent shortly before is not sent again.
        """


class Keys(Protocol):
    """The keys of persons, as `chassis.keyring.Keyring` offers them."""

    async def destroy(self, person: str) -> bool:
        """Destroys the key of a person; returns whether there was one at any time."""


class Feeds(Protocol):
    """What admission follows. Each feed begins with the present state and never ends."""

    def slot_events(self) -> AbstractAsyncContextManager[AsyncIterator[list[SlotEvent]]]:
        """Yields the events about slots in log order, from where a reader finds every occupied slot."""

    def waiting(self) -> AbstractAsyncContextManager[AsyncIterator[list[Waiting]]]:
        """Yields the calls that wait for a slot; some of them may no longer wait."""

    def campaigns(self) -> AbstractAsyncContextManager[AsyncIterator[CampaignStates]]:
        """Yields the states of campaigns: first every campaign with an event, then each change."""


@dataclass(frozen=True, slots=True)
class TakenContact:
    """A contact that the server has delivered. It is delivered again unless it is acknowledged.

    `put_back`: has it delivered again after this many seconds.
    """

    stored: StoredEvent[ContactAdded]
    acknowledge: Callable[[], Awaitable[None]]
    put_back: Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class WaitingPerson:
    """Whom a waiting contact is about, by the digest of the number, and when the server stored it."""

    number_digest: str
    sequence: int
    added_at: datetime


class ContactQueue(Protocol):
    """The contacts that wait, in groups of a campaign whose members have the same calling hours."""

    def groups(self) -> AbstractAsyncContextManager[AsyncIterator[list[ContactGroupAdded]]]:
        """Yields all groups: first those that exist, then each new one."""

    async def take(self, campaign_id: str, zone_group: str, count: int, wait_seconds: float) -> list[TakenContact]:
        """Returns up to `count` contacts of a group. If there is none, waits this long for one."""

    async def last_sequence(self) -> int:
        """Returns the position of the newest contact or group."""

    async def count(self, campaign_id: str, until_sequence: int) -> int:
        """Returns how many contacts of the campaign wait up to this position, delivered ones included."""

    async def persons(self, campaign_id: str, after_sequence: int, until_sequence: int) -> Sequence[WaitingPerson]:
        """Returns the persons of the oldest contacts of a campaign between these positions; none: there are no more."""

    async def remove(self, campaign_id: str, until_sequence: int) -> None:
        """Removes the contacts of a campaign up to this position."""

    async def remove_groups(self, campaign_id: str, zone_groups: Iterable[str], until_sequence: int) -> None:
        """Removes the groups of a campaign up to this position."""
