"""Dials that random campaigns hardly ever try: each example was computed by hand.

Each of these errors in the service was found by its example: the rules of the whole country alone for a number without
a region, the holidays of the whole country alone, named lists ignored at the grant or at the request, a closing time
that is still open.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.fakes.virtual_time import run_in_virtual_time
from tests.unit.call_orchestrator.campaign_property.run import Run
from tests.unit.call_orchestrator.campaign_property.scenario import PEOPLE, Action, Person, Scenario

from call_orchestrator.domain.limits import Limits
from contracts import CallCreated, CallDecision, CallStatus
from contracts.vocabulary import Purpose, RefusalCode

SPANISH_MOBILE, LONDON = PEOPLE[0], PEOPLE[12]
TOLL_FREE = Person("+18005550123", ("US", (), ("America/New_York",)), "America/New_York")
REQUEST = Action(0, "request", (0, 0, Purpose.SALES, None, 0))


def run_of(begins_at: datetime, person: Person, *actions: Action, **terms: Any) -> Run:
    scenario = Scenario(
        seed=1,
        begins_at=begins_at,
        replicas=2,
        limits=Limits(max_live=2, max_live_per_campaign=None, max_unclaimed=2),
        retry_delay=timedelta(minutes=1),
        dial_within=timedelta(hours=24),
        terms=({"script_template": "Hola.", **terms},),
        people=(person,),
        actions=actions,
        outcomes=("confirmed",),
    )
    run = run_in_virtual_time(Run.of(scenario))
    assert not run.system.errors
    return run


def decisions(run: Run) -> list[CallDecision]:
    return [event for event in run.system.log.events() if isinstance(event, CallDecision)]


def dialled_at(run: Run) -> list[datetime]:
    """Returns when attempts began, in whole seconds."""
    begun = [one.occurred_at for one in decisions(run) if one.call.status is CallStatus.DIALING]
    return [at.replace(microsecond=0) for at in begun]


def test_a_number_of_no_region_is_dialled_only_when_the_rules_of_each_region_permit_it() -> None:
    """The federal hours last until 21:00; those of Maine end at 17:00, and those of Kentucky begin at 10:00."""
    run = run_of(datetime(2026, 6, 11, 21, 30, tzinfo=UTC), TOLL_FREE, REQUEST)
    [dialled] = dialled_at(run)
    opens_at = datetime(2026, 6, 12, 14, tzinfo=UTC)
    assert opens_at <= dialled < opens_at + timedelta(seconds=5)


def test_a_number_of_no_region_is_not_dialled_on_the_holiday_of_any_region() -> None:
    """24 June is a holiday of Catalonia. On the next day, it is 10:00 in the Canaries at 09:00 UTC."""
    run = run_of(datetime(2026, 6, 24, 16, tzinfo=UTC), SPANISH_MOBILE, REQUEST)
    [dialled] = dialled_at(run)
    opens_at = datetime(2026, 6, 25, 9, tzinfo=UTC)
    assert opens_at <= dialled < opens_at + timedelta(seconds=5)


def test_a_call_that_is_scheduled_for_the_instant_at_which_the_hours_end_is_due_when_they_begin_again() -> None:
    """Windows do not contain their end: 20:00 in London."""
    begins_at = datetime(2026, 6, 11, 18, tzinfo=UTC)
    run = run_of(begins_at, LONDON, Action(0, "request", (0, 0, Purpose.SALES, 3_600, 0)))
    [created] = [one for one in decisions(run) if isinstance(one, CallCreated)]
    assert created.scheduled_at == begins_at + timedelta(hours=1)
    assert created.call.due_at == datetime(2026, 6, 12, 8, tzinfo=UTC)
    [dialled] = dialled_at(run)
    assert dialled >= created.call.due_at


def test_a_number_on_a_named_list_of_the_campaign_is_not_dialled() -> None:
    """The first call waits when the number is listed, and the second one is requested after that."""
    run = run_of(
        datetime(2026, 6, 11, 12, tzinfo=UTC),
        LONDON,
        Action(1, "pause", (0,)),
        Action(1, "request", (0, 0, Purpose.SALES, None, 0)),
        Action(5, "block_on", (0, "former_customers")),
        Action(5, "request", (0, 0, Purpose.SALES, None, 0)),
        Action(5, "resume", (0,)),
        do_not_call_lists=["former_customers"],
    )
    assert dialled_at(run) == []
    [created] = [one for one in decisions(run) if isinstance(one, CallCreated)]
    ended = decisions(run)[-1].call
    assert (ended.call_id, ended.status) == (created.call_id, CallStatus.FAILED)
    assert ended.permission
    assert ended.permission.rule == "do_not_call"
    codes = [one.code for one in run.system.outcomes.values() if not one.accepted]
    assert codes == [RefusalCode.DO_NOT_CALL]


def test_a_number_on_a_named_list_that_the_campaign_does_not_name_is_dialled() -> None:
    run = run_of(
        datetime(2026, 6, 11, 12, tzinfo=UTC),
        LONDON,
        Action(1, "block_on", (0, "former_customers")),
        Action(5, "request", (0, 0, Purpose.SALES, None, 0)),
        do_not_call_lists=["others"],
    )
    assert len(dialled_at(run)) == 1
