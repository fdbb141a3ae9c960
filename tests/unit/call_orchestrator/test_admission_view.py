"""What admission shows to people: occupied slots, waiting calls and recent dials, at a bounded cost."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from tests.unit.call_orchestrator.test_slots import CLOSED, empty, waiting

from call_orchestrator.application.admission_view import MAX_WAITING_CAMPAIGNS, AdmissionView, NotRead
from call_orchestrator.application.open_campaigns import OpenCampaigns
from call_orchestrator.domain.campaign_slots import CampaignUsage
from call_orchestrator.domain.limits import CampaignLimits
from call_orchestrator.domain.recent_dials import RecentDials
from call_orchestrator.domain.slot_events import Begun, Claimed, Decided, Granted
from call_orchestrator.domain.slots import Slots
from centralita.docs.state_machine import NOW
from contracts.queries import AdmissionQuery

ALL = AdmissionQuery()
SPRING = AdmissionQuery(campaign_id="spring")


def view_of(slots: Slots, seconds: list[float] | None = None) -> AdmissionView:
    """Returns a view whose clock reads the first of these seconds."""
    clock = seconds or [0.0]
    campaigns = OpenCampaigns(slots, lambda: NOW)
    return AdmissionView(slots, campaigns, lambda: NOW, dials_per_second=5, clock=lambda: clock[0])


def granted(slots: Slots, sequence: int, call_id: str, campaign_id: str = "spring") -> None:
    slots.apply(Granted(sequence, call_id, campaign_id))


def test_all_campaigns_and_one_of_them() -> None:
    slots = empty(live=20, per_campaign=8)
    slots.update_campaigns({"spring": CampaignLimits(max_live=3), "paused": CLOSED})
    granted(slots, 1, "c1")
    granted(slots, 2, "c2", "autumn")
    for call in (waiting("c3", "spring", minutes=-7), waiting("c4", "spring"), waiting("c5", "paused", minutes=-90)):
        slots.join(call)

    everything = view_of(slots).handle(ALL)
    assert (everything.live, everything.max_live) == (2, 20)
    assert (everything.waiting, everything.waiting_closed) == (3, 1)
    assert everything.oldest_due_at == NOW - timedelta(minutes=7), "a paused campaign waits for a person, not a slot"
    assert [(one.campaign_id, one.waiting, one.live) for one in everything.longest_waiting] == [("spring", 2, 1)]
    one = view_of(slots).handle(SPRING)
    assert (one.live, one.max_live, one.waiting, one.is_open) == (1, 3, 2, True)
    paused = view_of(slots).handle(AdmissionQuery(campaign_id="paused"))
    assert (paused.is_open, paused.waiting, paused.waiting_closed, paused.oldest_due_at) == (False, 1, 1, None)
    unknown = view_of(slots).handle(AdmissionQuery(campaign_id="unknown"))
    assert (unknown.live, unknown.max_live, unknown.waiting, unknown.is_open) == (0, 8, 0, True)


def test_dials_are_counted_when_the_dialler_claims_them_and_for_a_minute() -> None:
    slots = empty()
    for number, seconds in enumerate((61, 60, 59.9, 1, 0.9, 0.1)):
        granted(slots, number + 1, f"c{number}", "spring" if number % 2 else "autumn")
        slots.apply(Claimed(f"c{number}", NOW - timedelta(seconds=seconds)))
    slots.apply(Claimed("c5", NOW))  # it is claimed already
    slots.apply(Claimed("unknown", NOW))

    everything, spring = view_of(slots).handle(ALL), view_of(slots).handle(SPRING)
    assert (everything.dials_in_minute, everything.dials_in_second) == (4, 2)
    assert (spring.dials_in_minute, spring.dials_in_second) == (2, 1)


def test_a_log_that_is_read_again_is_not_counted_twice() -> None:
    slots = empty()
    for _ in range(2):
        granted(slots, 1, "c1")
        slots.apply(Claimed("c1", NOW))
        slots.reset()
    slots.apply(Begun(1))
    granted(slots, 1, "c1")
    slots.apply(Claimed("c1", NOW))

    assert view_of(slots).handle(ALL).dials_in_minute == 1


def test_memory_of_dials_does_not_grow_with_ended_calls() -> None:
    dials = RecentDials()
    for number in range(10_000):
        dials.count(f"campaign-{number}", NOW + timedelta(seconds=number))

    assert len(dials._claims) == len(dials._by_campaign) == 60


def test_a_replica_that_has_not_read_the_log_shows_nothing() -> None:
    slots = empty()
    slots.reset()
    with pytest.raises(NotRead):
        view_of(slots).handle(ALL)
    slots.apply(Begun(0))
    slots.forget_campaigns()
    with pytest.raises(NotRead):
        view_of(slots).handle(SPRING)


def test_all_campaigns_are_read_at_most_once_a_second_however_many_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    slots, reads, seconds = empty(), [0], [10.0]
    usage = Slots.usage

    def counted(self: Slots) -> Iterator[CampaignUsage]:
        reads[0] += 1
        return usage(self)

    monkeypatch.setattr(Slots, "usage", counted)
    view = view_of(slots, seconds)
    for _ in range(100):
        view.handle(ALL)
        view.handle(SPRING)
    assert reads == [1]
    granted(slots, 1, "c1")
    slots.apply(Decided(2, "c0", is_live=False))
    seconds[0] += 1
    assert (view.handle(ALL).live, reads) == (1, [2])


def test_few_of_many_campaigns_are_named_the_longest_waiting_first() -> None:
    slots = empty()
    for number in range(MAX_WAITING_CAMPAIGNS + 5):
        slots.join(waiting(f"c{number}", f"campaign-{number}", due=number, minutes=-number))

    named = view_of(slots).handle(ALL).longest_waiting
    assert len(named) == MAX_WAITING_CAMPAIGNS
    assert named[0].campaign_id == f"campaign-{MAX_WAITING_CAMPAIGNS + 4}"
    due: list[datetime] = [one.oldest_due_at for one in named]
    assert due == sorted(due)
