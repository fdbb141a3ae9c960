"""One-line descriptions of events."""

from uuid import UUID

import pytest
from tests.builders.events import an_envelope, campaign_paused

from chassis.event_log import StoredEvent
from contracts import AudioFailed
from contracts.examples import EXAMPLES
from contracts.vocabulary import MESSAGE_TURN
from records.decisions import ExplainedDecision
from records.event_description import description


@pytest.mark.parametrize(("fallback", "ending"), [("say", "HTTP 503 (then: say)"), (None, "HTTP 503")])
def test_a_failed_synthesis_names_its_fallback(fallback: str | None, ending: str) -> None:
    failed = AudioFailed(call_id=UUID(int=7), attempt=1, turn=2, sentence=3, reason="HTTP 503", fallback=fallback)
    assert description(failed) == f"turn 2, sentence 3: {ending}"


def test_the_message_to_a_machine_is_named_in_place_of_its_turn() -> None:
    failed = AudioFailed(call_id=UUID(int=7), attempt=1, turn=MESSAGE_TURN, sentence=0, reason="HTTP 503")
    assert description(failed) == "message, sentence 0: HTTP 503"
    assert description(EXAMPLES["telephony.message_reported"]) == "attempt 1: played to its end"
    assert description(EXAMPLES["telephony.person_recognized"]) == "attempt 1, turn 2"


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name.startswith("campaign.")])
def test_an_event_of_a_campaign_names_the_campaign(name: str) -> None:
    assert description(EXAMPLES[name]).startswith("reminders")


def test_a_pause_shows_its_reason_if_it_has_one() -> None:
    assert description(campaign_paused("reminders", reason="public holiday")) == "reminders (public holiday)"
    assert description(campaign_paused("reminders")) == "reminders"


def test_a_callback_and_keys_say_when_and_why() -> None:
    scheduled = "turn 2: call again at 2026-03-03T10:00:00-05:00: At work until three."
    assert description(EXAMPLES["conversation.callback_scheduled"]) == scheduled
    assert description(EXAMPLES["call.callback_noted"]) == "call again at 2026-03-03 15:00:00"
    assert description(EXAMPLES["telephony.digits_sent"]) == "attempt 1, turn 2: 1w2"


def test_the_decision_about_a_callback_has_the_instant_and_not_what_was_spoken() -> None:
    noted = EXAMPLES["call.callback_noted"]
    explained = ExplainedDecision.of(StoredEvent(noted, an_envelope(), 7))
    assert explained.reason == "the callee asked to be called again at 2026-03-03 15:00:00 UTC"
    assert "three" not in explained.model_dump_json()
