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
In this campaign it goes to the call that is due the longest. A call that begins to wait while no other may use the slot
is the next one, and need not wait in the queue. A campaign is closed while it is paused, not started,
outside its period or finished: its calls keep their turn and are granted no slot. No replica grants before it knows
which campaigns are closed, and it checks the campaign at the leader before each grant. A grant and a pause that cross
within that check are both valid: a call that has its slot goes on.

`Slots` counts what a choice depends on at each event, and keeps the campaigns that may be granted a slot in the order
of their turns. So an event and a choice cost O(log n) of the waiting calls and the campaigns with them, and ended calls
leave nothing behind (law 11).

A campaign may have a pace (`call_orchestrator.domain.pace`). After each grant it has no turn until its next one is
permitted.

Few calls are granted a slot ahead of the dialler (`Limits.max_unclaimed`). Calls beyond the account's rate limit should
wait here, where campaigns take turns, and not in the dialler's consumer, where they do not.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime

from call_orchestrator.domain.campaign_slots import CampaignSlots, CampaignUsage, Slot
from call_orchestrator.domain.limits import CampaignLimits, Limits
from call_orchestrator.domain.pace import Paces
from call_orchestrator.domain.priorities import Priorities
from call_orchestrator.domain.recent_dials import RecentDials
from call_orchestrator.domain.slot_events import Begun, Claimed, Decided, Granted, Released, SlotEvent, Waiting

MAX_PAST_CAMPAIGNS = 10_000
"""Of how many campaigns without a waiting or live call the last grant is kept. Others are as if they had had none."""


