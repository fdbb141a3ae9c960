"""Admission: which calls occupy a slot, which wait for one, and which is next. A fold of the log; pure.

A *grant* gives a due call a slot, and only a call with a slot is dialled. The slot is occupied until a later event of
the call leaves it not live: it ended, or it waits for a retry. A grant for a call that no longer waits is
*released* instead. A change of a waiting call between its grant and the dial frees the slot too: that grant is ignored,
and the call is granted another one. So the log alone determines which slots are occupied; there is no other counter.

All grants form one chain on one literal subject. Each grant is appended with a guard on the previous one. So of several
replicas exactly one grants, and a replica that has not read the last grant cannot grant at all. Grants of older builds
are on other subjects, which the guard does not cover; a replica grants nothing before it has read them (`Begun`).

Each replica folds the log into `Slots`, and all of them choose the same next call. A replica that has read the last
grant knows every occupied slot. If it has not yet read that a call ended, it only waits longer than necessary. Each
grant also carries the sequence from which a reader finds all occupied slots, so a restart reads a short part of the
log.

Campaigns take turns: the next slot goes to the campaign whose last grant is the oldest, however many calls wait in it.
In this campaign it goes to the call that is due the longest. Calls of a paused campaign keep their turn and are granted
no slot. No replica grants before it knows which campaigns are paused, and it checks the campaign at the leader before
each grant. A grant and a pause that cross within that check are both valid: a call that has its slot goes on.

Few calls are granted a slot ahead of the dialler (`Limits.max_unclaimed`). Calls beyond the account's rate limit should
wait here, where campaigns take turns, and not in the dialler's consumer, where they do not.
"""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many calls may be live at once, in all and per campaign (none: no limit), and how many unclaimed."""

    max_live: int | None
    max_live_per_campaign: int | None
    max_unclaimed: int
    """Calls with a slot whose attempt the dialler has not claimed yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A call that waits for a slot.

    `due_sequence` is the sequence of its ``call.due`` event in the log, `queue_sequence` that of its message in the
    stream ``QUEUE``.
    """

    call_id: str
    campaign_id: str
    attempt: int
    due_at: datetime
    due_sequence: int
    queue_sequence: int


@dataclass(frozen=True, slots=True)
class Granted:
    """A call was granted a slot by the event of this sequence. `is_chained`: false for a grant of an older build."""

    sequence: int
    call_id: str
    campaign_id: str
    is_chained: bool = True


@dataclass(frozen=True, slots=True)
class Released:
    """The grant of this sequence was released."""

    call_id: str
    grant_sequence: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """The dialler has claimed the attempt of the call."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision on the call has this sequence; `is_live`: whether the call is live after it."""

    sequence: int
    call_id: str
    is_live: bool


@dataclass(frozen=True, slots=True)
class Begun:
    """The reading of the log begins. The last grant that it has now is of this sequence; 0: it has none."""

    last_grant_sequence: int


SlotEvent = Begun | Granted | Released | Claimed | Decided


@dataclass(slots=True)
class Slot:
    """An occupied slot."""

    campaign_id: str
    grant_sequence: int
    is_claimed: bool = False


