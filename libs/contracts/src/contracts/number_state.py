"""The state of a telephone number, which every ``number.changed`` event carries (law 1).

A number that is neither listed nor dialled has no event. `application.number_claims` of call-orchestrator explains how
the state keeps two calls from dialling the same number.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field

from contracts.instants import Instant
from contracts.personal import PersonalText
from contracts.values import CallId
from contracts.vocabulary import MAX_DIALS, DoNotCallSource

MAX_WAITING = 64
"""How many calls are woken when a number is free. Further ones ask again by their timers."""

MAX_ENTRIES = 256
"""On how many lists a number is at most. Opt-outs, and entries for all campaigns, are accepted beyond that."""


class ListScope(NamedTuple):
    """A do-not-call list: that of one campaign, a named one, or that of all campaigns if neither is given."""

    campaign_id: str | None = None
    list_name: str | None = None


ALL_CAMPAIGNS = ListScope()


class DoNotCallEntry(BaseModel):
    """Whether the number is on a do-not-call list. The newest change of a list determines it."""

    model_config = ConfigDict(frozen=True, extra="allow")

    campaign_id: str | None = Field(default=None, description="null: a named list, or that of all campaigns")
    list_name: str | None = Field(default=None, description="null: the list of the campaign, or that of all campaigns")
    is_listed: bool = Field(default=True, description="false: the entry was removed")
    changed_at: Instant = Field(description="when the server stored the request or the fact that led to the entry")
    source: DoNotCallSource
    call_id: CallId | None = Field(default=None, description="the call in which the person opted out")

    @property
    def scope(self) -> ListScope:
        """The list that has the number."""
        return ListScope(self.campaign_id, self.list_name)


class LiveAttempt(BaseModel):
    """The attempt that may dial the number. No other one may meanwhile."""

    model_config = ConfigDict(frozen=True, extra="allow")

    call_id: CallId
    attempt: int
    grant_sequence: int = Field(description="sequence of the grant that the attempt begins with")
    dialed_at: Instant = Field(description="when the attempt began")
    undialled_attempts: int = Field(default=0, description="undialled attempts of the call before this one")


class WaitingCall(BaseModel):
    """A call that waits until no other call dials the number."""

    model_config = ConfigDict(frozen=True, extra="allow")

    call_id: CallId
    campaign_id: str
    due_at: Instant | None = Field(
        default=None, description="until when it was put off; null: noted by a build that did not record it"
    )


class NumberState(BaseModel):
    """A number as it is after an event. The digest stands for the number, which is present only while it is listed."""

    model_config = ConfigDict(frozen=True, extra="allow")

    number_digest: str
    phone_number: PersonalText | None = Field(default=None, description="E.164, while an entry lists it")
    do_not_call: tuple[DoNotCallEntry, ...] = ()
    live: LiveAttempt | None = None
    dialed_at: tuple[Instant, ...] = Field(
        default=(), description="when ended attempts dialled the number, as far back as the longest cap; oldest first"
    )

    waiting: tuple[WaitingCall, ...] = Field(
        default=(), description="the calls that wait for the number; those that wait the longest first"
    )
    erased_at: Instant | None = Field(
        default=None, description="requests and contacts that were stored until then lead to no call of this person"
    )
    kept_until: Instant | None = Field(
        default=None, description="when the personal data of its ended calls is erased; null: no call asks for it"
    )

    @property
    def is_listed(self) -> bool:
        """Whether an entry lists the number, in all campaigns or in one."""
        return any(entry.is_listed for entry in self.do_not_call)

    def listing(self, campaign_id: str, list_names: Iterable[str] = ()) -> DoNotCallEntry | None:
        """Returns the entry that forbids calls of this campaign, to which the named lists apply.

        Of several, that of all campaigns, then that of the campaign, then the first of the named lists.
        """
        listed = {entry.scope: entry for entry in self.do_not_call if entry.is_listed}
        scopes = (ALL_CAMPAIGNS, ListScope(campaign_id), *(ListScope(list_name=name) for name in list_names))
        return next((listed[scope] for scope in scopes if scope in listed), None)

    def may_be_listed(self, scope: ListScope) -> bool:
        """Whether another list may have the number, too: that of all campaigns always may."""
        listed = {entry.scope for entry in self.do_not_call if entry.is_listed}
        return scope == ALL_CAMPAIGNS or scope in listed or len(listed) < MAX_ENTRIES

    def is_outdated(self, entry: DoNotCallEntry) -> bool:
        """Whether a later change of the same list contradicts this one."""
        return any(
            one.scope == entry.scope and one.changed_at > entry.changed_at and one.is_listed != entry.is_listed
            for one in self.do_not_call
        )

    def with_entry(self, entry: DoNotCallEntry, phone_number: str | None) -> Self:
        """Returns the number after a change of one list; unchanged if a later change of this list was applied.

        Changes may arrive in any order. Of two at the same instant, the one that lists the number counts.
        """
        known = next((one for one in self.do_not_call if one.scope == entry.scope), None)
        if known and (known.changed_at, known.is_listed) >= (entry.changed_at, entry.is_listed):
            return self
        others = tuple(one for one in self.do_not_call if one.scope != entry.scope)
        after = self.model_copy(update={"do_not_call": _bounded((*others, entry))})
        number = (phone_number or self.phone_number) if after.is_listed else None
        return after.model_copy(update={"phone_number": number})

    def erased(self, began_at: datetime) -> Self:
        """Returns the number after the erasure of its person began. Its entries and dials stay: they forbid calls."""
        erased_at = max(self.erased_at or began_at, began_at)
        return self.model_copy(update={"erased_at": erased_at, "phone_number": None, "kept_until": None})

    def kept(self, until: datetime) -> Self:
        """Returns the number whose personal data is kept at least until this instant."""
        return self.model_copy(update={"kept_until": max(self.kept_until or until, until)})

    def claimed(self, live: LiveAttempt) -> Self:
        """Returns the number while this attempt dials it."""
        return self.without_waiting([live.call_id]).model_copy(update={"live": live})

    def with_waiting(self, call: WaitingCall) -> Self:
        """Returns the number for which the call waits, too, unless `MAX_WAITING` wait. A call keeps its place."""
        place = self.place_of(call.call_id)
        if place >= MAX_WAITING or call in self.waiting:
            return self
        return self.model_copy(update={"waiting": (*self.waiting[:place], call, *self.waiting[place + 1 :])})

    def without_waiting(self, call_ids: Collection[CallId]) -> Self:
        """Returns the number for which these calls do not wait."""
        waiting = tuple(one for one in self.waiting if one.call_id not in call_ids)
        return self if waiting == self.waiting else self.model_copy(update={"waiting": waiting})

    def place_of(self, call_id: CallId) -> int:
        """Returns how many calls wait longer than this one."""
        return next((place for place, one in enumerate(self.waiting) if one.call_id == call_id), len(self.waiting))

    def released(self, *, is_dialled: bool) -> Self:
        """Returns the number without its live attempt, whose dial counts unless it did not reach the network."""
        dials = (*self.dialed_at, self.live.dialed_at) if self.live and is_dialled else self.dialed_at
        return self.model_copy(update={"live": None, "dialed_at": tuple(sorted(dials))[-MAX_DIALS:]})

    def without_dials_before(self, instant: datetime) -> Self:
        """Returns the number with its newer dials only."""
        return self.model_copy(update={"dialed_at": tuple(dialed for dialed in self.dialed_at if dialed > instant)})


def _bounded(entries: tuple[DoNotCallEntry, ...]) -> tuple[DoNotCallEntry, ...]:
    """Returns the entries without the oldest removed ones beyond `MAX_ENTRIES`.

    A removed entry only prevents that an older command, which is delivered late, lists the number again.
    """
    removed = sorted((one.changed_at for one in entries if not one.is_listed), reverse=True)
    room = max(MAX_ENTRIES - (len(entries) - len(removed)), 1)
    if len(removed) <= room:
        return entries
    oldest_at = removed[room - 1]
    return tuple(one for one in entries if one.is_listed or one.changed_at >= oldest_at)
