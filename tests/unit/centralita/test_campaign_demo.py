"""The plan of the demo's two campaigns: its day, its contacts, its terms and its expected outcomes."""

import csv
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from centralita.__main__ import app
from centralita.demo.campaign_plan import EASTERN, EXPECTED, EXPLAINED, LATE, OFFERS, REMINDERS, clock, contacts, terms
from contracts import RequestedTerms
from contracts.script import missing_variables


def rows(campaign_id: str) -> list[dict[str, str]]:
    return list(csv.DictReader(contacts(campaign_id).read_text().splitlines()))


@pytest.mark.parametrize(
    ("now", "day"),
    [
        (datetime(2026, 7, 1, 12, tzinfo=UTC), "2026-07-02"),
        (datetime(2026, 7, 2, 12, tzinfo=UTC), "2026-07-06"),  # Independence Day is observed on Friday
        (datetime(2026, 12, 24, 12, tzinfo=UTC), "2026-12-28"),
        (datetime(2027, 3, 13, 12, tzinfo=UTC), "2027-03-15"),  # summer time begins on Sunday
    ],
)
def test_the_simulated_day_is_the_next_working_day(now: datetime, day: str) -> None:
    begin = clock(now).starts_at.astimezone(EASTERN)
    assert f"{begin:%Y-%m-%d %H:%M}" == f"{day} 11:40"
    assert begin - now > timedelta(hours=12)


@pytest.mark.parametrize("campaign_id", [REMINDERS, OFFERS])
def test_the_terms_are_acceptable_and_fit_the_contacts(campaign_id: str) -> None:
    now = datetime.now(UTC)
    requested = RequestedTerms.model_validate(terms(clock(now).starts_at)[campaign_id])
    assert requested.refusals(now) == []
    for row in rows(campaign_id):
        number = row["phone_number"]
        assert number[:2] == "+1", "the country that SETTINGS allows"
        assert number[5:9] == "5550" or len(number) < 12, "a number that is reserved for fiction, or an incomplete one"
        assert missing_variables(requested.script_template or "", row) == []


def test_each_contact_has_an_expected_outcome() -> None:
    named = {row["contact_id"] for campaign_id in (REMINDERS, OFFERS) for row in rows(campaign_id)}
    assert named - EXPECTED.keys() == {"radia-twice", "no-number"}, "a duplicate and a wrong row"
    assert EXPECTED.keys() - named == {LATE}
    assert set(EXPLAINED) <= EXPECTED.keys()


@pytest.mark.parametrize("other", ["--faults", "--live"])
def test_the_kinds_of_demo_exclude_each_other(other: str) -> None:
    refused = CliRunner().invoke(app, ["demo", "--campaigns", other])
    assert refused.exit_code == 2
    assert "Give one of" in refused.output


@pytest.mark.parametrize("arguments", [["--forget", "leslie"], ["--campaigns", "--forget", "radia"]])
def test_only_a_person_of_the_campaigns_whose_calls_end_can_be_forgotten(arguments: list[str]) -> None:
    refused = CliRunner().invoke(app, ["demo", *arguments])
    assert refused.exit_code == 2
    assert "ada, grace, edsger" in " ".join(refused.output.split())
