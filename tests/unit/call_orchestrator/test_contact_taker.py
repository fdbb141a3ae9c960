"""Which contacts a replica takes, and what it does with them if some fail."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs
from tests.builders.calls import NOW, a_call
from tests.builders.events import an_envelope, call_created
from tests.fakes.event_log import FakeEventLog

from call_orchestrator.application import failed_campaigns
from call_orchestrator.application.call_inputs import CallInput
from call_orchestrator.application.call_terms import Policy
from call_orchestrator.application.contacts import MIN_AHEAD, ContactTaker
from call_orchestrator.application.open_campaigns import OpenCampaigns
from call_orchestrator.application.stored import StoredCall
from call_orchestrator.domain.calling_policy import Permitted, PutOff, Reason
from call_orchestrator.domain.limits import Limits
from call_orchestrator.domain.slots import Slots
from call_orchestrator.ports import CampaignStates, TakenContact
from chassis.event_log import StoredEvent
from contracts import Campaign, CampaignFinished, CampaignTerms, ContactAdded, ContactGroupAdded, ContactRequested
from contracts.callees import Callee, callee_of
from contracts.contacts import group_of, waiting_contact
from contracts.number_digests import NumberDigests

DIGESTS = NumberDigests(b"test")
POLICY = Policy(
    call_timeout=timedelta(seconds=30),
    max_retries=0,
    retry_delay=timedelta(hours=1),
    max_talk=timedelta(minutes=10),
    dial_within=timedelta(days=1),
    allowed_countries=frozenset({"US"}),
)


def a_contact(index: int) -> ContactAdded:
    number = f"+12125550{100 + index}"
    request = ContactRequested(campaign_id="spring", contact_id=f"c-{index}", phone_number=number)
    return waiting_contact(request, callee_of(number), DIGESTS, NOW)


class Queue:
    """Delivers its contacts together, and again those that are put back for 0 s. Notes what becomes of each."""

    def __init__(self, *contacts: ContactAdded) -> None:
        self.waiting = list(contacts)
        self.acknowledged: list[str] = []
        self.put_back: dict[str, float] = {}

    @asynccontextmanager
    async def groups(self) -> AsyncIterator[AsyncIterator[list[ContactGroupAdded]]]:
        yield self._groups()

    async def _groups(self) -> AsyncIterator[list[ContactGroupAdded]]:
        yield [group_of(one.campaign_id, callee_of(one.phone_number)) for one in self.waiting]
        await asyncio.Event().wait()

    async def take(self, campaign_id: str, zone_group: str, count: int, wait_seconds: float) -> list[TakenContact]:
        if not self.waiting:
            await asyncio.Event().wait()
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        return [self._taken(one) for one in taken]

    def _taken(self, contact: ContactAdded) -> TakenContact:
        stored = StoredEvent(contact, an_envelope(contact.contact_id), 1)
        return TakenContact(stored, partial(self._acknowledge, contact.contact_id), partial(self._put_back, contact))

    async def _acknowledge(self, contact_id: str) -> None:
        self.acknowledged.append(contact_id)

    async def _put_back(self, contact: ContactAdded, seconds: float) -> None:
        if seconds:
            self.put_back[contact.contact_id] = seconds
        else:
            self.waiting.append(contact)


class Calls:
    """Creates the call of each contact, except that of one, which always fails."""

    def __init__(self, failing: str = "", *, is_queued: bool = False) -> None:
        self._failing = failing
        self._is_queued = is_queued

    async def carry_out(self, given: CallInput) -> StoredCall:
        assert given.request
        if given.request.contact_id == self._failing:
            raise RuntimeError("always")
        call = a_call(call_id=given.call_id, phone_number=given.request.phone_number, is_queued=self._is_queued)
        return StoredCall(call_created(call), 1, an_envelope())


def running_campaign(**terms: object) -> Campaign:
    return Campaign(campaign_id="spring").created(NOW, CampaignTerms.model_validate(terms)).started(NOW)


def replica(queue: Any, calls: Any, policy: Policy = POLICY) -> tuple[ContactTaker, OpenCampaigns]:
    """Returns the part of a replica that takes contacts, and the campaigns that it knows."""
    slots = Slots(Limits(max_live=None, max_live_per_campaign=None, max_unclaimed=10))
    campaigns = OpenCampaigns(slots, lambda: NOW)
    campaigns.update(CampaignStates(1, {"spring": running_campaign()}))
    log: Any = FakeEventLog()
    return ContactTaker(log, queue, calls, campaigns, slots, policy, lambda: NOW), campaigns


async def test_a_contact_that_always_fails_comes_back_later_and_the_others_are_called() -> None:
    queue = Queue(*(a_contact(index) for index in range(3)))
    taker, _ = replica(queue, Calls(failing="c-1"))
    async with taker.running(), asyncio.timeout(60):
        while len(queue.acknowledged) + len(queue.put_back) < 3:
            await asyncio.sleep(0.01)
    assert queue.acknowledged == ["c-0", "c-2"]
    assert queue.put_back.keys() == {"c-1"}


async def test_calls_that_no_event_shows_as_waiting_make_room_for_further_contacts() -> None:
    count = 2 * MIN_AHEAD
    queue = Queue(*(a_contact(index) for index in range(count)))
    taker, _ = replica(queue, Calls(is_queued=True))
    async with taker.running(), asyncio.timeout(60):
        while len(queue.acknowledged) < count:
            await asyncio.sleep(0.01)


class BrokenForMadrid:
    """A calling policy that fails for the zone of Madrid, and permits every other call."""

    def __init__(self) -> None:
        self.failed = 0

    def next_permitted(self, callee: Callee, **_: object) -> Permitted:
        if "Europe/Madrid" in callee.zones:
            self.failed += 1
            raise FileNotFoundError("Europe/Madrid")
        return Permitted(reason=Reason(rule="calling_hours", detail="open", policy_version="test"))


async def test_a_group_for_which_the_policy_fails_does_not_stop_the_other_groups() -> None:
    """The failing group is not asked again at each event, either."""
    broken: Any = BrokenForMadrid()
    madrid = a_contact(9).model_copy(update={"phone_number": "+34912345678"})
    queue = Queue(madrid, *(a_contact(index) for index in range(3)))
    taker, _ = replica(queue, Calls(), replace(POLICY, calling_policy=broken))
    async with taker.running(), asyncio.timeout(60):
        while len(queue.acknowledged) < 3:
            taker.note_change()
            await asyncio.sleep(0.01)
    assert broken.failed == 1


class ClosedHours:
    """A calling policy that permits no call for an hour, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def next_permitted(self, *_: object, **__: object) -> PutOff:
        self.asked += 1
        reason = Reason(rule="calling_hours", detail="closed", policy_version="test")
        return PutOff(until=NOW + timedelta(hours=1), reason=reason)


