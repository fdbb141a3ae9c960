"""No log of random campaigns has a dial that was not permitted, and nothing that was permitted waited.

The whole application runs in virtual time (`system`), and an oracle without its code reads the log (`oracle`). An
example is a random installation with up to three campaigns. The examples are the same in each run (`derandomize`).
``CAMPAIGN_EXAMPLES`` runs that many others, new ones each time.
"""

import os
from datetime import timedelta

import pytest
import structlog
from hypothesis import HealthCheck, example, given, settings
from tests.fakes.virtual_time import run_in_virtual_time
from tests.unit.call_orchestrator.campaign_property import contact_oracle
from tests.unit.call_orchestrator.campaign_property.contact_oracle import check_contacts
from tests.unit.call_orchestrator.campaign_property.oracle import Oracle
from tests.unit.call_orchestrator.campaign_property.run import Run
from tests.unit.call_orchestrator.campaign_property.scenario import Scenario, scenario_of, scenarios

EXAMPLES = os.environ.get("CAMPAIGN_EXAMPLES")
SETTLE, SETTLE_AFTER_RESTART = timedelta(seconds=3), timedelta(seconds=10)
"""How long messages are on their way, without and with the restart of a replica."""


def check(scenario: Scenario) -> Oracle:
    """Runs a scenario and checks its log."""
    warnings: list[structlog.typing.EventDict] = []

    def note(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        warnings.append(event)
        raise structlog.DropEvent

    structlog.configure(processors=[note], wrapper_class=structlog.make_filtering_bound_logger("warning"))
    run = run_in_virtual_time(Run.of(scenario))
    assert not run.system.errors
    failures = {"admission_interrupted", "contacts_interrupted", "contacts_not_taken"}
    assert not [one for one in warnings if one["event"] in failures]
    oracle = Oracle(scenario, SETTLE_AFTER_RESTART if run.is_restarted else SETTLE, list_changes=run.list_changes)
    oracle.scheduled = {one.request_id or "": one.scheduled_at for one in run.requests}
    oracle.check(run.system.log.stored, run.ended_at)
    check_contacts(
        oracle,
        run.system.log.stored,
        run.system.contacts.added,
        run.system.contacts.waiting(),
        run.ended_at,
        contact_oracle.SETTLE_AFTER_RESTART if run.is_restarted else contact_oracle.SETTLE,
    )
    assert not run.system.crossed, "two attempts are connected with one number"
    return oracle


@pytest.mark.timeout(3_600)  # many examples, or a loaded machine
@settings(
    max_examples=int(EXAMPLES or "200"),
    derandomize=EXAMPLES is None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(scenarios())
@example(scenario_of(621, 7))  # the pace becomes faster while a call waits for it
def test_each_dial_is_permitted_and_nothing_that_is_permitted_waits(scenario: Scenario) -> None:
    check(scenario)
