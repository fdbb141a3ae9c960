"""Who holds a slot, who waits for one, and who is next: all of it a fold of the log, nothing counted beside it.

Theory. A grant gives a call a slot. The slot is held until a later event of the call says that it is not live (it
ended, or waits again), or until the grant is released because the call waited no more when it came. Grants stand in one
order, so whoever has folded the log up to the last grant knows of every slot that is held; to have seen an end late
only means to wait longer. Campaigns take turns: the one whose last grant lies furthest back is next, whatever its
backlog. A paused campaign's calls keep their places, and none of them is next until it is resumed.
"""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many calls may be live at once, in all and of a campaign (none: any number), and how many of them may be on
    their way to the dialler, which is where they wait for the account's pace."""

    live: int | None
    live_of_campaign: int | None
    on_the_way: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A call that waits for a slot.

    `due` is the sequence of the event by which it came to wait, `place` that of its message in the queue.
    """

    call_id: str
    campaign_id: str
    attempt: int
    due_at: datetime
    due: int
    place: int


@dataclass(slots=True)
class Slot:
    """A slot that is held: since the grant of this sequence, and whether the dialler has taken the attempt up."""

    campaign_id: str
    granted: int
    claimed: bool = False


@dataclass(slots=True)
class Slots:
    """The fold. Call ids are opaque; sequences are those of the log."""

    limits: Limits
    held: dict[str, Slot] = field(default_factory=dict)
    waiting: dict[str, Waiting] = field(default_factory=dict)
    last_grant: int = 0
    paused: set[str] | None = None
    """The campaigns that are paused; none: that is not known yet, so nobody is next."""
    _queues: dict[str, list[tuple[datetime, int, str]]] = field(default_factory=dict)
    _turns: dict[str, int] = field(default_factory=dict)

    @property
    def since(self) -> int:
        """The sequence from which the log tells of every slot that is held."""
        return min((slot.granted for slot in self.held.values()), default=self.last_grant + 1)

    def forget(self) -> None:
        """Everything is read again; until then nothing can be granted, since the last grant is not known."""
        self.last_grant = 0
        self.held.clear()

    def granted(self, sequence: int, call_id: str, campaign_id: str) -> None:
        """A call was given a slot, and waits no more."""
        self.last_grant = self._turns[campaign_id] = sequence
        self.held[call_id] = Slot(campaign_id, sequence)
        known = self.waiting.get(call_id)
        if known and known.due < sequence:
            del self.waiting[call_id]

    def claimed(self, call_id: str) -> None:
        """The dialler has taken the attempt up."""
        if slot := self.held.get(call_id):
            slot.claimed = True

    def released(self, call_id: str, granted: int) -> None:
        """The grant of this sequence was in vain."""
        if (slot := self.held.get(call_id)) and slot.granted == granted:
            del self.held[call_id]

    def stands(self, sequence: int, call_id: str, *, live: bool) -> Waiting | None:
        """A decision on the call, and whether it is live after it. Returns what it made wait no more, if anything."""
        slot = self.held.get(call_id)
        if slot and not live and slot.granted < sequence:
            del self.held[call_id]
        known = self.waiting.get(call_id)
        return self.waiting.pop(call_id) if known and known.due < sequence else None

    def joined(self, call: Waiting) -> None:
        """A call waits for a slot; what was known of its waiting before is replaced by what is newer."""
        known, slot = self.waiting.get(call.call_id), self.held.get(call.call_id)
        if (known is None or known.due <= call.due) and (slot is None or slot.granted < call.due):
            self.waiting[call.call_id] = call
            heapq.heappush(self._queues.setdefault(call.campaign_id, []), (call.due_at, call.due, call.call_id))

    def left(self, call: Waiting) -> None:
        """The call waits no more, as its own log says."""
        if self.waiting.get(call.call_id) == call:
            del self.waiting[call.call_id]

    def campaigns(self, paused: Mapping[str, bool]) -> None:
        """Whether campaigns are paused: at first all that ever were, then those of which something new is said."""
        now = {campaign_id for campaign_id, is_paused in paused.items() if is_paused}
        self.paused = (self.paused or set()) - paused.keys() | now

    def waiting_paused(self) -> int:
        """How many calls wait in paused campaigns."""
        paused = self.paused or ()
        return sum(call.campaign_id in paused for call in self.waiting.values())

    def next(self) -> Waiting | None:
        """Who is given the next slot; none if there is no room, or nobody whom there is room for."""
        limits, paused = self.limits, self.paused
        if paused is None:
            return None
        if limits.live is not None and len(self.held) >= limits.live:
            return None
        if sum(not slot.claimed for slot in self.held.values()) >= limits.on_the_way:
            return None
        running = [campaign_id for campaign_id in self._queues if campaign_id not in paused]
        heads = [head for campaign_id in running if (head := self._head(campaign_id))]
        able = [head for head in heads if self._has_room(head.campaign_id)]
        return min(able, key=lambda head: (self._turns.get(head.campaign_id, 0), head.due_at, head.due), default=None)

    def _has_room(self, campaign_id: str) -> bool:
        most = self.limits.live_of_campaign
        return most is None or sum(slot.campaign_id == campaign_id for slot in self.held.values()) < most

    def _head(self, campaign_id: str) -> Waiting | None:
        """The call of the campaign that has been due the longest; those that wait no more are dropped on the way."""
        queue = self._queues[campaign_id]
        while queue:
            _, due, call_id = queue[0]
            call = self.waiting.get(call_id)
            if call and call.due == due:
                return call
            heapq.heappop(queue)
        del self._queues[campaign_id]
        return None
