"""A simulated clock on a real nats-server: deadlines and periods of hours pass in seconds, in their order."""

from base64 import b64decode
from datetime import UTC, datetime, timedelta

from nats.aio.client import Client
from tests.builders.numbers import number_for
from tests.builders.secret_keys import TEST_KEYS
from tests.integration.call_orchestrator.conftest import Ask, call_of, outcome_of, running, until, until_dialing
from tests.integration.call_orchestrator.test_timers import schedules

from chassis.event_log import EventLog
from chassis.keyring import Keyring
from chassis.time_mapping import TimeMapping
from contracts import (
    CallRequested,
    CampaignCreateRequested,
    CampaignStartRequested,
    NumberBlockRequested,
    NumberChanged,
    OptOutKeyPressed,
    RequestedTerms,
    call_id_of,
)
from contracts.number_digests import NumberDigests
from contracts.number_state import DoNotCallEntry
from contracts.streams import NUMBERS

START = datetime.now(UTC) + timedelta(days=300)
HOUR = timedelta(hours=1)


def clock(factor: float) -> TimeMapping:
    """Returns a clock that shows `START` now."""
    return TimeMapping(starts_at=START, real_starts_at=datetime.now(UTC), factor=factor)


def a_request(request_id: str, scheduled_at: datetime) -> CallRequested:
    return CallRequested(
        request_id=request_id,
        campaign_id="spring",
        contact_id="c-1",
        phone_number=number_for(request_id),
        script_template="Hello.",
        language="en",
        scheduled_at=scheduled_at,
    )


async def test_deadlines_of_hours_pass_within_seconds_in_their_order(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    mapping = clock(3600)
    async with running(nats_url, 1, embedded_run=True, simulated_clock=mapping, twilio_calls_per_second=100):
        for number in (3, 1, 2):
            await outcome_of(bus_client, a_request(f"r-{number}", START + (number + 5) * HOUR))
        ids = [call_id_of(f"r-{number}") for number in (1, 2, 3)]
        await until_dialing(calls, ids, 3)
    dialled = [call for call_id in ids if (call := await call_of(calls, call_id))]
    instants = [call.dialed_at for call in dialled if call.dialed_at]
    assert instants == sorted(instants)
    assert [at > START + (number + 5) * HOUR for number, at in enumerate(instants, start=1)] == [True] * 3


async def test_the_server_fires_a_schedule_at_the_real_time_of_its_deadline(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    mapping, scheduled_at = clock(60), START + 100 * HOUR
    async with running(nats_url, 1, embedded_run=True, simulated_clock=mapping):
        await outcome_of(bus_client, a_request("later", scheduled_at))
        await until(lambda: schedules(bus_client, call_id_of("later")))
        assert await schedules(bus_client, call_id_of("later")) == [mapping.real_starts_at + 100 * HOUR / 60]
    call = await call_of(calls, call_id_of("later"))
    assert call
    assert START <= call.created_at < scheduled_at


async def test_a_period_of_a_campaign_begins_at_its_simulated_time(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    async with running(nats_url, 1, embedded_run=True, simulated_clock=clock(3600)):
        starts_at = START + 12 * HOUR
        terms = RequestedTerms(starts_at=starts_at)
        for command in (
            CampaignCreateRequested(campaign_id="spring", terms=terms),
            CampaignStartRequested(campaign_id="spring"),
        ):
            assert (await outcome_of(bus_client, command)).accepted
        ids = await ask("spring", 1)
        await until_dialing(calls, ids, 1)
    call = await call_of(calls, ids[0])
    assert call
    assert call.dialed_at
    assert call.dialed_at >= starts_at


async def test_entries_of_do_not_call_lists_have_simulated_times(
    nats_url: str, bus_client: Client, calls: EventLog, keyring: Keyring, ask: Ask
) -> None:
    numbers = EventLog(bus_client, NUMBERS.name, source="test", keyring=keyring)
    async with running(nats_url, 1, embedded_run=True, simulated_clock=clock(1)):
        ids = await ask("spring", 1)
        (call_id,) = await until_dialing(calls, ids, 1)
        await calls.append(OptOutKeyPressed(call_id=call_id, attempt=1, key="9"))
        listed = number_for("listed")
        digest = NumberDigests(b64decode(TEST_KEYS["NUMBER_DIGEST_KEY"])).of(listed)
        assert (await outcome_of(bus_client, NumberBlockRequested(number_digest=digest, phone_number=listed))).accepted
        await until(lambda: entries(numbers, 2))
    assert [entry.changed_at >= START for entry in await entries(numbers, 2)] == [True, True]


async def entries(numbers: EventLog, count: int) -> list[DoNotCallEntry]:
    """Returns the entries of all numbers once there are so many."""
    events = [stored.event for stored in await numbers.read([NumberChanged.subjects()])]
    found = [entry for event in events if isinstance(event, NumberChanged) for entry in event.number.do_not_call]
    return found if len(found) == count else []
