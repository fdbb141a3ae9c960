"""The pace of campaigns: how many grants a minute has at most, and that it is reached."""

from datetime import datetime, timedelta
from math import ceil

from hypothesis import given
from hypothesis import strategies as st
from tests.builders.calls import NOW

from call_orchestrator.domain.limits import CampaignLimits, Limits
from call_orchestrator.domain.pace import CATCH_UP, MARGIN, MAX_CAMPAIGNS, Paces
from call_orchestrator.domain.slot_events import Begun, Claimed, Decided, Granted, Waiting
from call_orchestrator.domain.slots import Slots

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
ERROR = MARGIN - CATCH_UP
UNLIMITED = Limits(max_live=None, max_live_per_campaign=None, max_unclaimed=10_000)


def permitted_at(paces: Paces) -> datetime:
    """Returns when the next grant of the campaign is permitted, which then waits no longer."""
    at = paces.next_at
    assert at
    assert paces.due(at - SECOND / 1_000_000) == []
    assert paces.due(at) == ["a"]
    return at


@given(
    st.sampled_from([0.5, 1, 7, 60, 600, 6_000]),
    st.lists(st.timedeltas(-ERROR, 3 * SECOND) | st.timedeltas(timedelta(), CATCH_UP), min_size=1, max_size=80),
)
def test_no_minute_has_more_grants_than_the_pace_whatever_their_delays(
    calls_per_minute: float, delays: list[timedelta]
) -> None:
    paces, stored = Paces(), [NOW]
    paces.update("a", calls_per_minute)
    paces.count("a", 1, NOW)
    for sequence, delay in enumerate(delays, start=2):
        stored.append(max(permitted_at(paces) + delay, stored[-1] + SECOND / 1_000_000))
        paces.count("a", sequence, stored[-1])
    most = max(sum(begin <= at < begin + MINUTE for at in stored) for begin in stored)
    assert most <= ceil(calls_per_minute)


@given(
    st.sampled_from([60, 600, 6_000]),
    st.lists(st.tuples(st.timedeltas(timedelta(), CATCH_UP), st.booleans()), min_size=1, max_size=80),
)
def test_grants_keep_the_pace_when_replicas_restart(
    calls_per_minute: float, grants: list[tuple[timedelta, bool]]
) -> None:
    """A replica that restarts reads the log from the last grant on, which still delays the next one."""
    paces, stored = Paces(), [NOW]
    paces.update("a", calls_per_minute)
    paces.count("a", 1, NOW)
    for sequence, (delay, is_restarted) in enumerate(grants, start=2):
        stored.append(max(permitted_at(paces) + delay, stored[-1] + SECOND / 1_000_000))
        if is_restarted:
            paces = Paces()
            paces.update("a", calls_per_minute)
        paces.count("a", sequence, stored[-1])
    interval = (MINUTE + MARGIN) / calls_per_minute
    for first, begin in enumerate(stored):
        for count, end in enumerate(stored[first:]):
            assert end - begin >= count * interval - CATCH_UP


@given(st.lists(st.timedeltas(timedelta(), CATCH_UP), min_size=2, max_size=50))
def test_short_delays_do_not_add_up(delays: list[timedelta]) -> None:
    paces = Paces()
    paces.update("a", 60)
    paces.count("a", 1, NOW)
    first = at = permitted_at(paces)
    for sequence, delay in enumerate(delays, start=2):
        paces.count("a", sequence, at + delay)
        at = permitted_at(paces)
    assert at - first == len(delays) * ((MINUTE + MARGIN) / 60)


def test_a_change_of_the_pace_applies_to_the_next_grant_and_without_a_pace_none_waits() -> None:
    paces = Paces()
    paces.count("a", 1, NOW)
    assert not paces.is_waiting("a")
    paces.update("a", 1)
    slow = paces.next_at
    assert paces.is_waiting("a")
    assert paces.first_sequence == 1
    paces.update("a", 60)
    assert slow
    assert paces.next_at
    assert paces.next_at < slow
    paces.update("a", None)
    assert not paces.is_waiting("a")
    assert paces.due(NOW + MINUTE) == []


