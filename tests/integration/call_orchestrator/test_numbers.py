"""The states of numbers on a real server: one live call per number, and how long a state is kept."""

from base64 import b64encode
from datetime import timedelta

import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError
from tests.builders.calls import NOW, a_call
from tests.builders.events import an_envelope
from tests.builders.policies import ANY_TIME_POLICY
from tests.integration.call_orchestrator.conftest import Ask, call_of, end, running, until, until_dialing, with_status

from call_orchestrator.application.numbers import MIN_RETENTION, Numbers
from centralita.replay.record import from_streams
from centralita.replay.scope import Scope
from centralita.replay.verifying import verify
from chassis.event_log import Conflict, EventLog
from contracts import CallRequested, CallStatus, NumberChanged, call_id_of
from contracts.number_digests import NumberDigests
from contracts.number_state import DoNotCallEntry, LiveAttempt
from contracts.streams import NUMBERS
from contracts.vocabulary import DoNotCallSource

NUMBER = "+12125550123"
LIVE = LiveAttempt(call_id=a_call().call_id, attempt=1, grant_sequence=1, dialed_at=NOW)


def request(index: int) -> CallRequested:
    return CallRequested(
        request_id=f"same-{index}",
        campaign_id=f"campaign-{index % 3}",
        contact_id="c-1",
        phone_number=NUMBER,
        script_template="Hello.",
        language="en",
        max_retries=0,
    )


async def test_of_fifty_concurrent_requests_for_one_number_one_call_is_live_with_three_replicas(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    js = bus_client.jetstream()
    ids = [call_id_of(f"same-{index}") for index in range(50)]
    async with running(nats_url, 3, max_concurrent_calls=60, twilio_calls_per_second=100):
        for index in range(50):
            await js.publish("call.requested", request(index).body())
        (live,) = await until_dialing(calls, ids, 1)

        async def are_put_off() -> bool:
            found = [await call_of(calls, one) for one in ids if one != live]
            return all(call and call.permission and call.permission.rule == "number_in_use" for call in found)

        await until(are_put_off)
        assert await with_status(calls, ids, CallStatus.DIALING) == [live]
    first = await call_of(calls, live)
    assert first
    assert first.deadline_at
    for one in ids:
        waiting = await call_of(calls, one)
        assert waiting
        if one != live:
            assert waiting.due_at
            assert waiting.due_at >= first.deadline_at, "the live call ends then at the latest"
    assert (await js.stream_info(NUMBERS.name)).state.messages == 1, "one message for the number"
    verification = await verify(await from_streams(bus_client, Scope()), calling_policy=ANY_TIME_POLICY)
    assert (verification.drifts, verification.doubts) == ((), ())


async def test_a_call_claims_and_releases_its_number_by_two_messages(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    js = bus_client.jetstream()
    async with running(nats_url, 1):
        ids = await ask("reminders", 1)
        await until_dialing(calls, ids, 1)
        claimed = await js.stream_info(NUMBERS.name)
        await end(calls, ids[0])
        await until(lambda: with_status(calls, ids, CallStatus.BUSY))

        async def is_released() -> bool:
            return (await js.stream_info(NUMBERS.name)).state.last_seq == 2

        await until(is_released)
    assert claimed.state.last_seq == 1
    message = await js.get_msg(NUMBERS.name, 2)
    assert b'"live"' not in (message.data or b"")
    assert b"+1" not in (message.data or b""), "the digest stands for the number"


@pytest.fixture
async def numbers(bus_client: Client) -> Numbers:
    log = EventLog(bus_client, NUMBERS.name, source="test")
    return Numbers(log, NumberDigests(b"test"), timedelta(days=30))


async def test_a_state_is_kept_as_long_as_the_longest_cap_and_an_entry_of_a_list_for_ever(
    bus_client: Client, numbers: Numbers
) -> None:
    stored = await numbers.load(NUMBER)
    stored = await numbers.append(stored, stored.number.claimed(LIVE), an_envelope())
    headers = (await bus_client.jetstream().get_msg(NUMBERS.name, stored.sequence)).headers or {}
    assert headers["Nats-TTL"] == f"{30 * 24 * 3600}s"
    entry = DoNotCallEntry(changed_at=NOW, source=DoNotCallSource.IMPORT)
    listed = stored.number.model_copy(update={"do_not_call": (entry,), "phone_number": NUMBER})
    stored = await numbers.append(stored, listed, an_envelope())
    assert "Nats-TTL" not in ((await bus_client.jetstream().get_msg(NUMBERS.name, stored.sequence)).headers or {})


async def test_an_expired_state_counts_as_none(bus_client: Client, numbers: Numbers) -> None:
    log = EventLog(bus_client, NUMBERS.name, source="test")
    known = await numbers.load(NUMBER)
    claimed = NumberChanged(number=known.number.claimed(LIVE), occurred_at=NOW)
    await log.append(claimed, ttl_seconds=1)
    with pytest.raises(Conflict):
        await numbers.append(known, known.number.claimed(LIVE), an_envelope())

    async def is_expired() -> bool:
        try:
            await bus_client.jetstream().get_last_msg(NUMBERS.name, claimed.subject)
        except NotFoundError:
            return True
        return False

    await until(is_expired)
    again = await numbers.load(NUMBER)
    assert (again.sequence, again.number.live) == (0, None)
    await numbers.append(again, again.number.claimed(LIVE), an_envelope())


async def test_a_claim_of_a_replica_that_died_is_taken_over(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    """The claim is in the stream before its call exists in the log: a replica died, and the log was restored."""
    digests = NumberDigests(bytes(range(32)))
    async with running(nats_url, 1, number_digest_key=b64encode(bytes(range(32))).decode()):
        numbers = Numbers(EventLog(bus_client, NUMBERS.name, source="test"), digests, MIN_RETENTION)
        stored = await numbers.load(NUMBER)
        await numbers.append(stored, stored.number.claimed(LIVE), an_envelope())
        await bus_client.jetstream().publish("call.requested", request(0).body())
        (dialled,) = await until_dialing(calls, [call_id_of("same-0")], 1)
    number = (await numbers.load(NUMBER)).number
    assert number.live
    assert number.live.call_id == dialled
