"""Which calls occupy a slot and which call is next, computed from the log."""

from datetime import timedelta

from call_orchestrator.domain.limits import OPEN, CampaignLimits, Limits
from call_orchestrator.domain.slot_events import Begun, Claimed, Decided, Granted, Released, Waiting
from call_orchestrator.domain.slots import Slots
from centralita.docs.state_machine import NOW

CLOSED = CampaignLimits(is_open=False)


def empty(live: int | None = None, *, per_campaign: int | None = None, unclaimed: int = 100) -> Slots:
    slots = Slots(Limits(max_live=live, max_live_per_campaign=per_campaign, max_unclaimed=unclaimed))
    slots.apply(Begun(0))
    slots.update_campaigns({})
    return slots


def waiting(call_id: str, campaign_id: str = "reminders", *, due: int = 1, minutes: float = 0) -> Waiting:
    return Waiting(
        call_id=call_id,
        campaign_id=campaign_id,
        attempt=1,
        due_at=NOW + timedelta(minutes=minutes),
        due_sequence=due,
        queue_sequence=due,
    )


def grants(slots: Slots, count: int) -> list[str]:
    """Grants slots to the next `count` calls and returns their ids."""
    granted: list[str] = []
    for sequence in range(1000, 1000 + count):
        call = slots.next_call()
        if call is None:
            break
        slots.apply(Granted(sequence + slots.last_grant_sequence, call.call_id, call.campaign_id))
        granted.append(call.call_id)
    return granted


def test_no_more_calls_are_live_than_the_limit_allows() -> None:
    slots = empty(live=2)
    for number in range(3):
        slots.join(waiting(f"c{number}", due=number))
    assert grants(slots, 3) == ["c0", "c1"]
    slots.apply(Decided(5000, "c0", is_live=True))
    assert slots.next_call() is None, "it rings"
    slots.apply(Decided(5001, "c0", is_live=False))
    assert grants(slots, 1) == ["c2"]


def test_a_campaign_has_its_own_limit_and_another_one_fills_the_rest() -> None:
    slots = empty(live=3, per_campaign=1)
    for number, campaign in enumerate("aabbcc"):
        slots.join(waiting(f"{campaign}{number}", campaign, due=number))
    assert grants(slots, 6) == ["a0", "b2", "c4"]


def test_the_lower_of_both_limits_of_a_campaign_counts_and_it_can_change() -> None:
    slots = empty(per_campaign=2)
    slots.update_campaigns({"a": CampaignLimits(max_live=1), "b": CampaignLimits(max_live=9)})
    for number, campaign in enumerate("aaabbbccc"):
        slots.join(waiting(f"{campaign}{number}", campaign, due=number))
    assert grants(slots, 9) == ["a0", "b3", "c6", "b4", "c7"]
    slots.update_campaigns({"a": CampaignLimits(max_live=2)})
    assert grants(slots, 9) == ["a1"]
    slots.update_campaigns({"a": CampaignLimits(max_live=1)})
    slots.apply(Decided(9000, "a0", is_live=False))
    assert grants(slots, 9) == [], "one call is live, which is the limit now"
    slots.update_campaigns({"a": OPEN})
    assert grants(slots, 9) == ["a2"]


def test_limits_of_campaigns_are_forgotten_before_they_are_read_again() -> None:
    slots = empty()
    slots.update_campaigns({"a": CampaignLimits(max_live=1), "b": CLOSED})
    for number, campaign in enumerate("aabb"):
        slots.join(waiting(f"{campaign}{number}", campaign, due=number))
    assert grants(slots, 9) == ["a0"]
    slots.forget_campaigns()
    assert slots.next_call() is None
    slots.update_campaigns({})
    assert grants(slots, 9) == ["b2", "a1", "b3"]


def test_a_small_campaign_takes_turns_with_a_large_one_that_was_first() -> None:
    slots = empty()
    for number in range(50):
        slots.join(waiting(f"large{number}", "large", due=number))
    assert grants(slots, 5) == [f"large{number}" for number in range(5)]
    for number in range(3):
        slots.join(waiting(f"small{number}", "small", due=100 + number, minutes=5))
    assert grants(slots, 6) == ["small0", "large5", "small1", "large6", "small2", "large7"]


def test_within_a_campaign_the_call_that_is_due_the_longest_is_next() -> None:
    slots = empty()
    slots.join(waiting("later", due=1, minutes=1))
    slots.join(waiting("earlier", due=2, minutes=0))
    assert grants(slots, 2) == ["earlier", "later"]


def test_few_calls_are_granted_ahead_of_the_dialler() -> None:
    slots = empty(unclaimed=2)
    for number in range(3):
        slots.join(waiting(f"c{number}", due=number))
    assert grants(slots, 3) == ["c0", "c1"]
    slots.apply(Claimed("c0"))
    assert grants(slots, 1) == ["c2"]


def test_a_release_frees_only_the_slot_of_its_grant() -> None:
    slots = empty(live=1)
    slots.apply(Granted(10, "c", "reminders"))
    slots.apply(Released("c", 9))
    assert list(slots.occupied) == ["c"], "the release of an older grant"
    slots.apply(Released("c", 10))
    assert not slots.occupied