@dataclass(slots=True)
class Slots:
    """The fold. Call ids are opaque; sequences are those of the log unless they name the queue."""

    limits: Limits
    occupied: dict[str, Slot] = field(default_factory=dict)
    waiting: dict[str, Waiting] = field(default_factory=dict)
    last_grant_sequence: int = 0
    guard_sequence: int = 0
    """The last grant on the subject of the chain: the guard of the next one."""
    read_until_sequence: int | None = None
    """No call is next before the grant of this sequence is folded; none: the log is not read yet."""
    paused: set[str] | None = None
    """The paused campaigns; none: not known yet, so no call is next."""
    _queues: dict[str, list[tuple[datetime, int, str]]] = field(default_factory=dict)
    _last_grants: dict[str, int] = field(default_factory=dict)

    @property
    def replay_from_sequence(self) -> int:
        """The sequence from which a reader of the log finds every occupied slot."""
        return min((slot.grant_sequence for slot in self.occupied.values()), default=self.last_grant_sequence + 1)

    def reset(self) -> None:
        """Forgets the occupied slots before the log is read again. No call is next until the last grant is read."""
        self.last_grant_sequence = self.guard_sequence = 0
        self.read_until_sequence = None
        self.occupied.clear()

    def apply(self, event: SlotEvent) -> Waiting | None:
        """Folds an event of the log. Returns the call that no longer waits after it, if it waited before."""
        if isinstance(event, Begun):
            self.read_until_sequence = event.last_grant_sequence
            return None
        slot = self.occupied.get(event.call_id)
        match event:
            case Granted(sequence, call_id, campaign_id, is_chained):
                self.last_grant_sequence = self._last_grants[campaign_id] = sequence
                if is_chained:
                    self.guard_sequence = sequence
                self.occupied[call_id] = Slot(campaign_id, sequence)
                return self._stop_waiting(call_id, before=sequence)
            case Released(call_id, grant_sequence):
                if slot and slot.grant_sequence == grant_sequence:
                    del self.occupied[call_id]
            case Claimed():
                if slot:
                    slot.is_claimed = True
            case Decided(sequence, call_id, is_live):
                if slot and not is_live and slot.grant_sequence < sequence:
                    del self.occupied[call_id]
                return self._stop_waiting(call_id, before=sequence)
        return None

    def _stop_waiting(self, call_id: str, *, before: int) -> Waiting | None:
        known = self.waiting.get(call_id)
        return self.waiting.pop(call_id) if known and known.due_sequence < before else None

    def join(self, call: Waiting) -> bool:
        """Adds a waiting call, in place of an older entry of the same call. Returns False if it is outdated."""
        known, slot = self.waiting.get(call.call_id), self.occupied.get(call.call_id)
        is_newest = known is None or known.due_sequence <= call.due_sequence
        if not is_newest or (slot is not None and slot.grant_sequence > call.due_sequence):
            return False
        self.waiting[call.call_id] = call
        entry = (call.due_at, call.due_sequence, call.call_id)
        heapq.heappush(self._queues.setdefault(call.campaign_id, []), entry)
        return True

    def leave(self, call: Waiting) -> None:
        """Removes a call that no longer waits, unless a newer entry has replaced it."""
        if self.waiting.get(call.call_id) == call:
            del self.waiting[call.call_id]

    def update_paused(self, is_paused: Mapping[str, bool]) -> None:
        """Updates which campaigns are paused; the first update names all that have ever been paused."""
        now_paused = {campaign_id for campaign_id, paused in is_paused.items() if paused}
        self.paused = (self.paused or set()) - is_paused.keys() | now_paused

    def waiting_in_paused(self) -> int:
        """Returns how many calls wait in paused campaigns."""
        paused = self.paused or ()
        return sum(call.campaign_id in paused for call in self.waiting.values())

    def next_call(self) -> Waiting | None:
        """Returns the call that gets the next slot; none if no slot is free or no waiting call may use it."""
        is_read = self.read_until_sequence is not None and self.last_grant_sequence >= self.read_until_sequence
        return min(self._eligible(), key=self._turn, default=None) if is_read and self.paused is not None else None

    def grantable(self) -> int:
        """Returns how many calls could be granted a slot now, at most one of each campaign.

        While it is unknown which campaigns are paused, none counts as paused: admission is blocked then.
        """
        return len(self._eligible())

    def _eligible(self) -> list[Waiting]:
        limits, paused = self.limits, self.paused or ()
        if limits.max_live is not None and len(self.occupied) >= limits.max_live:
            return []
        if sum(not slot.is_claimed for slot in self.occupied.values()) >= limits.max_unclaimed:
            return []
        running = [campaign_id for campaign_id in self._queues if campaign_id not in paused]
        heads = [head for campaign_id in running if (head := self._head(campaign_id))]
        return [head for head in heads if self._has_room(head.campaign_id)]

    def _turn(self, call: Waiting) -> tuple[int, datetime, int]:
        return self._last_grants.get(call.campaign_id, 0), call.due_at, call.due_sequence

    def _has_room(self, campaign_id: str) -> bool:
        limit = self.limits.max_live_per_campaign
        return limit is None or sum(slot.campaign_id == campaign_id for slot in self.occupied.values()) < limit

    def _head(self, campaign_id: str) -> Waiting | None:
        """Returns the call of the campaign that is due the longest, and drops entries of calls that no longer wait."""
        queue = self._queues[campaign_id]
        while queue:
            _, due_sequence, call_id = queue[0]
            call = self.waiting.get(call_id)
            if call and call.due_sequence == due_sequence:
                return call
            heapq.heappop(queue)
        del self._queues[campaign_id]
        return None
