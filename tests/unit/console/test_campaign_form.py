"""The body of the REST API for the form that creates a campaign, and where its errors are shown."""

import json

import pytest

from centralita_console.campaign_form import FormErrors, body_of, fields_of
from contracts import RequestedTerms


def test_a_complete_form_becomes_valid_terms() -> None:
    fields = {
        "campaign_id": " spring ",
        "name": "Spring",
        "script_template": "Hello {{name}}.\r\n\r\nIs it fine?",
        "language": "en",
        "purpose": "service",
        "company": "",
        "caller_id": "",
        "starts_at": "2026-12-01T10:00",
        "ends_at": "2026-12-02T10:00+02:00",
        "max_concurrent_calls": "5",
        "max_attempts": "",
        "calls_per_minute": "0.5",
        "do_not_call_lists": " vip  press ",
        "day_mon": "1",
        "day_fri": "1",
        "opens_at": "09:00",
        "closes_at": "18:00",
        "csrf_token": "x",
        "unknown": "x",
    }

    body = body_of(fields)

    assert body.pop("campaign_id") == "spring"
    terms = RequestedTerms.model_validate(body)
    assert terms.script_template == "Hello {{name}}.\n\nIs it fine?"
    assert (terms.max_concurrent_calls, terms.calls_per_minute) == (5, 0.5)
    assert terms.do_not_call_lists == ("vip", "press")
    [window] = terms.weekly_hours
    assert (window.days, window.opens_at, window.closes_at) == (("mon", "fri"), "09:00", "18:00")
    assert body["starts_at"] == "2026-12-01T10:00Z"


def test_tools_are_a_json_document_and_other_text_is_sent_as_it_was_typed() -> None:
    tools = {"http": [{"name": "free_slots", "description": "Free hours", "url": "https://example.com/"}]}
    assert body_of({"tools": json.dumps(tools)}) == {"tools": tools}
    for text in ("{", "[" * 100_000, "free_slots"):
        assert body_of({"tools": text}) == {"tools": text}
    stored = RequestedTerms.model_validate({"tools": tools}).stored()
    shown = body_of(fields_of(stored.model_dump(mode="json")))
    assert RequestedTerms.model_validate(shown).stored().tools == stored.tools


def test_an_empty_form_has_no_fields() -> None:
    assert body_of({"name": "  ", "opens_at": "", "csrf_token": "x"}) == {}


@pytest.mark.parametrize("text", ["many", "nan", "inf", "-inf", "1e999", "1,5"])
def test_what_is_no_number_is_sent_as_it_was_typed(text: str) -> None:
    assert body_of({"calls_per_minute": text, "max_attempts": text}) == {"calls_per_minute": text, "max_attempts": text}


def test_errors_are_shown_beside_their_field_or_above_the_form() -> None:
    errors = {"weekly_hours.0.opens_at": "no time", "weekly_hours.0.days": "none", "body": "no object"}

    found = FormErrors.of(errors, "ignored")

    assert found.fields == {"weekly_hours": "no time"}
    assert found.other == "body: no object"
    assert FormErrors.of({}, "another campaign has this id").other == "another campaign has this id"


def test_a_campaign_in_turns_has_no_mode_in_the_form_and_a_live_one_has() -> None:
    assert "mode" not in fields_of({"mode": "turn_based"})
    assert fields_of({"mode": "live"})["mode"] == "live"
    assert body_of({"mode": ""}) == {}
    assert body_of({"mode": "live"}) == {"mode": "live"}