async def test_the_calling_policy_is_asked_once_about_a_closed_group_and_not_at_each_event() -> None:
    hours: Any = ClosedHours()
    queue = Queue(a_contact(0))
    taker, campaigns = replica(queue, Calls(), replace(POLICY, calling_policy=hours))
    async with taker.running(), asyncio.timeout(60):
        while not hours.asked:
            await asyncio.sleep(0.01)
        for _ in range(10):
            taker.note_change()
            await asyncio.sleep(0.05)
        assert hours.asked == 1
        campaigns.update(CampaignStates(2, {"spring": running_campaign(purpose="sales")}))
        while hours.asked == 1:
            taker.note_change()
            await asyncio.sleep(0.01)
    assert (hours.asked, queue.acknowledged) == (2, [])


FALL = Campaign(campaign_id="fall").created(NOW, CampaignTerms()).started(NOW).finished(NOW)


class TwoCampaigns(Queue):
    """The groups of a campaign that is over come before those of one that runs. Its contacts cannot be counted."""

    def __init__(self, *contacts: ContactAdded) -> None:
        super().__init__(*contacts)
        self.counts = 0
        self.fails = True
        self.hangs = False

    async def _groups(self) -> AsyncIterator[list[ContactGroupAdded]]:
        yield [group_of("fall", callee_of("+12125550100")), group_of("spring", callee_of("+12125550100"))]
        await asyncio.Event().wait()

    async def last_sequence(self) -> int:
        return 7

    async def count(self, campaign_id: str, until_sequence: int) -> int:
        assert (campaign_id, until_sequence) == ("fall", 7)
        self.counts += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails:
            raise RuntimeError("no answer")
        return 0


def replica_with_an_ended_campaign(queue: Queue) -> tuple[ContactTaker, OpenCampaigns]:
    taker, campaigns = replica(queue, Calls())
    campaigns.update(CampaignStates(2, {"fall": FALL}))
    taker._ended._expired._log.store(CampaignFinished(campaign=FALL, occurred_at=NOW))  # type: ignore[attr-defined]
    return taker, campaigns


async def test_a_campaign_whose_end_fails_does_not_stop_the_others_and_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue = TwoCampaigns(*(a_contact(index) for index in range(3)))
    monkeypatch.setattr(failed_campaigns, "FAILED", timedelta(hours=1))
    taker, _ = replica_with_an_ended_campaign(queue)
    with capture_logs() as logs:
        async with taker.running(), asyncio.timeout(60):
            while len(queue.acknowledged) < 3 or not taker._failed.until("fall"):
                taker.note_change()
                await asyncio.sleep(0.01)
            assert queue.counts == 1
            assert REGISTRY.get_sample_value("centralita_failed_campaigns") == 1
            queue.fails = False
            taker._failed._until["fall"] = NOW  # its time has come
            taker.note_change()
            while not taker._ended.again_at("fall"):
                await asyncio.sleep(0.01)
    failures = [one for one in logs if one["event"] == "campaign_contacts_failed"]
    assert [(one["campaign_id"], one["log_level"]) for one in failures] == [("fall", "error")]
    assert not [one for one in logs if one["event"] == "contacts_interrupted"]
    assert (queue.counts, queue.acknowledged) == (2, ["c-0", "c-1", "c-2"])
    assert REGISTRY.get_sample_value("centralita_failed_campaigns") == 0


async def test_no_campaign_waits_for_the_end_of_another_one_and_a_stop_ends_that() -> None:
    queue = TwoCampaigns(*(a_contact(index) for index in range(3)))
    queue.hangs = True
    taker, _ = replica_with_an_ended_campaign(queue)
    async with taker.running(), asyncio.timeout(60):
        while len(queue.acknowledged) < 3 or not queue.counts:
            await asyncio.sleep(0.01)
    assert taker._ended._work is None


async def test_a_campaign_of_which_anything_fails_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = TwoCampaigns(*(a_contact(index) for index in range(3)))
    taker, campaigns = replica_with_an_ended_campaign(queue)
    is_over = campaigns.is_over

    def failing(campaign_id: str) -> bool:
        if campaign_id == "fall":
            raise ValueError("no such day")
        return is_over(campaign_id)

    monkeypatch.setattr(campaigns, "is_over", failing)
    async with taker.running(), asyncio.timeout(60):
        while len(queue.acknowledged) < 3:
            await asyncio.sleep(0.01)
    assert taker._failed.until("fall") == NOW + failed_campaigns.FAILED
