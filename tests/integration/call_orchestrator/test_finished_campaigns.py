"""The end of waiting calls when their campaign is finished, on a real nats-server."""

from datetime import UTC, datetime, timedelta

from nats.aio.client import Client
from tests.builders.numbers import number_for
from tests.builders.policies import ANY_TIME_POLICY
from tests.integration.call_orchestrator.conftest import (
    Ask,
    call_of,
    outcome_of,
    running,
    until,
    until_queued,
    with_status,
)

from centralita.replay.record import from_streams
from centralita.replay.scope import Scope
from centralita.replay.verifying import verify
from chassis.event_log import EventLog
from contracts import (
    CallRequested,
    CallStatus,
    CampaignCreateRequested,
    CampaignFinishRequested,
    RequestedTerms,
    call_id_of,
)


async def test_scheduled_and_queued_calls_of_a_finished_campaign_end_and_others_wait_on(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask
) -> None:
    draft = CampaignCreateRequested(campaign_id="spring", terms=RequestedTerms(script_template="Hello."))
    tomorrow = CallRequested(
        request_id="tomorrow",
        campaign_id="spring",
        contact_id="c-1",
        phone_number=number_for("tomorrow"),
        scheduled_at=datetime.now(UTC) + timedelta(days=1),
    )
    changes = {"request_id": "other", "campaign_id": "autumn", "script_template": "Hello."}
    other = tomorrow.model_copy(update={**changes, "phone_number": number_for("other")})
    async with running(nats_url, 2):
        assert (await outcome_of(bus_client, draft)).accepted
        queued = await ask("spring", 3)
        await until_queued(calls, queued)
        for request in (tomorrow, other):
            assert (await outcome_of(bus_client, request)).accepted
        waiting = [*queued, call_id_of("tomorrow")]
        assert (await outcome_of(bus_client, CampaignFinishRequested(campaign_id="spring"))).accepted

        async def have_ended() -> bool:
            return len(await with_status(calls, waiting, CallStatus.EXPIRED)) == len(waiting)

        await until(have_ended)
    for one in waiting:
        call = await call_of(calls, one)
        assert call
        assert call.reason == "its campaign is finished"
    assert await with_status(calls, [call_id_of("other")], CallStatus.PENDING)
    verification = await verify(await from_streams(bus_client, Scope()), calling_policy=ANY_TIME_POLICY)
    assert (verification.drifts, verification.doubts) == ((), ())
