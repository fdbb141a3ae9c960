"""Which of the provider's calls is the attempt, when only its claim is known."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from chassis.event_log import StoredEvent
from contracts import Call, CallStatus, DialClaimed, DialPlaced, Envelope, PhoneNumber, TelephonyStatus
from voice.application.telephony.attempts import Attempt
from voice.application.telephony.lookup import Ambiguous, look_up
from voice.ports import ProviderCall

CALL_ID = UUID(int=1)
CLAIMED = datetime(2030, 1, 15, 12, 0, 0, 500_000, tzinfo=UTC)
CALL = Call(
    call_id=CALL_ID,
    request_id="request-1",
    campaign_id="campaign-1",
    contact_id="contact-1",
    phone_number="+12125550123",
    script_template="Hello.",
    variables={},
    language="en",
    metadata={},
    max_retries=3,
    retry_delay_seconds=60,
    call_timeout_seconds=30,
    max_call_seconds=600,
    created_at=CLAIMED,
    status=CallStatus.DIALING,
    attempt=1,
    status_changed_at=CLAIMED,
)
CLAIM = DialClaimed(call_id=CALL_ID, attempt=1)
CLAIMED_ONLY = Attempt((), StoredEvent(CLAIM, Envelope.of(CLAIM, id="claim", source="voice", time=CLAIMED), 1))


class FakeDirectory:
    """Knows calls by the seconds between the claim and their creation; none: the provider does not say."""

    def __init__(self, *created: float | None) -> None:
        self.asked_since: datetime | None = None
        self._calls = [
            ProviderCall(
                f"CA{number}",
                TelephonyStatus.RINGING,
                None if seconds is None else CLAIMED + timedelta(seconds=seconds),
                None,
            )
            for number, seconds in enumerate(created)
        ]

    async def fetch(self, provider_call_id: str) -> ProviderCall | None:
        return next((call for call in self._calls if call.provider_call_id == provider_call_id), None)

    async def calls_to(self, number: PhoneNumber, since: datetime) -> list[ProviderCall]:
        assert number == CALL.phone_number
        self.asked_since = since
        return self._calls


@pytest.mark.parametrize("seconds", [-2, -0.5, 0, 20, None])
async def test_the_one_call_from_the_time_of_the_claim_is_the_attempt(seconds: float | None) -> None:
    found = await look_up(FakeDirectory(-600, seconds, 3600), CALL, CLAIMED_ONLY)
    assert found is not None
    assert found.provider_call_id == "CA1"


async def test_calls_from_other_times_are_not_the_attempt() -> None:
    assert await look_up(FakeDirectory(-3600, -3, 120), CALL, CLAIMED_ONLY) is None


@pytest.mark.parametrize("created", [(0, 1), (0, None)])
async def test_of_two_that_could_be_it_none_is_taken(created: tuple[float | None, ...]) -> None:
    with pytest.raises(Ambiguous):
        await look_up(FakeDirectory(*created), CALL, CLAIMED_ONLY)


async def test_the_days_calls_are_asked_for_from_before_the_claim() -> None:
    directory = FakeDirectory()
    await look_up(directory, CALL, CLAIMED_ONLY)
    assert directory.asked_since is not None
    assert directory.asked_since < CLAIMED


async def test_an_id_that_is_known_is_asked_for_and_nothing_else() -> None:
    directory = FakeDirectory(0, 0)
    placed = DialPlaced(call_id=CALL_ID, attempt=1, provider_call_id="CA1")
    found = await look_up(directory, CALL, Attempt((placed,), CLAIMED_ONLY.claim))
    assert found is not None
    assert found.provider_call_id == "CA1"
    assert directory.asked_since is None
