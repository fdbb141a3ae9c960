"""What a fact says in one line."""

from uuid import UUID

import pytest

from centralita.describing import described
from contracts import AudioFailed


@pytest.mark.parametrize(("fallback", "ending"), [("say", "HTTP 503 (from here on: say)"), (None, "HTTP 503")])
def test_a_failure_of_speech_says_what_takes_over(fallback: str | None, ending: str) -> None:
    failed = AudioFailed(call_id=UUID(int=7), attempt=1, turn=2, sentence=3, reason="HTTP 503", fallback=fallback)
    assert described(failed) == f"turn 2, sentence 3: {ending}"
