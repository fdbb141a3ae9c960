"""The states of numbers on a real server: one live call per number, and how long a state is kept."""

from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from unittest.mock import AsyncMock, Mock
from uuid import UUID

import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError
from tests.builders.calls import NOW, a_call
from tests.builders.consumers import is_settled
from tests.builders.events import an_envelope
from tests.builders.policies import ANY_TIME_POLICY
from tests.builders.secret_keys import TEST_KEYS
from tests.integration.call_orchestrator.conftest import (
    Ask,
    call_of,
    end,
    outcome_of,
    running,
    until,
    until_dialing,
    until_queued,
    with_status,
)

from call_orchestrator.application.do_not_call import DoNotCall
from call_orchestrator.application.numbers import MIN_RETENTION, Numbers
from centralita.replay.record import from_streams
from centralita.replay.scope import Scope
from centralita.replay.verifying import verify
from chassis.dead_letter_acts import CannotRetry, find_dead_letter, retry
from chassis.dead_letters import store_dead_letter
from chassis.deletion import erase_message
from chassis.event_log import Conflict, EventLog
from chassis.keyring import Keyring
from chassis.sealed_copies import RequestSealer
from contracts import (
    CallChangeRequested,
    CallRequested,
    CallStatus,
    CampaignChangeRequested,
    CampaignCreateRequested,
    CampaignPauseRequested,
    CampaignResumeRequested,
    CampaignStartRequested,
    CommandOutcome,
    ConversationEnded,
    DialClaimed,
    Disposition,
    Event,
    NumberBlockRequested,
    NumberChanged,
    NumberCommand,
    NumberUnblockRequested,
    OptOutKeyPressed,
    RequestedTerms,
    call_id_of,
    outcome_subject,
)
from contracts.consumers import ORCHESTRATOR_FACTS
from contracts.dead_letters import DeadLetter
from contracts.number_digests import NumberDigests
from contracts.number_state import DoNotCallEntry, LiveAttempt
from contracts.personal import ERASED, HIDDEN
from contracts.streams import NUMBERS, REQUESTS
from contracts.vocabulary import DoNotCallSource, RefusalCode

NUMBER, OTHER_NUMBER = "+12125550123", "+12125550124"
DIGESTS = NumberDigests(b64decode(TEST_KEYS["NUMBER_DIGEST_KEY"]))
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


