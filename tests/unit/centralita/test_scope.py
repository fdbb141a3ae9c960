"""The messages that are in the scope of a campaign, a call or a time range."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from centralita.replay.scope import Scope
from contracts import call_id_of
from contracts.campaign_examples import CAMPAIGN_ID
from contracts.examples import CALL_ID, EXAMPLES
from records.call_ids import call_of, campaign_of, parse_call_id
from records.masking import mask_numbers
from records.messages import EVENT_FILTERS, Message, event_filters_of, stores_subject

NOW = datetime(2026, 3, 2, 15, tzinfo=UTC)


def message(event_name: str, **changes: object) -> Message:
    event = EXAMPLES[event_name]
    body = {**json.loads(event.model_dump_json()), **changes}
    is_request = event_name.endswith("requested") and "call" not in body and not event_name.startswith("audio")
    stream = "REQUESTS" if is_request else "CALLS"
    return Message(stream, 9, NOW, event.subject, {}, json.dumps(body).encode())


OF_OTHERS = ("campaign.", "queue.", "contact.", "number.", "person.", "request.")
ABOUT_THE_CALL = [event_name for event_name in EXAMPLES if not event_name.startswith(OF_OTHERS)]
OF_THE_CAMPAIGN = [
    event_name for event_name in EXAMPLES if not event_name.startswith(("number.", "person.", "request."))
]


@pytest.mark.parametrize("event_name", ABOUT_THE_CALL)
def test_every_event_of_a_call_names_its_call(event_name: str) -> None:
    assert call_of(message(event_name)) == str(CALL_ID)
    assert Scope(call_id=CALL_ID).includes(message(event_name), ())
    assert not Scope(call_id=call_id_of("another")).includes(message(event_name), ())


@pytest.mark.parametrize("event_name", OF_THE_CAMPAIGN)
def test_every_event_of_a_campaigns_calls_is_in_the_campaigns_scope(event_name: str) -> None:
    call_ids = {str(CALL_ID)}
    assert Scope(campaign_id=CAMPAIGN_ID).includes(message(event_name), call_ids)
    assert campaign_of(message(event_name)) in (CAMPAIGN_ID, None)
    assert not Scope(campaign_id="another").includes(message(event_name), {str(call_id_of("another"))})


@pytest.mark.parametrize("event_name", [event_name for event_name in EXAMPLES if event_name.startswith("campaign.")])
def test_an_event_of_a_campaign_is_in_its_scope_and_in_the_scope_of_no_call(event_name: str) -> None:
    one = message(event_name)
    assert call_of(one) is None
    assert Scope(campaign_id=CAMPAIGN_ID).includes(one, ())
    assert not Scope(campaign_id="another").includes(one, {str(CALL_ID)})
    assert not Scope(call_id=CALL_ID).includes(one, ())
    assert stores_subject(one.stream, one.subject)


def test_a_request_without_an_id_is_identified_by_its_sequence() -> None:
    request = message("call.requested", request_id=None)
    assert call_of(request) == str(call_id_of("REQUESTS/9"))


def test_a_body_that_is_not_json_belongs_to_no_campaign() -> None:
    assert campaign_of(Message("REQUESTS", 1, NOW, "call.requested", {}, b"\xff")) is None


def test_a_time_range_includes_its_first_instant_and_excludes_its_last() -> None:
    one = message("dial.placed")
    second = timedelta(seconds=1)
    assert Scope(since=NOW, until=NOW + second).includes(one, ())
    assert not Scope(until=NOW).includes(one, ())
    assert not Scope(since=NOW + second).includes(one, ())
    assert Scope(since=NOW).is_time_range
    assert not Scope(call_id=CALL_ID).is_time_range


def test_schedules_are_not_events() -> None:
    assert not any(
        filter_.startswith(("timer.*", "timer.set")) for filter_ in (*EVENT_FILTERS, *event_filters_of(CALL_ID))
    )
    assert f"timer.due.{CALL_ID}" in event_filters_of(CALL_ID)
    assert f"call.*.{CALL_ID}.*" in event_filters_of(CALL_ID)
    assert {"admission.granted", f"admission.*.{CALL_ID}"} < set(event_filters_of(CALL_ID))


def test_grants_of_older_builds_name_their_call_too() -> None:
    one = replace(message("admission.granted"), subject=f"admission.granted.{CALL_ID}")
    assert call_of(one) == str(CALL_ID)
    assert call_of(replace(one, subject="admission.granted", body=b"[]")) is None
    assert stores_subject(one.stream, one.subject)


def test_a_call_id_is_parsed_from_the_id_or_from_the_request_id() -> None:
    assert parse_call_id(str(CALL_ID)) == CALL_ID
    assert parse_call_id("appointment-1027") == CALL_ID


def test_only_the_first_and_last_digits_of_a_phone_number_are_shown() -> None:
    line = "request to call +12125550123, and at 2026-03-02T15:00:00+00:00 +442079460123"
    assert mask_numbers(line) == "request to call +1••••••••23, and at 2026-03-02T15:00:00+00:00 +4•••••••••23"