class Slots:
    """The fold. Call ids are opaque; sequences are those of the log unless they name the queue."""

    def __init__(self, limits: Limits, *, max_past_campaigns: int = MAX_PAST_CAMPAIGNS) -> None:
        self.limits = limits
        self.occupied: OrderedDict[str, Slot] = OrderedDict()
        """In the order of the grants."""
        self.waiting: dict[str, Waiting] = {}
        self.closed: set[str] | None = None
        """The campaigns that are granted no slots; none: not known yet, so no call is next."""
        self._max_live: dict[str, int] = {}
        """The limits that campaigns have of their own."""
        self._paces = Paces()
        self.dials = RecentDials()
        self.last_grant_sequence = 0
        self.guard_sequence = 0
        """The last grant on the subject of the chain: the guard of the next one."""
        self._read_until_sequence: int | None = None
        """No call is next before the grant of this sequence is folded; none: the log is not read yet."""
        self._unclaimed = 0
        self._campaigns: dict[str, CampaignSlots] = {}
        self._past: OrderedDict[str, int] = OrderedDict()
        """The last grants of campaigns that have neither waiting nor live calls."""
        self._max_past = max_past_campaigns
        self._turns: Priorities[str, tuple[int, datetime, int]] = Priorities()
        """The campaigns that may be granted a slot, by their last grant and by the call that is due the longest."""

    @property
    def replay_from_sequence(self) -> int:
        """The sequence from which a reader of the log finds every occupied slot, and the grants that paces count."""
        oldest = next(iter(self.occupied.values()), None)
        sequence = oldest.grant_sequence if oldest else self.last_grant_sequence + 1
        return min(sequence, self._paces.first_sequence or sequence)

    @property
    def next_pace_at(self) -> datetime | None:
        """When the pace of a campaign permits its next grant; None if no campaign waits for its pace."""
        return self._paces.next_at

    def reset(self) -> None:
        """Forgets the occupied slots before the log is read again. No call is next until the last grant is read."""
        self.last_grant_sequence = self.guard_sequence = 0
        self._read_until_sequence = None
        self.dials.clear()
        for call_id in list(self.occupied):
            self._free(call_id)

    def apply(self, event: SlotEvent) -> Waiting | None:
        """Folds an event of the log. Returns the call that no longer waits after it, if it waited before."""
        match event:
            case Begun(last_grant_sequence):
                self._read_until_sequence = last_grant_sequence
            case Granted(sequence, call_id):
                self._occupy(event)
                return self._stop_waiting(call_id, before=sequence)
            case Released(call_id, grant_sequence):
                if (slot := self.occupied.get(call_id)) and slot.grant_sequence == grant_sequence:
                    self._end(call_id, slot)
            case Claimed(call_id, claimed_at):
                if (slot := self.occupied.get(call_id)) and not slot.is_claimed:
                    slot.is_claimed = True
                    self._unclaimed -= 1
                    if claimed_at:
                        self.dials.count(slot.campaign_id, claimed_at)
            case Decided(sequence, call_id, is_live):
                slot = self.occupied.get(call_id)
                if slot and not is_live and slot.grant_sequence < sequence:
                    self._end(call_id, slot)
                return self._stop_waiting(call_id, before=sequence)
        return None

    def join(self, call: Waiting) -> bool:
        """Adds a waiting call, in place of an older entry of the same call. Returns False if it is outdated."""
        known, slot = self.waiting.get(call.call_id), self.occupied.get(call.call_id)
        is_newest = known is None or known.due_sequence <= call.due_sequence
        if not is_newest or (slot is not None and slot.grant_sequence > call.due_sequence):
            return False
        self.waiting[call.call_id] = call
        self._campaign(call.campaign_id).queue.set(call.call_id, (call.due_at, call.due_sequence))
        self._update_turn(call.campaign_id)
        return True

    def leave(self, call: Waiting) -> None:
        """Removes a call that no longer waits, unless a newer entry has replaced it."""
        if self.waiting.get(call.call_id) == call:
            self._stop_waiting(call.call_id, before=call.due_sequence + 1)

    def update_campaigns(self, campaigns: Mapping[str, CampaignLimits]) -> None:
        """Updates the limits of campaigns; the first update names all that have an event."""
        now_closed = {campaign_id for campaign_id, one in campaigns.items() if not one.is_open}
        self.closed = (self.closed or set()) - campaigns.keys() | now_closed
        for campaign_id, one in campaigns.items():
            self._max_live.pop(campaign_id, None)
            if one.max_live is not None:
                self._max_live[campaign_id] = one.max_live
            self._paces.update(campaign_id, one.calls_per_minute)
            self._update_turn(campaign_id)

    def forget_campaigns(self) -> None:
        """Forgets the limits of campaigns. No call is next until they are known again."""
        forgotten = (self.closed or set()) | self._max_live.keys()
        self.closed = None
        self._max_live.clear()
        for campaign_id in forgotten:
            self._update_turn(campaign_id)

    def begin_paced(self, now: datetime) -> None:
        """Returns the campaigns to their turns whose pace permits a grant now."""
        for campaign_id in self._paces.due(now):
            self._update_turn(campaign_id)

    def waiting_in(self, campaign_ids: Collection[str]) -> int:
        """Returns how many calls wait in these campaigns."""
        if len(campaign_ids) > len(self._campaigns):  # most of them are finished
            return sum(len(one.queue) for campaign_id, one in self._campaigns.items() if campaign_id in campaign_ids)
        campaigns = (self._campaigns.get(campaign_id) for campaign_id in campaign_ids)
        return sum(len(campaign.queue) for campaign in campaigns if campaign)

    def next_call(self) -> Waiting | None:
        """Returns the call that gets the next slot; none if no slot is free or no waiting call may use it."""
        if not self._may_grant():
            return None
        campaign_id = self._turns.first()
        return self._head(self._campaigns[campaign_id]) if campaign_id is not None else None

    def may_use_slot(self, call_id: str, campaign_id: str) -> bool:
        """Whether a slot is free that a call may use which begins to wait. Others may come before it."""
        if not self._may_grant() or call_id in self.occupied or campaign_id in (self.closed or ()):
            return False
        campaign = self._campaigns.get(campaign_id)
        return self._has_room(campaign_id, campaign.live if campaign else 0)

    def grantable(self) -> int:
        """Returns how many calls could be granted a slot now, at most one of each campaign.

        While it is unknown which campaigns are closed, none counts as closed: admission is blocked then.
        """
        return len(self._turns) if self._is_slot_free() else 0

    @property
    def is_read(self) -> bool:
        """Whether this replica has read the last grant and all campaigns."""
        is_read = self._read_until_sequence is not None and self.last_grant_sequence >= self._read_until_sequence
        return is_read and self.closed is not None

    def usage(self) -> Iterator[CampaignUsage]:
        """Yields the campaigns with waiting or live calls."""
        return map(self.usage_of, self._campaigns)

    def usage_of(self, campaign_id: str) -> CampaignUsage:
        """Returns what a campaign occupies and what of it waits, by O(log n) of its calls."""
        campaign = self._campaigns.get(campaign_id) or CampaignSlots()
        max_live = min((limit for limit in self._limits_of(campaign_id) if limit is not None), default=None)
        return campaign.usage(campaign_id, is_open=campaign_id not in (self.closed or ()), max_live=max_live)

    def _may_grant(self) -> bool:
        return self.is_read and self._is_slot_free()

    def _limits_of(self, campaign_id: str) -> tuple[int | None, ...]:
        return self.limits.max_live_per_campaign, self._max_live.get(campaign_id)

    def _has_room(self, campaign_id: str, live: int) -> bool:
        """Whether the limits and the pace of a campaign with so many live calls permit another one."""
        has_room = all(limit is None or live < limit for limit in self._limits_of(campaign_id))
        return has_room and not self._paces.is_waiting(campaign_id)

    def _is_slot_free(self) -> bool:
        max_live = self.limits.max_live
        return (max_live is None or len(self.occupied) < max_live) and self._unclaimed < self.limits.max_unclaimed

    def _occupy(self, grant: Granted) -> None:
        self._free(grant.call_id)
        self.last_grant_sequence = grant.sequence
        if grant.is_chained:
            self.guard_sequence = grant.sequence
        self.occupied[grant.call_id] = Slot(grant.campaign_id, grant.sequence)
        if grant.granted_at:
            self._paces.count(grant.campaign_id, grant.sequence, grant.granted_at)
        self._unclaimed += 1
        campaign = self._campaign(grant.campaign_id)
        campaign.live += 1
        campaign.last_grant_sequence = grant.sequence
        self._update_turn(grant.campaign_id)

    def _end(self, call_id: str, slot: Slot) -> None:
        if not slot.is_claimed:
            self._paces.undo(slot.campaign_id, slot.grant_sequence)
        self._free(call_id)

    def _free(self, call_id: str) -> None:
        if slot := self.occupied.pop(call_id, None):
            self._unclaimed -= not slot.is_claimed
            self._campaigns[slot.campaign_id].live -= 1
            self._update_turn(slot.campaign_id)

    def _stop_waiting(self, call_id: str, *, before: int) -> Waiting | None:
        call = self.waiting.get(call_id)
        if call is None or call.due_sequence >= before:
            return None
        del self.waiting[call_id]
        self._campaigns[call.campaign_id].queue.remove(call_id)
        self._update_turn(call.campaign_id)
        return call

    def _campaign(self, campaign_id: str) -> CampaignSlots:
        """Returns the campaign, and adds it if it had no waiting or live call."""
        campaign = self._campaigns.get(campaign_id)
        if campaign is None:
            campaign = self._campaigns[campaign_id] = CampaignSlots(self._past.pop(campaign_id, 0))
        return campaign

    def _head(self, campaign: CampaignSlots) -> Waiting | None:
        """Returns the call of the campaign that is due the longest."""
        call_id = campaign.queue.first()
        return None if call_id is None else self.waiting[call_id]

    def _update_turn(self, campaign_id: str) -> None:
        """Adds the campaign to those that may be granted a slot, or removes it, after something of it has changed."""
        campaign = self._campaigns.get(campaign_id)
        if campaign is None:
            return
        head = self._head(campaign)
        if head and self._has_room(campaign_id, campaign.live) and campaign_id not in (self.closed or ()):
            self._turns.set(campaign_id, (campaign.last_grant_sequence, head.due_at, head.due_sequence))
            return
        self._turns.remove(campaign_id)
        if head is None and not campaign.live:
            del self._campaigns[campaign_id]
            self._keep_turn(campaign_id, campaign.last_grant_sequence)

    def _keep_turn(self, campaign_id: str, last_grant_sequence: int) -> None:
        if last_grant_sequence:
            self._past[campaign_id] = last_grant_sequence
        if len(self._past) > self._max_past:
            self._past.popitem(last=False)
