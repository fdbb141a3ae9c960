"""Campaigns in the contracts: which terms a command may have, and when the calls of a campaign may begin."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from contracts import (
    Campaign,
    CampaignCreated,
    CampaignStatus,
    CampaignTerms,
    Disposition,
    RequestedTerms,
    RequestedVoicemail,
    decode,
)
from contracts.retry_policy import RequestedRetryPolicy

NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
GOAL_MISSED = RequestedRetryPolicy.model_validate({"goal_missed": {"max_retries": 1, "delay_seconds": 60}})
DRAFT = Campaign(campaign_id="a").created(NOW, CampaignTerms())


@pytest.mark.parametrize(
    ("terms", "field", "remedy"),
    [
        ({"mode": "chat"}, "mode", "Input should be 'turn_based', 'live' or 'relay'"),
        (
            {"starts_at": NOW, "ends_at": NOW},
            "ends_at",
            "is not after starts_at; give a later instant, or leave it out",
        ),
        ({"max_concurrent_calls": 0}, "max_concurrent_calls", "greater than or equal to 1"),
        ({"name": " "}, "name", "at least 1 character"),
        ({"pace": 3}, "pace", "Extra inputs are not permitted"),
        ({"starts_at": "2026-03-02T15:00:00"}, "starts_at", "timezone"),
        ({"script_template": "Hello {{name"}, "script_template", "write {{name}}"),
        ({"voicemail": {"message": "Hello {{name"}}, "voicemail.message", "write {{name}}"),
        ({"language": "fr"}, "language", "use one of es, en"),
        ({"max_attempts": 0}, "max_attempts", "greater than or equal to 1"),
        ({"max_attempts": 12}, "max_attempts", "less than or equal to 11"),
        ({"call_timeout_seconds": 4}, "call_timeout_seconds", "greater than or equal to 5"),
        ({"goal": "opt_out"}, "goal", "Input should be"),
        ({"do_not_call_lists": ["a list"]}, "do_not_call_lists.0", "String should match pattern"),
        ({"do_not_call_lists": ["a"] * 21}, "do_not_call_lists", "at most 20 items"),
        ({"caller_id": "2125550101"}, "caller_id", "not a phone number in E.164"),
        ({"voice": "a/b"}, "voice", "String should match pattern"),
        ({"opt_out_key": "10"}, "opt_out_key", "Input should be"),
        ({"purpose": "fun"}, "purpose", "Input should be"),
        (
            {"turn_taking": {"turn_over_after_seconds": 0.2}},
            "turn_taking.turn_over_after_seconds",
            "greater than or equal to 0.35",
        ),
        ({"turn_taking": {"silence_seconds": 31}}, "turn_taking.silence_seconds", "less than or equal to 30"),
        ({"turn_taking": {"filler_seconds": "NaN"}}, "turn_taking.filler_seconds", "finite number"),
        ({"turn_taking": {"backchannels": [""]}}, "turn_taking.backchannels.0", "at least 1 character"),
        ({"turn_taking": {"backchannels": ["a"] * 51}}, "turn_taking.backchannels", "at most 50 items"),
        ({"turn_taking": {"speed": 1}}, "turn_taking.speed", "Extra inputs are not permitted"),
    ],
)
def test_unacceptable_terms_are_refused_with_their_field_and_a_remedy(
    terms: dict[str, Any], field: str, remedy: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        RequestedTerms.model_validate(terms)
    [error] = refused.value.errors()
    assert ".".join(map(str, error["loc"])) == field
    assert remedy in error["msg"]


@pytest.mark.parametrize(
    ("terms", "refusals"),
    [
        (RequestedTerms(starts_at=NOW - HOUR, ends_at=NOW + HOUR), []),
        (RequestedTerms(ends_at=NOW), ["ends_at: is over; give a later instant, or leave it out"]),
        (
            RequestedTerms(starts_at=NOW + timedelta(days=401)),
            ["starts_at: more than 400 days ahead; give an earlier instant"],
        ),
        (
            RequestedTerms(name="a\u202eb"),
            ["name: it has a line break, a control character or an invisible character; write one plain line"],
        ),
        (
            RequestedTerms(company="a\nb"),
            ["company: it has a line break, a control character or an invisible character; write one plain line"],
        ),
        (
            RequestedTerms(script_template="Hello\x00", variables={"a b": "x"}),
            [
                "script_template: it has a control character; use line breaks and tabs only",
                "variables: a name is not acceptable; write letters, digits and _, at most 64",
            ],
        ),
        (
            RequestedTerms(voicemail=RequestedVoicemail(message="Hello\x00")),
            ["voicemail.message: it has a control character; use line breaks and tabs only"],
        ),
        (
            RequestedTerms(variables={"name": "Ada"}),
            ["variables: have no effect without a script; give script_template, or leave them out"],
        ),
        (
            RequestedTerms(goal=Disposition.CONFIRMED),
            ["goal: has no effect without a rule for goal_missed; give it in retry_policy, or leave goal out"],
        ),
        (
            RequestedTerms(retry_policy=GOAL_MISSED),
            ["retry_policy: goal_missed needs a goal; give goal, or leave the rule out"],
        ),
        (
            RequestedTerms(retry_policy=GOAL_MISSED, goal=Disposition.CONFIRMED, max_attempts=1),
            ["max_attempts: 1 permits no retry; raise it, or leave retry_policy out"],
        ),
        (RequestedTerms(retry_policy=GOAL_MISSED, goal=Disposition.CONFIRMED, max_attempts=2), []),
        (
            RequestedTerms(max_attempts=2, max_attempts_per_day=3),
            ["max_attempts_per_day: exceeds max_attempts (2); lower it, or leave it out"],
        ),
        (
            RequestedTerms(script_template="é" * 20_000),
            [
                "script_template: 40000 bytes with its variables; at most 32768 are accepted: shorten it, or use its "
                "placeholders fewer times"
            ],
        ),
    ],
)
def test_terms_that_are_not_acceptable_now_are_refused(terms: RequestedTerms, refusals: list[str]) -> None:
    assert terms.refusals(NOW) == refusals


def test_stored_terms_are_not_validated_again_and_keep_unknown_fields() -> None:
    body = (
        b'{"campaign": {"campaign_id": "a", "terms": {"mode": "live", "pace": 3}}, "occurred_at": "2026-03-02T15:00Z"}'
    )
    event = decode("campaign.created.a", body)
    assert isinstance(event, CampaignCreated)
    assert event.campaign.terms
    assert event.campaign.terms.model_dump(exclude_unset=True) == {"mode": "live", "pace": 3}


def test_the_status_of_a_campaign_follows_from_its_acts() -> None:
    running = DRAFT.started(NOW)
    statuses = [one.status for one in (Campaign(campaign_id="a"), DRAFT, running, running.paused(NOW, None))]
    assert statuses == [
        CampaignStatus.UNDECLARED,
        CampaignStatus.DRAFT,
        CampaignStatus.RUNNING,
        CampaignStatus.PAUSED,
    ]
    assert running.paused(NOW, None).finished(NOW).status is CampaignStatus.FINISHED


def test_a_campaign_is_open_while_it_runs_within_its_period() -> None:
    limited = CampaignTerms(starts_at=NOW, ends_at=NOW + HOUR)
    running = DRAFT.changed(limited).started(NOW)
    instants = (NOW - HOUR / 60, NOW, NOW + HOUR - HOUR / 60, NOW + HOUR)
    assert [running.is_open(at) for at in instants] == [False, True, True, False]
    for closed in (DRAFT, running.paused(NOW, None), running.finished(NOW)):
        assert not any(closed.is_open(at) for at in instants)
    assert all(Campaign(campaign_id="a").is_open(at) for at in instants)


@pytest.mark.parametrize(
    ("hours", "field", "remedy"),
    [
        ({"days": ["mon"], "opens_at": "18:00", "closes_at": "09:00"}, (), "a window ends on its day: give one until"),
        ({"days": ["mon"], "opens_at": "09:00", "closes_at": "09:00"}, (), "closes_at (09:00) is not after opens_at"),
        ({"days": [], "opens_at": "09:00", "closes_at": "18:00"}, ("days",), "at least 1 item"),
        ({"days": ["monday"], "opens_at": "09:00", "closes_at": "18:00"}, ("days", 0), "Input should be 'mon'"),
        ({"days": ["mon"], "opens_at": "9:00", "closes_at": "18:00"}, ("opens_at",), "should match pattern"),
        ({"days": ["mon"], "opens_at": "24:00", "closes_at": "24:00"}, ("opens_at",), "should match pattern"),
        ({"days": ["mon"], "opens_at": "09:00", "closes_at": "25:00"}, ("closes_at",), "should match pattern"),
        ({"days": ["mon"], "opens_at": "09:00", "closes_at": "18:00", "zone": "x"}, ("zone",), "Extra inputs"),
    ],
)
def test_impossible_hours_are_refused_with_their_field_and_a_remedy(
    hours: dict[str, Any], field: tuple[str | int, ...], remedy: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        RequestedTerms.model_validate({"weekly_hours": [hours]})
    error, *_ = refused.value.errors()
    assert error["loc"] == ("weekly_hours", 0, *field)
    assert remedy in error["msg"]


def test_the_end_of_the_day_closes_a_window_and_terms_without_hours_restrict_no_dial() -> None:
    hours = {"days": ["sat", "sun"], "opens_at": "18:00", "closes_at": "24:00"}
    terms = RequestedTerms.model_validate({"weekly_hours": [hours], "purpose": "sales"}).stored()
    assert terms.dial_terms.model_dump(mode="json", exclude_defaults=True) == {
        "purpose": "sales",
        "weekly_hours": [hours],
    }
    assert CampaignTerms().dial_terms is Campaign(campaign_id="a").dial_terms
