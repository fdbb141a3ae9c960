"""Which messages an export of a campaign, a call or a span of time takes."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from centralita.operations.masking import masked
from centralita.replay.messages import FACTS, Message, belongs, facts_about
from centralita.replay.scope import Scope, call_of, campaign_of, identified
from contracts import call_id_of
from contracts.examples import CALL_ID, CAMPAIGN_ID, EXAMPLES

NOW = datetime(2026, 3, 2, 15, tzinfo=UTC)


def message(fact: str, **changes: object) -> Message:
    event = EXAMPLES[fact]
    body = {**json.loads(event.model_dump_json()), **changes}
    asked = fact.endswith("requested") and "call" not in body and not fact.startswith("audio")
    stream = "REQUESTS" if asked else "CALLS"
    return Message(stream, 9, NOW, event.subject, {}, json.dumps(body).encode())


ABOUT_THE_CALL = [fact for fact in EXAMPLES if not fact.startswith(("campaign.", "queue."))]


@pytest.mark.parametrize("fact", ABOUT_THE_CALL)
def test_every_fact_of_a_call_names_its_call(fact: str) -> None:
    assert call_of(message(fact)) == str(CALL_ID)
    assert Scope(call_id=CALL_ID).wants(message(fact), ())
    assert not Scope(call_id=call_id_of("another")).wants(message(fact), ())


@pytest.mark.parametrize("fact", EXAMPLES)
def test_every_fact_of_a_campaigns_calls_is_in_its_scope(fact: str) -> None:
    ids = {str(CALL_ID)}
    assert Scope(campaign_id=CAMPAIGN_ID).wants(message(fact), ids)
    assert campaign_of(message(fact)) in (CAMPAIGN_ID, None)
    assert not Scope(campaign_id="another").wants(message(fact), {str(call_id_of("another"))})


@pytest.mark.parametrize("fact", [fact for fact in EXAMPLES if fact.startswith("campaign.")])
def test_what_is_said_of_a_campaign_is_in_its_scope_and_in_that_of_no_call(fact: str) -> None:
    one = message(fact)
    assert call_of(one) is None
    assert Scope(campaign_id=CAMPAIGN_ID).wants(one, ())
    assert not Scope(campaign_id="another").wants(one, {str(CALL_ID)})
    assert not Scope(call_id=CALL_ID).wants(one, ())
    assert belongs(one.stream, one.subject)


def test_a_request_without_an_id_is_known_by_its_place() -> None:
    asked = message("call.requested", request_id=None)
    assert call_of(asked) == str(call_id_of("REQUESTS/9"))


def test_a_body_that_is_no_json_belongs_to_no_campaign() -> None:
    assert campaign_of(Message("REQUESTS", 1, NOW, "call.requested", {}, b"\xff")) is None


def test_a_span_of_time_begins_with_its_first_instant_and_ends_before_its_last() -> None:
    one = message("dial.placed")
    second = timedelta(seconds=1)
    assert Scope(since=NOW, until=NOW + second).wants(one, ())
    assert not Scope(until=NOW).wants(one, ())
    assert not Scope(since=NOW + second).wants(one, ())
    assert Scope(since=NOW).is_span
    assert not Scope(call_id=CALL_ID).is_span


def test_schedules_are_no_facts() -> None:
    assert not any(filter_.startswith(("timer.*", "timer.set")) for filter_ in (*FACTS, *facts_about(CALL_ID)))
    assert f"timer.due.{CALL_ID}" in facts_about(CALL_ID)
    assert f"call.*.{CALL_ID}.*" in facts_about(CALL_ID)


def test_a_call_is_named_by_its_id_or_by_its_request() -> None:
    assert identified(str(CALL_ID)) == CALL_ID
    assert identified("appointment-1027") == CALL_ID


def test_of_a_phone_number_only_the_ends_are_printed() -> None:
    line = "asked to call +12125550123, and at 2026-03-02T15:00:00+00:00 +442079460123"
    assert masked(line) == "asked to call +1••••••••23, and at 2026-03-02T15:00:00+00:00 +4•••••••••23"