def test_an_end_before_the_grant_does_not_free_the_slot_of_the_grant() -> None:
    slots = empty(live=1)
    slots.apply(Granted(10, "c", "reminders"))
    slots.apply(Decided(9, "c", is_live=False))
    assert list(slots.occupied) == ["c"]


def test_a_canceled_or_changed_call_stops_waiting_until_it_joins_again() -> None:
    slots = empty()
    slots.join(waiting("c", due=5))
    assert slots.apply(Decided(5, "c", is_live=False)) is None, "the event by which it joined"
    assert slots.apply(Decided(6, "c", is_live=False)) == waiting("c", due=5)
    assert slots.next_call() is None
    slots.join(waiting("c", due=7))
    assert grants(slots, 2) == ["c"]


def test_a_repeated_queue_entry_of_a_call_with_a_slot_is_ignored() -> None:
    slots = empty()
    assert slots.join(waiting("c", due=5))
    assert slots.apply(Granted(6, "c", "reminders")) == waiting("c", due=5)
    assert not slots.join(waiting("c", due=5))
    assert slots.next_call() is None
    assert slots.join(waiting("c", due=7))


def test_the_log_must_be_read_from_the_oldest_grant_of_an_occupied_slot() -> None:
    slots = empty()
    assert slots.replay_from_sequence == 1
    slots.apply(Granted(10, "a", "reminders"))
    slots.apply(Granted(20, "b", "reminders"))
    assert slots.replay_from_sequence == 10
    slots.apply(Decided(25, "a", is_live=False))
    assert slots.replay_from_sequence == 20
    slots.apply(Decided(26, "b", is_live=False))
    assert slots.replay_from_sequence == 21, "no slot is occupied: after the last grant"


def test_no_call_is_next_before_the_last_grant_that_the_log_has_is_read() -> None:
    slots = Slots(Limits(max_live=2, max_live_per_campaign=None, max_unclaimed=100))
    slots.update_campaigns({})
    slots.join(waiting("c", due=30))
    assert slots.next_call() is None, "the log is not read yet"
    slots.apply(Begun(20))
    slots.apply(Granted(10, "a", "reminders", is_chained=False))
    assert slots.next_call() is None
    slots.apply(Granted(20, "b", "reminders", is_chained=False))
    assert slots.next_call() is None, "no slot is free"
    slots.apply(Decided(31, "a", is_live=False))
    assert slots.next_call() == waiting("c", due=30)
    slots.reset()
    assert slots.next_call() is None


def test_grants_of_older_builds_are_no_guard() -> None:
    slots = empty()
    slots.apply(Granted(10, "a", "reminders", is_chained=False))
    assert (slots.last_grant_sequence, slots.guard_sequence) == (10, 0)
    slots.apply(Granted(11, "b", "reminders"))
    assert (slots.last_grant_sequence, slots.guard_sequence) == (11, 11)


def test_no_call_is_next_before_the_paused_campaigns_are_known() -> None:
    slots = empty()
    slots.forget_campaigns()
    slots.join(waiting("c"))
    assert slots.next_call() is None
    slots.update_campaigns({"reminders": OPEN})
    assert grants(slots, 2) == ["c"]


def test_calls_of_a_paused_campaign_keep_their_turn_and_others_are_next() -> None:
    slots = empty()
    for number in range(3):
        slots.join(waiting(f"paused{number}", "paused", due=number))
    assert grants(slots, 1) == ["paused0"]
    slots.update_campaigns({"paused": CLOSED})
    slots.join(waiting("late", "late", due=9, minutes=60))
    assert grants(slots, 9) == ["late"]
    assert set(slots.occupied) == {"paused0", "late"}, "a granted slot stays"
    assert slots.waiting_in(slots.closed or ()) == 2
    slots.update_campaigns({"another": CLOSED})
    assert slots.next_call() is None, "paused is still paused"
    slots.update_campaigns({"paused": OPEN})
    assert grants(slots, 9) == ["paused1", "paused2"]
    assert slots.waiting_in(slots.closed or ()) == 0


def test_a_resumed_campaign_takes_turns_and_gets_no_extra_slots_for_its_pause() -> None:
    slots = empty()
    slots.update_campaigns({"paused": CLOSED})
    for number in range(3):
        slots.join(waiting(f"paused{number}", "paused", due=number))
        slots.join(waiting(f"other{number}", "other", due=10 + number))
    assert grants(slots, 1) == ["other0"]
    slots.update_campaigns({"paused": OPEN})
    assert grants(slots, 9) == ["paused0", "other1", "paused1", "other2", "paused2"]


def test_a_call_of_a_paused_campaign_can_stop_waiting() -> None:
    slots = empty()
    slots.update_campaigns({"paused": CLOSED})
    slots.join(waiting("c", "paused", due=5))
    assert slots.apply(Decided(6, "c", is_live=False)) == waiting("c", "paused", due=5)
    slots.update_campaigns({"paused": OPEN})
    assert slots.next_call() is None
