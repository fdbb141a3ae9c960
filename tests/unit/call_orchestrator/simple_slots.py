"""The model of `call_orchestrator.domain.slots`: the same fold without indexes, as simple as possible."""

from dataclasses import dataclass, field

from call_orchestrator.domain.campaign_slots import Slot
from call_orchestrator.domain.limits import OPEN, CampaignLimits, Limits
from call_orchestrator.domain.slot_events import Claimed, Decided, Granted, Released, SlotEvent, Waiting


@dataclass
class SimpleSlots:
    """Computes everything from all slots and all waiting calls at each question."""

    limits: Limits
    occupied: dict[str, Slot] = field(default_factory=dict)
    waiting: dict[str, Waiting] = field(default_factory=dict)
    campaigns: dict[str, CampaignLimits] = field(default_factory=dict)
    last_grants: dict[str, int] = field(default_factory=dict)

    def apply(self, event: SlotEvent) -> Waiting | None:
        """Folds an event. Returns the call that no longer waits after it."""
        match event:
            case Granted(sequence, call_id, campaign_id):
                self.last_grants[campaign_id] = sequence
                self.occupied[call_id] = Slot(campaign_id, sequence)
                return self._stop_waiting(call_id, sequence)
            case Released(call_id, grant_sequence):
                if self.occupied.get(call_id, Slot("", -1)).grant_sequence == grant_sequence:
                    del self.occupied[call_id]
            case Claimed(call_id):
                if call_id in self.occupied:
                    self.occupied[call_id].is_claimed = True
            case Decided(sequence, call_id, is_live):
                if not is_live and self.occupied.get(call_id, Slot("", sequence)).grant_sequence < sequence:
                    del self.occupied[call_id]
                return self._stop_waiting(call_id, sequence)
        return None

    def _stop_waiting(self, call_id: str, before: int) -> Waiting | None:
        known = self.waiting.get(call_id)
        return self.waiting.pop(call_id) if known and known.due_sequence < before else None

    def join(self, call: Waiting) -> bool:
        """Adds a waiting call. Returns False if it is outdated."""
        known, slot = self.waiting.get(call.call_id), self.occupied.get(call.call_id)
        if (known and known.due_sequence > call.due_sequence) or (slot and slot.grant_sequence > call.due_sequence):
            return False
        self.waiting[call.call_id] = call
        return True

    def leave(self, call: Waiting) -> None:
        """Removes a call that no longer waits."""
        if self.waiting.get(call.call_id) == call:
            del self.waiting[call.call_id]

    def replay_from_sequence(self) -> int:
        """The grant of the oldest occupied slot, or the sequence after the last grant."""
        after_last_grant = max(self.last_grants.values(), default=0) + 1
        return min((slot.grant_sequence for slot in self.occupied.values()), default=after_last_grant)

    def eligible(self) -> list[Waiting]:
        """The call of each campaign that could be granted a slot."""
        limits, slots = self.limits, self.occupied.values()
        if limits.max_live is not None and len(slots) >= limits.max_live:
            return []
        if sum(not slot.is_claimed for slot in slots) >= limits.max_unclaimed:
            return []
        with_room = {call.campaign_id for call in self.waiting.values() if self._has_room(call.campaign_id)}
        return [min((call for call in self.waiting.values() if call.campaign_id == one), key=_due) for one in with_room]

    def _has_room(self, campaign_id: str) -> bool:
        own, live = self._of(campaign_id), sum(slot.campaign_id == campaign_id for slot in self.occupied.values())
        limits = [one for one in (own.max_live, self.limits.max_live_per_campaign) if one is not None]
        return own.is_open and live < min(limits, default=live + 1)

    def _of(self, campaign_id: str) -> CampaignLimits:
        return self.campaigns.get(campaign_id, OPEN)

    def next_call(self) -> Waiting | None:
        """The call of the campaign whose last grant is the oldest."""
        return min(
            self.eligible(), key=lambda call: (self.last_grants.get(call.campaign_id, 0), *_due(call)), default=None
        )

    def waiting_in_closed(self) -> int:
        """How many calls wait in closed campaigns."""
        return sum(not self._of(call.campaign_id).is_open for call in self.waiting.values())


def _due(call: Waiting) -> tuple[object, ...]:
    return call.due_at, call.due_sequence
