"""What a media stream continues, from the events of its attempt."""

import pytest
from tests.builders.calls import a_call
from tests.builders.turns import a_reply, a_sentence, an_utterance

from contracts import (
    AudioReady,
    ConversationEnded,
    Disposition,
    Event,
    InterruptionReason,
    MediaClosed,
    SpeechInterrupted,
    SpeechPlayed,
)
from voice.domain.continuation import Continuation, continuation_of

CALL = a_call().call_id


def ready(turn: int, *sentences: int, attempt: int = 1) -> AudioReady:
    first, *later = sentences
    audio = [
        {"sentence": one, "duration_seconds": 1.0, "is_cached": False, "provider": "fake"} for one in (first, *later)
    ]
    return AudioReady.model_validate(
        {"call_id": CALL, "attempt": attempt, "turn": turn, "later": audio[1:], **audio[0]}
    )


def played(turn: int, *, is_complete: bool = True) -> SpeechPlayed:
    return SpeechPlayed(call_id=CALL, attempt=1, turn=turn, is_complete=is_complete, seconds=1)


def interrupted(turn: int, sentence: int) -> SpeechInterrupted:
    reason = InterruptionReason.WORDS
    return SpeechInterrupted(
        call_id=CALL, attempt=1, turn=turn, sentence=sentence, heard="", heard_seconds=0, reason=reason
    )


def ended(turn: int) -> ConversationEnded:
    return ConversationEnded(call_id=CALL, attempt=1, turn=turn, disposition=Disposition.CONFIRMED, summary="")


HEARD = an_utterance(CALL, 1, "Sí")
REPLY: tuple[Event, ...] = (
    a_sentence(CALL, 1, 0, "Uno."),
    a_sentence(CALL, 1, 1, "Dos."),
    a_reply(CALL, 1, "Uno. Dos."),
)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], Continuation()),
        ([ready(0, 0)], Continuation(first_sentence=None)),
        ([played(0)], Continuation(first_sentence=None)),
        ([interrupted(0, 0)], Continuation(first_sentence=None)),
        ([played(0), HEARD], Continuation(1, "Sí", 0)),
        ([HEARD, *REPLY], Continuation(1, "Sí", 0)),
        ([HEARD, *REPLY, ready(1, 0)], Continuation(1, "Sí", 1)),
        ([HEARD, *REPLY, ready(1, 0, 1), played(1)], Continuation(1, "Sí", None)),
        ([HEARD, *REPLY, ready(1, 0), interrupted(1, 1)], Continuation(1, "Sí", None)),
        ([HEARD, *REPLY, ready(1, 0), played(1, is_complete=False)], Continuation(1, "Sí", 1)),
        ([HEARD, *REPLY, ready(1, 0, attempt=2)], Continuation(1, "Sí", 0)),
        ([HEARD, *REPLY, ended(1), ready(1, 0)], Continuation(1, "Sí", 1, has_ended=True)),
        ([HEARD, *REPLY, ended(1), played(1)], Continuation(1, "Sí", None, has_ended=True)),
        ([HEARD, *REPLY, played(1), an_utterance(CALL, 2, "¿Y?")], Continuation(2, "¿Y?", 0)),
        ([an_utterance(CALL, 7, "otra", attempt=2)], Continuation()),
    ],
)
def test_a_stream_plays_what_was_not_heard(events: list[Event], expected: Continuation) -> None:
    assert continuation_of(events, 1, 2) == expected


def closed(generation: int, text: str | None, *, attempt: int = 1, reason: str = "drained") -> MediaClosed:
    fields = {"call_id": CALL, "attempt": attempt, "generation": generation, "reason": reason, "unclaimed_text": text}
    return MediaClosed.model_validate({**fields, "seconds": 9, "frames": 450})


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (closed(2, "Well, I"), "Well, I"),
        (closed(2, ""), ""),
        (closed(2, None), None),
        (closed(1, "Well, I"), None),
        (closed(2, "Well, I", attempt=2), None),
        (closed(2, "Well, I", reason="dropped"), None),
    ],
)
def test_the_words_of_the_stream_right_before_are_continued(event: Event, text: str | None) -> None:
    expected = Continuation(first_sentence=None, unclaimed_text=text)
    assert continuation_of([played(0), event], 1, 3) == expected
