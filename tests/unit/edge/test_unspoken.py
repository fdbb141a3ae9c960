from datetime import UTC, datetime
from uuid import UUID

import pytest

from contracts import AudioFailed, AudioReady, Call, CallStatus, Event, ReplyGenerated
from edge.application.unspoken import unspoken

ID = UUID("5f0c9d5e-7d0a-5c43-9a43-6f0f6d1f7c11")
NOW = datetime(2026, 1, 2, tzinfo=UTC)
CALL = Call(
    call_id=ID,
    request_id="r-1",
    campaign_id="spring",
    contact_id="c-1",
    phone_number="+12125550123",
    script_template="Hello {{name}}.\n\nRemind them.",
    variables={"name": "Ann"},
    language="en",
    metadata={},
    max_retries=0,
    retry_delay_seconds=60,
    call_timeout_seconds=30,
    max_call_seconds=600,
    created_at=NOW,
    status=CallStatus.IN_PROGRESS,
    attempt=1,
    since=NOW,
)


def failed(sentence: int, attempt: int = 1, turn: int = 2, fallback: str | None = None) -> AudioFailed:
    return AudioFailed(call_id=ID, attempt=attempt, turn=turn, sentence=sentence, reason="?", fallback=fallback)


def ready(sentence: int, turn: int = 2) -> AudioReady:
    return AudioReady(
        call_id=ID, attempt=1, turn=turn, sentence=sentence, digest="d", seconds=1, cached=False, provider="p"
    )


def reply(sentences: int = 2, attempt: int = 1, turn: int = 2) -> ReplyGenerated:
    return ReplyGenerated(
        call_id=ID, attempt=attempt, turn=turn, text="See you.", sentences=sentences, model="m", latency_seconds=1
    )


@pytest.mark.parametrize(
    "events",
    [
        [],
        [reply()],
        [failed(0), failed(1)],
        [failed(0), reply()],
        [failed(0), ready(1), reply()],
        [failed(0), failed(1), ready(1), reply()],
        [failed(0), failed(1, fallback="a tone"), reply()],
        [failed(0, turn=1), failed(1, turn=1), reply()],
        [failed(0), failed(1), reply(turn=3)],
        [failed(0, attempt=2), failed(1, attempt=2), reply()],
        [failed(0), failed(1), reply(attempt=2)],
    ],
)
def test_a_reply_of_which_something_was_or_may_be_heard_is_not_said_again(events: list[Event]) -> None:
    assert unspoken(events, CALL, 1, 2) is None


def test_a_reply_of_which_nothing_was_heard_is() -> None:
    assert unspoken([failed(0), failed(1), ready(0, turn=1), reply()], CALL, 1, 2) == "See you."


@pytest.mark.parametrize(
    "events",
    [
        [failed(0, fallback="say"), reply()],
        [failed(0, fallback="say"), ready(1), reply()],
        [failed(0, fallback="say"), failed(1), reply(sentences=5)],
    ],
)
def test_a_reply_that_voice_has_given_up_is_said_whatever_was_made_of_the_rest(events: list[Event]) -> None:
    assert unspoken(events, CALL, 1, 2) == "See you."


def test_a_reply_that_was_heard_at_the_second_try_is_not_said_again() -> None:
    assert unspoken([failed(0, fallback="say"), ready(0), reply()], CALL, 1, 2) is None


def test_a_greeting_of_which_nothing_was_heard_is_the_scripts_own() -> None:
    assert unspoken([failed(0, attempt=0, turn=0)], CALL, 1, 0) == "Hello Ann."
