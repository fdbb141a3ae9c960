"""Calls have the terms of their campaign also while a replica has not read the campaigns, or cannot."""

from uuid import UUID

from nats.aio.client import Client
from tests.builders.numbers import number_for
from tests.integration.call_orchestrator.conftest import call_of, outcome_of, running, until

from chassis.event_log import EventLog
from chassis.metrics import UNREADABLE
from contracts import (
    CallCancelRequested,
    CallRequested,
    CampaignCreateRequested,
    RequestedTerms,
    call_id_of,
)

TERMS = RequestedTerms(script_template="Hello.", language="en", max_attempts=1, retention_days=3)


def request(name: str, campaign_id: str = "c-0") -> CallRequested:
    """Returns a request with a script of its own, so that it needs none of its campaign."""
    return CallRequested(
        campaign_id=campaign_id,
        contact_id=name,
        phone_number=number_for(name),
        request_id=name,
        script_template="Hello own.",
        language="en",
    )


async def create(client: Client, *campaign_ids: str) -> None:
    for campaign_id in campaign_ids:
        outcome = await outcome_of(client, CampaignCreateRequested(campaign_id=campaign_id, terms=TERMS))
        assert outcome.accepted, outcome.reasons


async def test_requests_that_a_replica_finds_at_its_start_become_calls_with_the_terms_of_their_campaign(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    async with running(nats_url, 1):
        await create(bus_client, *(f"c-{number}" for number in range(10)))
    names = [f"r-{number}" for number in range(20)]
    for name in names:
        await bus_client.jetstream().publish(CallRequested.subjects(), request(name).body())

    async def are_created() -> bool:
        return all([await call_of(calls, call_id_of(name)) for name in names])

    async with running(nats_url, 1):
        await until(are_created)
    created = [call for name in names if (call := await call_of(calls, call_id_of(name)))]
    assert {(call.max_attempts, call.max_retries, call.retention_days) for call in created} == {(1, 0, 3)}


async def test_an_event_of_a_newer_build_takes_the_terms_from_no_campaign_and_only_its_own_new_calls_wait(
    nats_url: str, bus_client: Client, calls: EventLog
) -> None:
    """The calls that it has can still be canceled. Its requests are decided once the event can be read."""
    js, met = bus_client.jetstream(), UNREADABLE.labels(reader="admission")
    before = met._value.get()
    async with running(nats_url, 1):
        await create(bus_client, "c-0", "newer")
        assert (await outcome_of(bus_client, request("r-0", "newer"))).accepted
        unreadable = await js.publish("campaign.changed.newer", b'{"of_a_newer_build": true}')

        async def are_forgotten() -> bool:
            return bool(met._value.get() > before + 1)  # they are before they are read again

        await until(are_forgotten)
        await js.publish(CallRequested.subjects(), request("waits", "newer").body())
        assert (await outcome_of(bus_client, request("r-1"))).accepted
        canceled = await outcome_of(bus_client, CallCancelRequested(call_id=call_id_of("r-0")))
        assert canceled.accepted, canceled.reasons
        assert await call_of(calls, call_id_of("waits")) is None
        await js.delete_msg("CALLS", unreadable.seq)
        waits = call_id_of("waits")

        async def is_created() -> bool:
            return await call_of(calls, waits) is not None

        await until(is_created)
    assert [await attempts_of(calls, call_id_of(name)) for name in ("r-1", "waits")] == [1, 1]


async def attempts_of(calls: EventLog, call_id: UUID) -> int | None:
    call = await call_of(calls, call_id)
    assert call
    return call.max_attempts
