"""What a fact says in one line."""

from uuid import UUID

import pytest
from tests.builders.events import campaign_paused

from centralita.replay.event_description import description
from contracts import AudioFailed
from contracts.examples import EXAMPLES


@pytest.mark.parametrize(("fallback", "ending"), [("say", "HTTP 503 (then: say)"), (None, "HTTP 503")])
def test_a_failure_of_speech_says_what_takes_over(fallback: str | None, ending: str) -> None:
    failed = AudioFailed(call_id=UUID(int=7), attempt=1, turn=2, sentence=3, reason="HTTP 503", fallback=fallback)
    assert description(failed) == f"turn 2, sentence 3: {ending}"


@pytest.mark.parametrize("fact", [fact for fact in EXAMPLES if fact.startswith("campaign.")])
def test_what_is_said_of_a_campaign_names_it(fact: str) -> None:
    assert description(EXAMPLES[fact]).startswith("reminders")


def test_a_pause_says_why_if_somebody_said_so() -> None:
    assert description(campaign_paused("reminders", reason="public holiday")) == "reminders (public holiday)"
    assert description(campaign_paused("reminders")) == "reminders"
