"""A dial order that comes late dials no person: hours, lists and campaigns may have changed since its decision."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self, cast
from uuid import UUID

import pytest
from tests.builders.calls import NOW, a_call
from tests.builders.events import an_envelope, status_changed
from tests.fakes.event_log import FakeEventLog
from tests.fakes.voice import FakeClips, FakeTelephony

from call_orchestrator.domain.machine import ANSWER_MARGIN
from chassis.event_log import EventLog
from contracts import CallChanged, CallStatus, CallStatusChanged, DialClaimed, DialPlaced, DialRefused, Envelope, Event
from contracts.call import Permission
from contracts.consumers import VOICE_DIALS
from contracts.values import MIN_RING_SECONDS
from telephony.dial_failures import DialFailed, FailureClass
from voice.application.speech.prepared_clips import PreparedClips
from voice.application.speech.synthesis import SpeechSynthesis
from voice.application.telephony.attempts import MAX_PENDING_SECONDS
from voice.application.telephony.dialing import MAX_ORDER_SECONDS, TOO_LATE, Dialing
from voice.application.telephony.rate_limiter import DialRateLimiter

ORDER = status_changed(a_call(CallStatus.DIALING))
REFUSED = DialRefused(call_id=ORDER.call_id, attempt=1, is_permanent=False, reason=TOO_LATE)
LATE = timedelta(seconds=MAX_ORDER_SECONDS + 1)


@dataclass
class Voice:
    """Voice with a log in memory and a clock. It is the rate limiter as well, and keeps who gets a permit."""

    now: datetime = NOW
    log: FakeEventLog = field(default_factory=lambda: FakeEventLog.of(ORDER))
    telephony: FakeTelephony = field(default_factory=FakeTelephony)
    permits: list[UUID] = field(default_factory=list)
    seconds_until_permit: float = 0

    @classmethod
    def of(cls, *, late: timedelta = timedelta()) -> Self:
        voice = cls(now=NOW + late)
        voice.log.now = lambda: voice.now
        return voice

    async def acquire(self, call_id: UUID, attempt: int, cause: Envelope) -> None:
        self.permits.append(call_id)
        self.now += timedelta(seconds=self.seconds_until_permit)

    async def dial(self, order: CallStatusChanged = ORDER, *, is_redelivered: bool = False) -> list[Event]:
        """Returns the events of the attempts afterwards."""
        calls = cast("EventLog", self.log)
        clips = PreparedClips(SpeechSynthesis([], FakeClips(), calls))
        limiter = cast("DialRateLimiter", self)
        await Dialing(calls, self.telephony, clips, rate_limiter=limiter).dial(
            order, an_envelope(), is_redelivered=is_redelivered
        )
        return [event for event in self.log.events() if event.event_name.startswith("dial.")]


@pytest.mark.parametrize("late", [LATE, timedelta(hours=2)])
@pytest.mark.parametrize("is_redelivered", [False, True])
async def test_a_late_order_is_refused_as_undialled_and_uses_no_permit(late: timedelta, is_redelivered: bool) -> None:
    voice = Voice.of(late=late)
    for _ in range(2):
        assert await voice.dial(is_redelivered=is_redelivered) == [DialClaimed.of(ORDER.call, 1), REFUSED]
    assert (voice.telephony.orders, voice.permits) == ([], [])


async def test_an_order_that_is_not_late_is_dialled() -> None:
    voice = Voice.of(late=timedelta(seconds=MAX_ORDER_SECONDS - 1))
    assert [type(event) for event in await voice.dial()] == [DialClaimed, DialPlaced]
    assert len(voice.telephony.orders) == 1


def order_until(until: datetime) -> CallStatusChanged:
    permission = Permission(rule="calling_hours", detail="within 08:00-21:00", policy_version="test", until=until)
    return status_changed(ORDER.call.model_copy(update={"permission": permission}))


@pytest.mark.parametrize("seconds", [0, 1])
async def test_an_order_is_refused_when_the_calling_hours_have_ended(seconds: int) -> None:
    """The call is decided at 20:59:58, and voice has its order 2 s later."""
    voice = Voice.of(late=timedelta(seconds=2 + seconds))
    assert await voice.dial(order_until(NOW + timedelta(seconds=2))) == [DialClaimed.of(ORDER.call, 1), REFUSED]
    assert (voice.telephony.orders, voice.permits) == ([], [])


async def test_an_order_is_dialled_while_the_calling_hours_last() -> None:
    voice = Voice.of(late=timedelta(seconds=1))
    assert [type(event) for event in await voice.dial(order_until(NOW + timedelta(seconds=2)))][1:] == [DialPlaced]


async def test_calling_hours_that_last_longer_do_not_make_an_order_valid_for_longer() -> None:
    voice = Voice.of(late=LATE)
    assert await voice.dial(order_until(NOW + timedelta(hours=2))) == [DialClaimed.of(ORDER.call, 1), REFUSED]


async def test_an_order_whose_calling_hours_end_while_it_waits_is_refused_also_if_its_call_was_changed() -> None:
    """The change of metadata has the call without its permission."""
    voice, order = Voice.of(), order_until(NOW + timedelta(seconds=2))
    voice.log.store(CallChanged(call=ORDER.call, occurred_at=NOW, changed=("metadata",)))
    voice.seconds_until_permit = 3
    assert await voice.dial(order) == [DialClaimed.of(ORDER.call, 1), REFUSED]
    assert voice.telephony.orders == []


async def test_after_a_429_the_request_is_not_repeated_when_the_calling_hours_have_ended() -> None:
    voice = Voice.of(late=timedelta(seconds=1))
    voice.telephony.failures = [DialFailed(FailureClass.RATE_LIMITED, "too many requests", retry_after_seconds=2)]
    [_, refused] = await voice.dial(order_until(NOW + timedelta(seconds=2)))
    assert isinstance(refused, DialRefused)
    assert len(voice.telephony.orders) == 1


async def test_an_order_that_becomes_late_while_it_waits_for_its_permit_is_refused() -> None:
    voice = Voice.of()
    voice.seconds_until_permit = LATE.total_seconds()
    assert await voice.dial() == [DialClaimed.of(ORDER.call, 1), REFUSED]
    assert voice.telephony.orders == []


async def test_an_order_that_becomes_late_while_it_is_claimed_is_refused() -> None:
    voice = Voice.of()

    def take_long(event: Event) -> None:
        if isinstance(event, DialClaimed):
            voice.now += LATE

    voice.log.before_append = take_long
    assert await voice.dial() == [DialClaimed.of(ORDER.call, 1), REFUSED]
    assert voice.telephony.orders == []


async def test_after_a_429_the_request_is_not_repeated_when_the_order_is_late() -> None:
    voice = Voice.of(late=timedelta(seconds=MAX_ORDER_SECONDS - 1))
    voice.telephony.failures = [DialFailed(FailureClass.RATE_LIMITED, "too many requests", retry_after_seconds=2)]
    [_, refused] = await voice.dial()
    assert isinstance(refused, DialRefused)
    assert (refused.is_permanent, len(voice.telephony.orders)) == (False, 1)


async def test_a_late_order_whose_claim_has_no_outcome_stays_unknown() -> None:
    voice = Voice.of()
    voice.log.store(DialClaimed.of(ORDER.call, 1))
    voice.now += timedelta(seconds=MAX_PENDING_SECONDS + 1)
    assert [event.event_name for event in await voice.dial(is_redelivered=True)] == ["dial.claimed", "dial.unknown"]
    assert voice.telephony.orders == []


def test_a_replica_may_receive_the_order_of_another_one_in_time() -> None:
    shortest_deadline = MIN_RING_SECONDS + ANSWER_MARGIN.total_seconds()
    assert VOICE_DIALS.ack_wait < MAX_ORDER_SECONDS < shortest_deadline
