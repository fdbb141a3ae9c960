"""The first unplayed sentence of a turn, and the text from a sentence on."""

from uuid import UUID

import pytest

from contracts import AudioFailed, AudioReady, AudioRequested, Event, ReplyGenerated
from edge.application.unplayed import find_unplayed_sentence, join_sentences

ID = UUID("5f0c9d5e-7d0a-5c43-9a43-6f0f6d1f7c11")


def failed(sentence: int, fallback: str | None = "say", attempt: int = 1, turn: int = 2) -> AudioFailed:
    return AudioFailed(call_id=ID, attempt=attempt, turn=turn, sentence=sentence, reason="?", fallback=fallback)


def ready(sentence: int, *later: int, turn: int = 2) -> AudioReady:
    audio = {"digest": "d", "duration_seconds": 1, "is_cached": False, "provider": "p"}
    first, *others = [{**audio, "sentence": number} for number in (sentence, *later)]
    return AudioReady.model_validate({"call_id": ID, "attempt": 1, "turn": turn, **first, "later": others})


def requested(sentence: int, text: str, attempt: int = 1, turn: int = 2) -> AudioRequested:
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
    ids=["all", "all, though later ones are ready", "the rest", "ready before", "a later one", "failed when repeated"],
)
def test_the_first_unplayed_sentence_is_the_first_that_voice_left_to_the_provider(
    events: list[Event], sentence: int
) -> None:
    assert find_unplayed_sentence(events, 1, 2) == sentence


@pytest.mark.parametrize(
    "events",
    [
        [],
        [ready(0), ready(1)],
        [failed(0), ready(0)],
        [failed(1), ready(0, 1)],
        [failed(0, None)],
        [failed(0, "a tone")],
        [failed(0, turn=1), failed(0, turn=3)],
        [failed(0, attempt=2), failed(0, attempt=0)],
    ],
    ids=[
        "no events",
        "all ready",
        "ready when repeated",
        "ready with the sentence before it",
        "not on the line",
        "unknown fallback",
        "other turns",
        "other attempts",
    ],
)
def test_a_turn_that_was_or_may_be_played_has_no_unplayed_sentence(events: list[Event]) -> None:
    assert find_unplayed_sentence(events, 1, 2) is None


def test_the_failed_greeting_of_attempt_0_is_unplayed_in_every_attempt() -> None:
    assert find_unplayed_sentence([failed(0, attempt=0, turn=0)], 3, 0) == 0


def test_the_text_consists_of_the_turns_sentences_in_order_each_from_its_first_request() -> None:
    events = [
        requested(0, "One."),
        requested(2, "Three."),
        requested(1, "Two."),
        requested(1, "Two again."),
        requested(3, "Else.", turn=3),
        requested(3, "Else.", attempt=2),
    ]

    assert [join_sentences(events, 1, 2, first) for first in range(4)] == [
        "One. Two. Three.",
        "Two. Three.",
        "Three.",
        "",
    ]


def test_the_last_sentence_may_be_in_the_reply() -> None:
    fields = {"call_id": ID, "attempt": 1, "turn": 2, "text": "One. Two.", "model": "m", "latency_seconds": 1}
    reply = ReplyGenerated.model_validate({**fields, "sentences": 2, "last_sentence": "Two."})
    other = reply.model_copy(update={"turn": 3, "last_sentence": "Else."})
    assert join_sentences([requested(0, "One."), reply, other], 1, 2, 0) == "One. Two."
    assert join_sentences([requested(0, "One."), reply, other], 1, 2, 1) == "Two."
