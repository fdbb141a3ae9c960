"""The rule: which sentence of a turn is the first that nobody could hear, and what is to be said from there on."""

from uuid import UUID

import pytest

from contracts import AudioFailed, AudioReady, AudioRequested, Event
from edge.application.unplayed import unspoken, words

ID = UUID("5f0c9d5e-7d0a-5c43-9a43-6f0f6d1f7c11")


def failed(sentence: int, fallback: str | None = "say", attempt: int = 1, turn: int = 2) -> AudioFailed:
    return AudioFailed(call_id=ID, attempt=attempt, turn=turn, sentence=sentence, reason="?", fallback=fallback)


def ready(sentence: int, turn: int = 2) -> AudioReady:
    return AudioReady(
        call_id=ID,
        attempt=1,
        turn=turn,
        sentence=sentence,
        digest="d",
        duration_seconds=1,
        is_cached=False,
        provider="p",
    )


def asked(sentence: int, text: str, attempt: int = 1, turn: int = 2) -> AudioRequested:
    return AudioRequested(call_id=ID, attempt=attempt, turn=turn, sentence=sentence, text=text, language="en")


@pytest.mark.parametrize(
    ("events", "sentence"),
    [
        ([failed(0)], 0),
        ([failed(0), ready(1), failed(2, None)], 0),
        ([ready(0), failed(1)], 1),
        ([ready(0), ready(2), failed(1)], 1),
        ([ready(0), failed(1), ready(1), failed(2)], 2),
        ([ready(0), ready(1), failed(1)], 1),
    ],
    ids=["all", "all, whatever was made of the rest", "the rest", "made early", "further on", "played again"],
)
def test_a_turn_is_left_to_the_provider_from_where_voice_gave_it_up(events: list[Event], sentence: int) -> None:
    assert unspoken(events, 1, 2) == sentence


@pytest.mark.parametrize(
    "events",
    [
        [],
        [ready(0), ready(1)],
        [failed(0), ready(0)],
        [failed(0, None)],
        [failed(0, "a tone")],
        [failed(0, turn=1), failed(0, turn=3)],
        [failed(0, attempt=2), failed(0, attempt=0)],
    ],
    ids=["nothing known", "all made", "made at the second try", "not of the line", "unknown", "turns", "attempts"],
)
def test_a_turn_that_was_or_may_be_heard_is_not_said_again(events: list[Event]) -> None:
    assert unspoken(events, 1, 2) is None


def test_the_greeting_serves_every_attempt() -> None:
    assert unspoken([failed(0, attempt=0, turn=0)], 3, 0) == 0


def test_the_words_are_those_of_the_turns_sentences_in_their_order_each_as_it_was_first_asked_for() -> None:
    told = [asked(0, "One."), asked(2, "Three."), asked(1, "Two."), asked(1, "Two again."), asked(3, "Else.", turn=3)]
    assert [words([*told, asked(3, "Else.", attempt=2)], 1, 2, first) for first in range(4)] == [
        "One. Two. Three.",
        "Two. Three.",
        "Three.",
        "",
    ]
