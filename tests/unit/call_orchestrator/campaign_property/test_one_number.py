"""Many calls to one number: each is woken when its turn comes, and none asks again after each other call."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.fakes.virtual_time import run_in_virtual_time
from tests.unit.call_orchestrator.campaign_property.run import Run
from tests.unit.call_orchestrator.campaign_property.scenario import PEOPLE, Action, Scenario

from call_orchestrator.domain.limits import Limits
from contracts import CallDecision, CallPutOff, CallStatus

CALLS = 24


@pytest.mark.parametrize("campaigns", [1, 2])
@pytest.mark.parametrize("outcome", ["busy", "confirmed"])
def test_each_of_many_calls_to_one_number_is_put_off_about_once_for_each_campaign(outcome: str, campaigns: int) -> None:
    scenario = Scenario(
        seed=1,
        begins_at=datetime(2026, 6, 10, 14, tzinfo=UTC),
        replicas=2,
        limits=Limits(max_live=4, max_live_per_campaign=None, max_unclaimed=4),
        retry_delay=timedelta(minutes=1),
        dial_within=timedelta(hours=24),
        terms=(None,) * campaigns,
        people=(PEOPLE[12],),
        actions=tuple(Action(0.5, "request", (number % campaigns, 0, None, None, 0)) for number in range(CALLS)),
        outcomes=(outcome,),
    )
    run = run_in_virtual_time(Run.of(scenario))
    decisions = [one for one in run.system.log.events() if isinstance(one, CallDecision)]
    put_offs = [one.call.request_id for one in decisions if isinstance(one, CallPutOff)]
    ended = [one.call.status for one in decisions if one.call.status.is_final]
    assert ended == [CallStatus.BUSY if outcome == "busy" else CallStatus.COMPLETED] * CALLS
    assert len(put_offs) < (campaigns + 1) * CALLS
