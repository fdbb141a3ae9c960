"""The lines of the live log: what they say of each event, and which filter has them."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from tests.builders.calls import a_call
from tests.builders.events import campaign_paused
from tests.builders.turns import an_utterance

from centralita_console.log_lines import MAX_TEXT_CHARACTERS, line_of, subject_matcher
from contracts import CallStatus, CallStatusChanged, Event

AT = datetime(2026, 11, 29, 12, tzinfo=UTC)


def resource_of(event: Event, **changes: object) -> dict[str, Any]:
    data = event.model_dump(mode="json")
    fields = {"sequence": 7, "type": event.type_name(), "time": AT.isoformat(), "data": data, "unreadable": []}
    return {**fields, **changes}


def failed() -> CallStatusChanged:
    call = a_call(status=CallStatus.FAILED, reason="wrong number")
    return CallStatusChanged(
        call=call,
        occurred_at=AT,
        attempt=1,
        previous=CallStatus.RINGING,
        status=CallStatus.FAILED,
        reason="wrong number",
    )


def test_a_line_names_the_event_leads_to_it_and_says_what_happened() -> None:
    event = failed()
    line = line_of(resource_of(event))

    assert line["event"] == "call.status_changed"
    assert line["path"] == f"/calls/{event.call_id}?at=7"
    assert "ringing → failed (wrong number)" in str(line["text"])


def test_a_line_of_a_campaign_leads_to_it() -> None:
    assert line_of(resource_of(campaign_paused("spring")))["path"] == "/campaigns/spring"


def test_numbers_are_masked_and_long_texts_are_cut() -> None:
    text = str(line_of(resource_of(an_utterance(uuid4(), 1, "+12125550123 " + "w" * 5_000)))["text"])

    assert "+12125550123" not in text
    assert len(text) == MAX_TEXT_CHARACTERS + 1


@pytest.mark.parametrize(
    "changes", [{"type": "future.fact.v1"}, {"data": {}}, {"data": {"call": "x"}}, {"data": {}, "unreadable": ["new"]}]
)
def test_an_event_that_this_version_cannot_read_has_a_line(changes: dict[str, object]) -> None:
    line = line_of(resource_of(failed(), **changes))

    assert line["sequence"] == 7
    assert line["path"] == ""


@pytest.mark.parametrize(
    ("pattern", "is_on_it"),
    [
        ("", True),
        ("call", True),
        ("call.>", True),
        ("call.status_changed", True),
        ("*.status_changed", True),
        ("call.status_changed.*.failed", True),
        ("call.status_changed.*.busy", False),
        ("campaign", False),
        ("call.status", False),
        ("call.(", False),
        (".".join([">"] * 60), False),
    ],
)
def test_a_filter_of_subjects_has_the_wildcards_of_nats(pattern: str, is_on_it: bool) -> None:
    assert subject_matcher(pattern)(line_of(resource_of(failed()))) is is_on_it
