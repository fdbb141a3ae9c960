"""The stages of a reply, from the utterance to its first sound."""

from typing import Any

import pytest

from centralita_console.turn_timing import WIDTH, scale_of, waterfall_of


def at(second: float, **data: Any) -> dict[str, Any]:
    """Returns an event so many seconds after the utterance."""
    return {"time": f"2026-11-29T12:00:{second:09.6f}+00:00", "data": data}


HEARD = [at(10)]
REPLY = [at(12, latency_seconds=1.5, first_token_seconds=0.4)]
REQUESTED = [at(11.2, sentence=1), at(10.7, sentence=0)]
AUDIO = [at(13, first_byte_seconds=0.25)]


def test_the_stages_follow_one_another_until_the_first_sound() -> None:
    found = waterfall_of(HEARD, REPLY, REQUESTED, AUDIO)

    assert found
    stages = [(one.name, round(one.starts_at, 6), round(one.seconds, 6)) for one in found.stages]
    assert stages == [("model", 0.0, 0.4), ("sentence", 0.4, 0.3), ("voice", 0.7, 0.25)]
    assert found.silence == pytest.approx(0.95)
    assert (found.complete, found.seconds) == (1.5, 1.5)


def test_a_reply_of_one_sentence_is_spoken_when_its_text_is_complete() -> None:
    found = waterfall_of(HEARD, REPLY, [], AUDIO)

    assert found
    assert found.silence == pytest.approx(1.75)


def test_a_clip_and_a_reply_without_a_model_have_no_such_stage() -> None:
    found = waterfall_of(HEARD, [at(10.1, latency_seconds=0.0)], [], [at(10.2, first_byte_seconds=None)])

    assert found
    assert (found.stages, found.silence) == ((), 0.0)


def test_without_an_utterance_or_a_reply_there_is_no_waterfall() -> None:
    assert waterfall_of([], REPLY, REQUESTED, AUDIO) is None
    assert waterfall_of(HEARD, [], REQUESTED, AUDIO) is None


def test_all_turns_of_a_call_have_the_same_scale() -> None:
    long, short = waterfall_of(HEARD, REPLY, [], AUDIO), waterfall_of(HEARD, REPLY, REQUESTED, AUDIO)

    assert scale_of([None, long, short]) == pytest.approx(WIDTH / 1.75)
    assert scale_of([]) == WIDTH
