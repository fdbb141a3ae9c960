"""Finding the provider's call of an attempt of which only the claim is known."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.builders.calls import a_call
from tests.fakes.voice import FakeCallDirectory

from chassis.event_log import StoredEvent
from contracts import CallStatus, DialClaimed, DialPlaced, Envelope, TelephonyStatus
from voice.application.telephony.attempts import Attempt
from voice.application.telephony.lookup import AmbiguousLookup, look_up
from voice.ports import ProviderCall

CLAIMED_AT = datetime(2030, 1, 15, 12, 0, 0, 500_000, tzinfo=UTC)
CALL = a_call(CallStatus.DIALING)
CLAIM = DialClaimed(call_id=CALL.call_id, attempt=1)
CLAIMED_ATTEMPT = Attempt((), StoredEvent(CLAIM, Envelope.of(CLAIM, id="claim", source="voice", time=CLAIMED_AT), 1))


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


@pytest.mark.parametrize("seconds", [-2, -0.5, 0, 20, None])
async def test_the_only_call_from_the_time_of_the_claim_is_the_attempt(seconds: float | None) -> None:
    found = await look_up(directory(-600, seconds, 3600), CALL, CLAIMED_ATTEMPT)
    assert found is not None
    assert found.provider_call_id == "CA1"


async def test_calls_from_other_times_are_not_the_attempt() -> None:
    assert await look_up(directory(-3600, -3, 120), CALL, CLAIMED_ATTEMPT) is None


@pytest.mark.parametrize("created", [(0, 1), (0, None)])
async def test_two_candidates_are_ambiguous(created: tuple[float | None, ...]) -> None:
    with pytest.raises(AmbiguousLookup):
        await look_up(directory(*created), CALL, CLAIMED_ATTEMPT)


async def test_calls_to_the_number_are_listed_from_before_the_claim() -> None:
    calls = directory()
    await look_up(calls, CALL, CLAIMED_ATTEMPT)
    assert calls.listed_number == CALL.phone_number
    assert calls.listed_after is not None
    assert calls.listed_after < CLAIMED_AT


async def test_a_known_provider_call_id_is_fetched_without_a_listing() -> None:
    calls = directory(0, 0)
    placed = DialPlaced(call_id=CALL.call_id, attempt=1, provider_call_id="CA1")
    found = await look_up(calls, CALL, Attempt((placed,), CLAIMED_ATTEMPT.claim))
    assert found is not None
    assert found.provider_call_id == "CA1"
    assert calls.listed_after is None
