"""Finding the provider's call of an attempt of which only the claim is known."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from tests.builders.calls import a_call
from tests.builders.events import an_envelope
from tests.fakes.voice import FakeCallDirectory, FakeClips
from tests.integration.voice.conftest import CALLEE, StartCall, cause_of

from chassis.event_log import EventLog, StoredEvent
from contracts import (
    CallHangupRequested,
    CallSettlementRequested,
    CallStatus,
    CallStatusChanged,
    DialClaimed,
    DialLookedUp,
    DialPlaced,
    DialRefused,
    DialUnknown,
    Envelope,
    TelephonyStatus,
    TelephonyStatusReported,
)
from contracts.streams import CALLS
from simulators.faults import FaultRule
from simulators.server import Simulators
from voice.adapters.twilio import Twilio
from voice.application.speech.prepared_clips import PreparedClips
from voice.application.speech.synthesis import SpeechSynthesis
from voice.application.telephony.attempts import Attempt, load_attempt
from voice.application.telephony.dialing import Dialing
from voice.application.telephony.hangup import HangUp
from voice.application.telephony.lookup import AmbiguousLookup, look_up
from voice.application.telephony.settlement import Settlement
from voice.ports import ProviderCall

CLAIMED_AT = datetime(2030, 1, 15, 12, 0, 0, 500_000, tzinfo=UTC)
CALL = a_call(CallStatus.DIALING)
CLAIM = DialClaimed(call_id=CALL.call_id, attempt=1)
ENVELOPE = Envelope.of(id="claim", source="voice", time=CLAIMED_AT - timedelta(hours=1))
CLAIMED_ATTEMPT = Attempt((), StoredEvent(CLAIM, ENVELOPE, 1, stored_at=CLAIMED_AT))
"""The clock of the process that claimed it is slow."""
ENDED = ("completed", "canceled")
OUR_ID, OTHER_ID = "CA" + "a" * 32, "CA" + "b" * 32

Dial = Callable[..., Awaitable[CallStatusChanged]]


def directory(*seconds_after_claim: float | None) -> FakeCallDirectory:
    """Returns calls CA0, CA1 … created that many seconds after the claim; None: at an unknown time."""
    return FakeCallDirectory(
        [
            ProviderCall(
                provider_call_id=f"CA{number}",
                status=TelephonyStatus.RINGING,
                created_at=None if seconds is None else CLAIMED_AT + timedelta(seconds=seconds),
                duration_seconds=None,
            )
            for number, seconds in enumerate(seconds_after_claim)
        ]
    )


def created_now(*ids: str) -> FakeCallDirectory:
    """Returns calls with these ids that were created at this moment."""
    return FakeCallDirectory([ProviderCall(one, TelephonyStatus.RINGING, datetime.now(UTC), None) for one in ids])


async def find(calls: EventLog, calls_of_provider: FakeCallDirectory, event: CallStatusChanged) -> str | None:
    attempt = await load_attempt(calls, event.call_id, event.attempt)
    found = await look_up(calls, calls_of_provider, event.call, attempt)
    return found.provider_call_id if found else None


@pytest.fixture
def claim(calls: EventLog, start_call: StartCall) -> Dial:
    """Claims an attempt to the same number as every other one."""

    async def claim(number: str = CALLEE) -> CallStatusChanged:
        event = await start_call(phone_number=number)
        await calls.append(DialClaimed.of(event.call, 1))
        return event

    return claim


@pytest.fixture
def dial(calls: EventLog, telephony: Twilio, start_call: StartCall, simulators: Simulators) -> Dial:
    """Dials the same number as every other call; `fault` is what happens to the request."""
    dialing = Dialing(calls, telephony, PreparedClips(SpeechSynthesis([], FakeClips(), calls)))

    async def dial(fault: str | None = None) -> CallStatusChanged:
        simulators.faults.rules = [FaultRule(target="twilio", method="POST", kind=fault)] if fault else []
        event = await start_call(call_id=uuid4())
        await dialing.dial(event, cause_of(event))
        simulators.faults.rules = []
        return event

    return dial


async def hang_up(calls: EventLog, telephony: Twilio, event: CallStatusChanged) -> None:
    request = CallHangupRequested(call=event.call, occurred_at=datetime.now(UTC))
    await HangUp(calls, telephony, telephony).hang_up(request, an_envelope("hangup-request"))


@pytest.mark.parametrize("seconds", [-2, -0.5, 0, 20])
async def test_the_only_call_from_the_time_of_the_claim_is_the_attempt(seconds: float, calls: EventLog) -> None:
    found = await look_up(calls, directory(-600, seconds, 3600), CALL, CLAIMED_ATTEMPT)
    assert found is not None
    assert found.provider_call_id == "CA1"


async def test_calls_from_other_times_are_not_the_attempt(calls: EventLog) -> None:
    assert await look_up(calls, directory(-3600, -3, 120), CALL, CLAIMED_ATTEMPT) is None


@pytest.mark.parametrize("created", [(0, 1), (0, None), (None,)])
async def test_two_candidates_and_one_without_a_time_are_ambiguous(
    created: tuple[float | None, ...], calls: EventLog
) -> None:
    with pytest.raises(AmbiguousLookup):
        await look_up(calls, directory(*created), CALL, CLAIMED_ATTEMPT)


async def test_calls_to_the_number_are_listed_from_before_the_claim(calls: EventLog) -> None:
    calls_of_provider = directory()
    await look_up(calls, calls_of_provider, CALL, CLAIMED_ATTEMPT)
    assert calls_of_provider.listed_number == CALL.phone_number
    assert calls_of_provider.listed_after is not None
    assert calls_of_provider.listed_after < CLAIMED_AT


@pytest.mark.parametrize(
    "known",
    [
        DialPlaced(call_id=CALL.call_id, attempt=1, provider_call_id="CA1"),
        DialLookedUp(call_id=CALL.call_id, attempt=1, provider_call_id="CA1", status=TelephonyStatus.RINGING),
    ],
)
async def test_a_known_provider_call_id_is_fetched_without_a_listing(
    known: DialPlaced | DialLookedUp, calls: EventLog
) -> None:
    calls_of_provider = directory(0, 0)
    found = await look_up(calls, calls_of_provider, CALL, Attempt((known,), CLAIMED_ATTEMPT.claim))
    assert found is not None
    assert found.provider_call_id == "CA1"
    assert calls_of_provider.listed_after is None


@pytest.mark.parametrize(
    "name_it",
    [
        lambda call_id: DialPlaced(call_id=call_id, attempt=1, provider_call_id=OTHER_ID),
        lambda call_id: DialLookedUp(
            call_id=call_id, attempt=1, provider_call_id=OTHER_ID, status=TelephonyStatus.RINGING
        ),
        lambda call_id: TelephonyStatusReported(
            call_id=call_id, attempt=1, provider_call_id=OTHER_ID, status=TelephonyStatus.RINGING
        ),
    ],
    ids=["placed", "looked up", "reported"],
)
async def test_an_id_that_the_log_knows_for_another_call_is_not_adopted(
    name_it: Callable[..., DialPlaced | DialLookedUp | TelephonyStatusReported], calls: EventLog, claim: Dial
) -> None:
    ours, other = await claim(), await claim()
    await calls.append(name_it(other.call_id))
    assert await find(calls, created_now(OTHER_ID), ours) is None
    assert await find(calls, created_now(OTHER_ID, OUR_ID), ours) == OUR_ID
    with pytest.raises(AmbiguousLookup):
        await find(calls, created_now(OTHER_ID, OUR_ID, "CA" + "c" * 32), ours)


async def test_an_id_that_the_log_knows_for_another_attempt_of_the_call_is_not_adopted(
    calls: EventLog, claim: Dial, start_call: StartCall
) -> None:
    first = await claim()
    await calls.append(DialPlaced(call_id=first.call_id, attempt=1, provider_call_id=OTHER_ID))
    second = await start_call(call_id=first.call_id, attempt=2)
    await calls.append(DialClaimed(call_id=first.call_id, attempt=2))
    assert await find(calls, created_now(OTHER_ID), second) is None


async def test_a_call_that_may_be_another_unknown_attempt_is_ambiguous(calls: EventLog, claim: Dial) -> None:
    ours, other = await claim(), await claim()
    await calls.append(DialUnknown(call_id=other.call_id, attempt=1, reason="no answer"))
    for event in (ours, other):
        with pytest.raises(AmbiguousLookup):
            await find(calls, created_now(OUR_ID), event)


async def test_an_undialled_attempt_and_one_to_another_number_are_no_rivals(calls: EventLog, claim: Dial) -> None:
    ours, refused = await claim(), await claim()
    await claim("+12125550199")
    await calls.append(DialRefused(call_id=refused.call_id, attempt=1, is_permanent=False, reason="HTTP 400"))
    assert await find(calls, created_now(OUR_ID), ours) == OUR_ID


async def test_a_call_that_starts_while_the_provider_is_asked_is_listed(
    telephony: Twilio, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = SimpleNamespace(sid=OUR_ID, status="queued", date_created=CLAIMED_AT, duration=None)

    async def list_then_start(**filters: object) -> list[SimpleNamespace]:
        assert (filters["to"], filters["from_"]) == (CALLEE, "+12125550101")
        is_listed = ("status" in filters) == (call.status == "queued")
        listed = [SimpleNamespace(**vars(call))] if is_listed else []
        call.status = "ringing"
        return listed

    monkeypatch.setattr(telephony.client.calls, "list_async", list_then_start)
    ringing = ProviderCall(OUR_ID, TelephonyStatus.RINGING, CLAIMED_AT, None)
    assert await telephony.list_calls(CALLEE, CLAIMED_AT, "+12125550101") == [ringing]


async def test_a_lookup_reads_no_call_to_another_number(calls: EventLog, claim: Dial, bus_client: Client) -> None:
    ours, same_number = await claim(), await claim()
    others = [await claim(f"+1212555019{number}") for number in range(8)]
    reads: list[str] = []

    async def on_read(message: Msg) -> None:
        reads.append(message.data.decode())

    await bus_client.subscribe(f"$JS.API.*.MSG.GET.{CALLS.name}", cb=on_read)
    await bus_client.subscribe(f"$JS.API.DIRECT.GET.{CALLS.name}", cb=on_read)
    await bus_client.flush()
    with pytest.raises(AmbiguousLookup):
        await find(calls, created_now(OUR_ID), ours)
    await bus_client.flush()
    assert any(str(same_number.call_id) in read for read in reads)
    assert not [read for read in reads for other in others if str(other.call_id) in read]


async def test_the_claim_of_an_older_build_which_has_no_digest_may_be_to_the_same_number(
    calls: EventLog, claim: Dial, start_call: StartCall
) -> None:
    ours, other, another = await claim(), await start_call(), await start_call(phone_number="+12125550199")
    for event in (other, another):
        await calls.append(DialClaimed(call_id=event.call_id, attempt=1))
    await calls.append(DialPlaced(call_id=other.call_id, attempt=1, provider_call_id=OTHER_ID))
    assert await find(calls, created_now(OTHER_ID, OUR_ID), ours) == OUR_ID
    assert await find(calls, created_now(OTHER_ID), ours) is None


@pytest.mark.parametrize("is_first_lost", [True, False])
async def test_a_hang_up_of_a_lost_dial_closes_its_own_line_and_not_that_of_the_same_number(
    is_first_lost: bool, calls: EventLog, telephony: Twilio, dial: Dial, simulators: Simulators
) -> None:
    faults = ["lost_response", None] if is_first_lost else [None, "lost_response"]
    events = [await dial(fault) for fault in faults]
    lost = faults.index("lost_response")
    await hang_up(calls, telephony, events[lost])
    assert simulators.ledger.calls[lost].status in ENDED
    assert simulators.ledger.calls[1 - lost].status not in ENDED


async def test_a_hang_up_of_a_dial_that_never_arrived_closes_no_line_of_the_same_number(
    calls: EventLog, telephony: Twilio, dial: Dial, simulators: Simulators
) -> None:
    never_arrived, other = await dial("reset"), await dial()
    settlement = CallSettlementRequested(call=never_arrived.call, occurred_at=datetime.now(UTC))
    await Settlement(calls, telephony).settle(settlement, an_envelope("settlement-request"))
    await hang_up(calls, telephony, never_arrived)
    [in_progress] = simulators.ledger.calls
    assert in_progress.status not in ENDED
    [lookup] = await calls.read((DialLookedUp.subject_for(never_arrived.call_id),))
    assert lookup.event == DialLookedUp(call_id=never_arrived.call_id, attempt=1)
    await hang_up(calls, telephony, other)
    assert in_progress.status in ENDED


async def test_a_line_that_may_belong_to_either_of_two_lost_dials_is_not_closed(
    calls: EventLog, telephony: Twilio, dial: Dial, simulators: Simulators
) -> None:
    for event in (await dial("reset"), await dial("lost_response")):
        with pytest.raises(AmbiguousLookup):
            await hang_up(calls, telephony, event)
    [in_progress] = simulators.ledger.calls
    assert in_progress.status not in ENDED
