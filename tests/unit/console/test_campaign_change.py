"""What a form changes of a campaign, also if someone else changes it meanwhile."""

from centralita_console.campaign_change import APPLIES, TERMS, change_of, seen_of
from centralita_console.campaign_form import fields_of
from contracts import CampaignTerms, RequestedTerms

WINDOW = {"days": ["mon", "fri"], "opens_at": "09:00", "closes_at": "18:00"}
REQUESTED = {
    "name": "Spring",
    "starts_at": "2026-12-01T10:00:30.123456Z",
    "ends_at": "2026-12-20T10:00:00+01:00",
    "max_concurrent_calls": 5,
    "calls_per_minute": 0.5,
    "purpose": "service",
    "weekly_hours": [WINDOW, {"days": ["sat"], "opens_at": "10:00", "closes_at": "14:00"}],
    "script_template": "Hello {{name}}.\n\nCall +12125550100.",
    "variables": {"name": "you"},
    "language": "en",
    "retry_policy": {"busy": {"max_retries": 2, "delay_seconds": 60}},
    "voicemail": {"message": "Please call us."},
    "max_attempts": 4,
    "max_attempts_per_day": 2,
    "caller_id": "+12125550100",
    "company": "Acme",
    "do_not_call_lists": ["vip", "press"],
    "tools": {"http": [{"name": "free_slots", "description": "Free hours", "url": "https://example.com/"}]},
}
STORED = RequestedTerms.model_validate(REQUESTED).stored()
PRESENT = STORED.model_dump(mode="json")
"""As the REST API returns it."""


def shown() -> dict[str, str]:
    """Returns the fields of the form as a browser sends them, if nothing was typed."""
    fields = {**fields_of(PRESENT), "seen": seen_of(PRESENT)}
    return {name: value.replace("\n", "\r\n") for name, value in fields.items()}


def test_an_untouched_form_changes_nothing_and_its_terms_are_valid() -> None:
    change = change_of(shown(), PRESENT)

    assert change.lines == ()
    assert RequestedTerms.model_validate(change.body).stored() == STORED


def test_a_change_keeps_every_term_that_the_form_does_not_have() -> None:
    change = change_of({**shown(), "max_attempts": "3", "company": ""}, PRESENT)

    changed = RequestedTerms.model_validate(change.body).stored()
    assert changed == STORED.model_copy(update={"max_attempts": 3, "company": None})
    assert [(line.name, line.before, line.after, line.is_contested) for line in change.lines] == [
        ("company", "Acme", "", False),
        ("max_attempts", "4", "3", False),
    ]


def test_hours_are_changed_as_a_whole_and_shown_a_line_each() -> None:
    [line] = change_of({**shown(), "further_hours": "sat sun 11:00-14:00\r\n\r\n"}, PRESENT).lines

    assert line.before == "mon fri 09:00-18:00\nsat 10:00-14:00"
    assert line.after == "mon fri 09:00-18:00\nsat sun 11:00-14:00"
    assert line.applies == "dial"


def test_what_someone_else_changed_meanwhile_stays_unless_it_was_changed_here_too() -> None:
    typed = {**shown(), "max_attempts": "3"}
    theirs = {**PRESENT, "company": "Other", "max_attempts": 9, "retry_policy": None}

    change = change_of(typed, theirs)

    assert change.body == {**theirs, "max_attempts": 3}
    assert [(line.name, line.before, line.is_contested) for line in change.lines] == [("max_attempts", "9", True)]


def test_the_same_change_by_someone_else_is_no_change() -> None:
    assert change_of({**shown(), "max_attempts": "3"}, {**PRESENT, "max_attempts": 3}).lines == ()


def test_a_form_without_the_digests_names_each_difference_as_contested() -> None:
    for seen in ("", "x", "x " * 1_000):
        [line] = change_of({**shown(), "seen": seen, "name": "Autumn"}, PRESENT).lines
        assert (line.name, line.is_contested) == ("name", True)


def test_what_cannot_be_parsed_is_sent_as_it_was_typed() -> None:
    change = change_of({**shown(), "further_hours": "whenever\r\nsat", "calls_per_minute": "many"}, PRESENT)

    assert change.body["weekly_hours"][1:] == [
        {"days": [], "opens_at": "whenever", "closes_at": ""},
        {"days": [], "opens_at": "sat", "closes_at": ""},
    ]
    assert change.body["calls_per_minute"] == "many"


def test_each_term_of_the_form_is_one_of_a_campaign() -> None:
    assert set(TERMS) <= set(CampaignTerms.model_fields)
    assert set(APPLIES) <= set(TERMS)