async def test_the_end_of_a_call_wakes_the_next_one_to_its_number(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    """Without that, the next call would wait for ten minutes, the longest time of the one before."""
    ids = [call_id_of(f"same-{index}") for index in range(3)]
    log = EventLog(bus_client, NUMBERS.name, source="test")

    async def are_noted(count: int) -> bool:
        last = await log.last(NumberChanged.subjects())
        return last is not None and isinstance(last.event, NumberChanged) and len(last.event.number.waiting) == count

    async with running(nats_url, 2):
        for index in range(3):
            await bus_client.jetstream().publish("call.requested", request(index).body())
        for ended in range(3):
            (live,) = await until_dialing(calls, ids, 1)
            await until(partial(are_noted, 2 - ended))
            await end(calls, live)
            await until(partial(with_status, calls, [live], CallStatus.BUSY))
    verification = await verify(await from_streams(bus_client, Scope()), calling_policy=ANY_TIME_POLICY)
    assert (verification.drifts, verification.doubts) == ((), ())


async def test_a_call_claims_its_number_by_one_message_and_its_end_stores_none(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    js = bus_client.jetstream()
    async with running(nats_url, 1):
        ids = await ask("reminders", 1)
        await until_dialing(calls, ids, 1)
        await end(calls, ids[0])
        await until(lambda: with_status(calls, ids, CallStatus.BUSY))

        await until(lambda: is_settled(bus_client, ORCHESTRATOR_FACTS))
    assert (await js.stream_info(NUMBERS.name)).state.last_seq == 1
    message = await js.get_msg(NUMBERS.name, 1)
    assert b"+1" not in (message.data or b""), "the digest stands for the number"


@pytest.fixture
async def numbers(bus_client: Client, keyring: Keyring) -> Numbers:
    log = EventLog(bus_client, NUMBERS.name, source="test", keyring=keyring)
    return Numbers(log, DIGESTS, timedelta(days=30))


async def test_a_state_is_kept_as_long_as_the_longest_cap_and_an_entry_of_a_list_for_ever(
    bus_client: Client, numbers: Numbers
) -> None:
    stored = await numbers.load_digest(DIGESTS.of(NUMBER))
    stored = await numbers.append(stored, stored.number.claimed(LIVE), an_envelope())
    headers = (await bus_client.jetstream().get_msg(NUMBERS.name, stored.sequence)).headers or {}
    assert headers["Nats-TTL"] == f"{30 * 24 * 3600}s"
    entry = DoNotCallEntry(changed_at=NOW, source=DoNotCallSource.IMPORT)
    listed = stored.number.model_copy(update={"do_not_call": (entry,), "phone_number": NUMBER})
    stored = await numbers.append(stored, listed, an_envelope())
    message = await bus_client.jetstream().get_msg(NUMBERS.name, stored.sequence)
    assert "Nats-TTL" not in (message.headers or {})
    assert NUMBER[1:].encode() not in (message.data or b""), "it is sealed"
    assert (await numbers.load_digest(DIGESTS.of(NUMBER))).number.phone_number == NUMBER
    hidden = await EventLog(bus_client, NUMBERS.name, source="test").last(NumberChanged.subject_for(DIGESTS.of(NUMBER)))
    assert hidden
    assert isinstance(hidden.event, NumberChanged)
    assert (hidden.event.number.phone_number, hidden.event.number.do_not_call) == (HIDDEN, (entry,))


async def test_a_number_whose_key_is_destroyed_stays_listed_by_its_digest(numbers: Numbers, keyring: Keyring) -> None:
    entry = DoNotCallEntry(changed_at=NOW, source=DoNotCallSource.IMPORT)
    stored = await numbers.load_digest(DIGESTS.of(NUMBER))
    listed = stored.number.model_copy(update={"do_not_call": (entry,), "phone_number": NUMBER})
    await numbers.append(stored, listed, an_envelope())
    await keyring.destroy(DIGESTS.of(NUMBER))
    stored = await numbers.load_digest(DIGESTS.of(NUMBER))
    assert (stored.number.phone_number, stored.number.is_listed) == (ERASED, True)
    await numbers.append(stored, stored.number.claimed(LIVE), an_envelope())
    assert (await numbers.load_digest(DIGESTS.of(NUMBER))).number == stored.number.claimed(LIVE)


async def test_an_expired_state_counts_as_none(bus_client: Client, numbers: Numbers) -> None:
    log = EventLog(bus_client, NUMBERS.name, source="test")
    lasting = await numbers.load_digest(DIGESTS.of(OTHER_NUMBER))
    await log.append(NumberChanged(number=lasting.number.claimed(LIVE), occurred_at=NOW))
    with pytest.raises(Conflict):
        await numbers.append(lasting, lasting.number.claimed(LIVE), an_envelope())
    known = await numbers.load_digest(DIGESTS.of(NUMBER))
    claimed = NumberChanged(number=known.number.claimed(LIVE), occurred_at=NOW)
    await log.append(claimed, ttl_seconds=1)

    async def is_expired() -> bool:
        try:
            await bus_client.jetstream().get_last_msg(NUMBERS.name, claimed.subject)
        except NotFoundError:
            return True
        return False

    await until(is_expired)
    again = await numbers.load_digest(DIGESTS.of(NUMBER))
    assert (again.sequence, again.number.live) == (0, None)
    await numbers.append(again, again.number.claimed(LIVE), an_envelope())


async def test_a_claim_of_a_replica_that_died_is_taken_over(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    """The claim is in the stream before its call exists in the log: a replica died, and the log was restored."""
    async with running(nats_url, 1):
        numbers = Numbers(EventLog(bus_client, NUMBERS.name, source="test"), DIGESTS, MIN_RETENTION)
        stored = await numbers.load_digest(DIGESTS.of(NUMBER))
        await numbers.append(stored, stored.number.claimed(LIVE), an_envelope())
        await bus_client.jetstream().publish("call.requested", request(0).body())
        (dialled,) = await until_dialing(calls, [call_id_of("same-0")], 1)
    number = (await numbers.load_digest(DIGESTS.of(NUMBER))).number
    assert number.live
    assert number.live.call_id == dialled


@pytest.mark.parametrize("is_woken", [False, True])
async def test_a_call_that_is_changed_to_another_number_does_not_wait_for_the_former_one(
    nats_url: str, bus_client: Client, calls: EventLog, *, is_woken: bool
) -> None:
    """`is_woken`: before it is changed. It waits for a slot then, because its campaign is paused."""
    asked = [request(index).model_copy(update={"campaign_id": "spring"}) for index in range(4)]
    asked[3] = asked[3].model_copy(update={"phone_number": OTHER_NUMBER})
    first, changed, second, other = (call_id_of(one.request_id or "") for one in asked)

    async def is_put_off(call_id: UUID) -> bool:
        call = await call_of(calls, call_id)
        return bool(call and call.permission and call.permission.rule == "number_in_use" and not call.is_queued)

    async with running(nats_url, 2):
        for one, id in ((asked[3], other), (asked[0], first)):
            assert (await outcome_of(bus_client, one)).accepted
            await until_dialing(calls, [id], 1)
            await calls.append(DialClaimed(call_id=id, attempt=1))  # otherwise no further slot is granted
        for one, id in ((asked[1], changed), (asked[2], second)):
            assert (await outcome_of(bus_client, one)).accepted
            await until(partial(is_put_off, id))
        at = None if is_woken else datetime.now(UTC)
        change = CallChangeRequested(call_id=changed, phone_number=OTHER_NUMBER, scheduled_at=at)
        if is_woken:
            await outcome_of(bus_client, CampaignPauseRequested(campaign_id="spring"))
            await end(calls, first)
            await until_queued(calls, [changed])
        assert (await outcome_of(bus_client, change)).accepted
        if is_woken:
            await until_queued(calls, [second])
            await outcome_of(bus_client, CampaignResumeRequested(campaign_id="spring"))
        else:
            await until(partial(is_put_off, changed))
            await end(calls, first)
        await until_dialing(calls, [second], 1)
        await calls.append(DialClaimed(call_id=second, attempt=1))
        await until(partial(is_put_off, changed))
        await end(calls, other)
        await until_dialing(calls, [changed], 1)


def block(campaign_id: str | None = None, phone_number: str = NUMBER) -> NumberBlockRequested:
    return NumberBlockRequested(
        number_digest=DIGESTS.of(phone_number), phone_number=phone_number, campaign_id=campaign_id
    )


def said_so(call_id: UUID) -> Event:
    return ConversationEnded(call_id=call_id, attempt=1, turn=1, disposition=Disposition.OPT_OUT, summary="")


def pressed_key(call_id: UUID) -> Event:
    return OptOutKeyPressed(call_id=call_id, attempt=1, key="9")


@pytest.mark.parametrize(
    ("opt_out", "source"), [(said_so, DoNotCallSource.OPT_OUT), (pressed_key, DoNotCallSource.KEY)]
)
async def test_an_opt_out_lists_the_number_and_ends_the_retry_that_waits_in_another_campaign(
    nats_url: str,
    bus_client: Client,
    calls: EventLog,
    numbers: Numbers,
    opt_out: Callable[[UUID], Event],
    source: DoNotCallSource,
) -> None:
    async def is_listed() -> bool:
        return (await numbers.load_digest(DIGESTS.of(NUMBER))).number.is_listed

    js = bus_client.jetstream()
    first, second = (request(index).model_copy(update={"max_retries": 1}) for index in range(2))
    second = second.model_copy(update={"retry_delay_seconds": 3})
    async with running(nats_url, 2):
        await js.publish("call.requested", second.body())
        (retried,) = await until_dialing(calls, [call_id_of("same-1")], 1)
        # Paused, because the retry would be dialled if it were due before the other campaign dials the number.
        assert (await outcome_of(bus_client, CampaignPauseRequested(campaign_id=second.campaign_id))).accepted
        await end(calls, retried)
        await until(lambda: with_status(calls, [retried], CallStatus.PENDING))
        await js.publish("call.requested", first.body())
        (talking,) = await until_dialing(calls, [call_id_of("same-0")], 1)
        await calls.append(opt_out(talking))
        await until(is_listed)
        assert (await outcome_of(bus_client, CampaignResumeRequested(campaign_id=second.campaign_id))).accepted
        await until(lambda: with_status(calls, [retried], CallStatus.FAILED))
        refused = await outcome_of(bus_client, request(2))
        other = await outcome_of(bus_client, request(3).model_copy(update={"phone_number": "+12125550124"}))
    ended = await call_of(calls, retried)
    assert ended
    assert ended.permission
    assert ended.permission.rule == "do_not_call"
    assert ended.permission.listing
    assert ended.permission.listing.source is source
    assert ended.attempt == 1, "the retry was not dialled"
    assert (refused.accepted, refused.code) == (False, RefusalCode.DO_NOT_CALL)
    assert other.accepted
    verification = await verify(await from_streams(bus_client, Scope()), calling_policy=ANY_TIME_POLICY)
    assert (verification.drifts, verification.doubts) == ((), ())


async def test_a_change_of_the_lists_of_a_campaign_counts_for_calls_that_wait(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    """The number is listed before the campaign names the list; both precede the grant."""
    terms = RequestedTerms(script_template="Hello.")
    asked = request(0).model_copy(update={"campaign_id": "spring"})
    async with running(nats_url, 2):
        create = CampaignCreateRequested(campaign_id="spring", terms=terms)
        listed = block().model_copy(update={"list_name": "vip"})
        named = terms.model_copy(update={"do_not_call_lists": ("vip",)})
        for command in (create, listed, asked, CampaignChangeRequested(campaign_id="spring", terms=named)):
            assert (await outcome_of(bus_client, command)).accepted
        assert (await outcome_of(bus_client, CampaignStartRequested(campaign_id="spring"))).accepted
        await until(lambda: with_status(calls, [call_id_of("same-0")], CallStatus.FAILED))
        refused = await outcome_of(bus_client, request(1).model_copy(update={"campaign_id": "spring"}))
    ended = await call_of(calls, call_id_of("same-0"))
    assert ended
    assert ended.permission
    assert ended.permission.listing
    assert (ended.permission.listing.list_name, ended.permission.campaign.do_not_call_lists) == ("vip", ("vip",))
    assert (refused.accepted, refused.code) == (False, RefusalCode.DO_NOT_CALL)
    verification = await verify(await from_streams(bus_client, Scope()), calling_policy=ANY_TIME_POLICY)
    assert (verification.drifts, verification.doubts) == ((), ())


async def test_a_number_is_listed_and_removed_by_commands_for_one_campaign_and_for_all(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    unblock = NumberUnblockRequested(number_digest=DIGESTS.of(NUMBER))
    async with running(nats_url, 2):
        assert (await outcome_of(bus_client, block("campaign-1"))).accepted
        assert not (await outcome_of(bus_client, request(1))).accepted
        assert (await outcome_of(bus_client, request(0))).accepted, "the list of another campaign"
        assert (await outcome_of(bus_client, block())).accepted
        assert not (await outcome_of(bus_client, request(3))).accepted
        assert (await outcome_of(bus_client, unblock)).accepted
        assert (await outcome_of(bus_client, request(6))).accepted
        assert not (await outcome_of(bus_client, request(4))).accepted, "the entry of the campaign stays"
        wrong = await outcome_of(bus_client, block().model_copy(update={"phone_number": "+12125550124"}))
    assert not wrong.accepted
    assert "NUMBER_DIGEST_KEY" in wrong.reasons[0]
    verification = await verify(await from_streams(bus_client, Scope()), calling_policy=ANY_TIME_POLICY)
    assert (verification.drifts, verification.doubts) == ((), ())


async def test_the_newest_change_of_a_list_counts_in_any_order_of_deliveries(
    bus_client: Client, calls: EventLog, numbers: Numbers
) -> None:
    commands: list[NumberCommand] = [block(), NumberUnblockRequested(number_digest=DIGESTS.of(NUMBER)), block()]
    for count, is_listed in ((2, False), (3, True)):
        do_not_call = DoNotCall(numbers, calls)
        delivered = list(enumerate(commands[:count], start=count * 10))
        for position, command in (*reversed(delivered), *delivered):
            at = NOW + timedelta(seconds=position)
            outcome = await do_not_call.handle(command, at, an_envelope(f"c-{position}"))
            is_newest_kind = type(command) is type(commands[count - 1])
            assert outcome.accepted is is_newest_kind, "a later change of the list contradicts the others"
        number = (await numbers.load_digest(DIGESTS.of(NUMBER))).number
        assert number.is_listed is is_listed
        assert number.phone_number == (NUMBER if is_listed else None)
        assert len(number.do_not_call) == 1


async def test_a_dead_letter_that_is_retried_undoes_no_later_opt_out(
    nats_url: str, bus_client: Client, numbers: Numbers, keyring: Keyring
) -> None:
    unblock = NumberUnblockRequested(number_digest=DIGESTS.of(NUMBER))
    async with running(nats_url, 1):
        assert (await outcome_of(bus_client, block())).accepted
    js = bus_client.jetstream()
    ack = await js.publish(unblock.subject, unblock.body(), headers={"ce-id": "u-1"})
    (message,) = await (await js.pull_subscribe(unblock.subject, stream=REQUESTS.name)).fetch(1, timeout=60)
    copy = await RequestSealer(keyring, Mock(), AsyncMock()).copy_of(message, bus_client)
    dead_letter = DeadLetter.of(
        stream=REQUESTS.name,
        sequence=ack.seq,
        consumer="c",
        subject=unblock.subject,
        reasons=["Conflict"],
        deliveries=9,
    )
    await erase_message(bus_client, REQUESTS.name, ack.seq)
    async with running(nats_url, 2):
        assert (await outcome_of(bus_client, block())).accepted
        await store_dead_letter(bus_client, dead_letter, copy)
        outcomes = await bus_client.subscribe(outcome_subject("u-1"))
        with pytest.raises(CannotRetry, match="Use `centralita do-not-call remove`"):
            await retry(bus_client, await find_dead_letter(bus_client, 1), keyring=keyring)
        await retry(bus_client, await find_dead_letter(bus_client, 1), force=True, keyring=keyring)
        outcome = CommandOutcome.model_validate_json((await outcomes.next_msg(timeout=60)).data)
    assert not outcome.accepted
    assert outcome.reasons[0].startswith("number_digest: the list was changed after this command was sent")
    assert (await numbers.load_digest(DIGESTS.of(NUMBER))).number.is_listed


async def test_a_number_is_on_a_bounded_number_of_lists_and_always_on_that_of_all_campaigns(
    bus_client: Client, calls: EventLog, numbers: Numbers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contracts.number_state.MAX_ENTRIES", 3)
    do_not_call = DoNotCall(numbers, calls)

    async def accepts(second: int, command: NumberCommand) -> bool:
        return (await do_not_call.handle(command, NOW + timedelta(seconds=second), an_envelope(f"c-{second}"))).accepted

    assert [await accepts(second, block(f"campaign-{second}")) for second in range(4)] == [True, True, True, False]
    assert await accepts(5, block("campaign-0")), "it is on this list"
    assert await accepts(6, block())
    assert len((await numbers.load_digest(DIGESTS.of(NUMBER))).number.do_not_call) == 4
    unblock = NumberUnblockRequested(number_digest=DIGESTS.of(NUMBER))
    for second in range(7, 20):
        assert await accepts(second, unblock.model_copy(update={"campaign_id": f"campaign-{second}"}))
    number = (await numbers.load_digest(DIGESTS.of(NUMBER))).number
    assert [one.is_listed for one in number.do_not_call].count(True) == 4
    assert len(number.do_not_call) == 5, "the newest removal is kept"