def test_a_grant_that_is_read_again_counts_once() -> None:
    paces = Paces()
    paces.update("a", 1)
    paces.count("a", 1, NOW)
    first = paces.next_at
    paces.count("a", 1, NOW)
    assert paces.next_at == first


def test_the_last_grants_of_a_limited_number_of_campaigns_are_kept() -> None:
    paces = Paces()
    for number in range(MAX_CAMPAIGNS + 1):
        paces.count(str(number), number + 1, NOW + number * SECOND)
    for campaign_id in ("0", "1"):
        paces.update(campaign_id, 1)
    assert (paces.is_waiting("0"), paces.is_waiting("1")) == (False, True)


class Fold:
    """The slots of a replica, with a pace for the campaign `a`."""

    def __init__(self) -> None:
        self.slots = Slots(UNLIMITED)
        self.slots.apply(Begun(0))
        self.slots.update_campaigns({"a": CampaignLimits(calls_per_minute=60)})
        for number, call_id in enumerate(("a1", "a2", "b1", "b2")):
            self.slots.join(
                Waiting(
                    call_id=call_id,
                    campaign_id=call_id[0],
                    attempt=1,
                    due_at=NOW,
                    due_sequence=number + 1,
                    queue_sequence=number + 1,
                )
            )

    def next_at(self, now: datetime) -> str | None:
        self.slots.begin_paced(now)
        call = self.slots.next_call()
        return call.call_id if call else None

    def grant(self, sequence: int, call_id: str, at: datetime) -> None:
        self.slots.apply(Granted(sequence, call_id, call_id[0], granted_at=at))


def test_a_campaign_that_waits_for_its_pace_delays_no_other_one() -> None:
    fold = Fold()
    granted = []
    for sequence in (10, 11, 12):
        call_id = fold.next_at(NOW)
        assert call_id
        fold.grant(sequence, call_id, NOW)
        granted.append(call_id)
    assert granted == ["a1", "b1", "b2"]
    assert fold.next_at(NOW) is None
    due_at = fold.slots.next_pace_at
    assert due_at
    assert due_at > NOW
    assert fold.next_at(due_at) == "a2"


def test_a_grant_that_leads_to_no_dial_does_not_count() -> None:
    fold = Fold()
    fold.grant(10, "a1", NOW)
    assert fold.next_at(NOW) == "b1"
    fold.slots.apply(Decided(11, "a1", is_live=False))
    assert fold.next_at(NOW) == "b1", "the oldest last grant is next"
    fold.grant(12, "b1", NOW)
    fold.grant(13, "b2", NOW)
    assert fold.next_at(NOW) == "a2"


def test_a_dialled_call_counts_also_when_it_has_ended() -> None:
    fold = Fold()
    fold.grant(10, "a1", NOW)
    fold.slots.apply(Claimed("a1"))
    fold.slots.apply(Decided(12, "a1", is_live=False))
    for sequence, call_id in ((13, "b1"), (14, "b2")):
        fold.grant(sequence, call_id, NOW)
        fold.slots.apply(Claimed(call_id))
        fold.slots.apply(Decided(sequence + 10, call_id, is_live=False))
    assert fold.next_at(NOW) is None
    assert fold.slots.replay_from_sequence == 10, "a replica that starts must read this grant"
    assert fold.next_at(NOW + 2 * SECOND) == "a2"
    assert fold.slots.replay_from_sequence == 15


def test_slots_that_are_read_again_keep_their_pace() -> None:
    fold = Fold()
    fold.grant(10, "a1", NOW)
    before = fold.slots.next_pace_at
    fold.slots.reset()
    fold.slots.apply(Begun(10))
    fold.grant(10, "a1", NOW)
    assert fold.slots.next_pace_at == before
