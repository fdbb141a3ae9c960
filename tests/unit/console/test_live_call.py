"""The page of a live call: streams of its attempt, interrupted replies, and the stages of live turns."""

from typing import Any

import pytest
from tests.builders.calls import a_call
from tests.builders.live_call import HEARD, LATENCIES, live_call_events, messages_of, resources_of

from centralita_console.call_conversation import Spoken, conversation_of
from centralita_console.call_story import Group, groups_of
from centralita_console.turn_timing import waterfall_of
from records.story import story_of

CALL = a_call()
MESSAGES = messages_of(CALL, list(live_call_events(CALL)))
EVENTS: list[Any] = resources_of(MESSAGES)


def story(at: int | None = None) -> dict[str, Any]:
    return story_of(MESSAGES, at).model_dump(mode="json")


def attempt(at: int | None = None, events: list[Any] = EVENTS) -> Group:
    return groups_of(story(at), events)[-1]


def conversation() -> list[Spoken]:
    return conversation_of(story(), EVENTS)


def test_the_streams_of_an_attempt_are_steps_and_are_counted() -> None:
    group = attempt()

    streams = [[str(line.phrases[0]) for line in step.lines] for step in group.steps if step.is_stream]
    assert streams == [
        ["stream 1 opened"],
        ["stream 1 closed after 12.4 s", "stream 2 opened", "stream 2 lost", "goes on in turns"],
    ]
    assert (group.streams, group.is_degraded) == (2, True)
    failures = [line.event for line in group.lines if line.is_failure]
    assert failures == ["telephony.media_lost", "telephony.media_degraded"]


def test_at_a_sequence_later_events_of_streams_have_their_name_only() -> None:
    group = attempt(at=4)

    assert (group.streams, group.is_degraded) == (1, False)
    assert not any(line.phrases or line.text for line in group.lines if line.is_later)


def test_an_event_that_this_version_cannot_read_keeps_the_words_of_the_rest_api() -> None:
    unreadable = [{**one, "data": {}, "unreadable": ["reason: unknown"]} for one in EVENTS]
    invalid = [{**one, "data": {**one["data"], "generation": None, "seconds": None}} for one in EVENTS]

    for events in (unreadable, invalid):
        [line] = [one for one in attempt(events=events).lines if one.event == "telephony.media_closed"]
        assert (line.phrases, line.text[:15]) == ([], "stream 1 closed")


def test_an_interrupted_reply_has_what_was_heard_apart_from_the_rest_and_why() -> None:
    _, _, reply, keys, after = conversation()

    assert (reply.text, reply.unheard) == (HEARD, "at eleven. Or Thursday at four.")
    assert [str(phrase) for phrase in reply.phrases] == ["the callee pressed a key", "pauses: 3", "backchannels: 2"]
    assert (keys.speaker, keys.text, keys.unheard) == ("keys", "12", None)
    assert (after.unheard, after.phrases) == (None, ())


def test_a_live_turn_has_the_stages_that_voice_measured() -> None:
    waterfall = conversation()[2].waterfall

    assert waterfall
    stages = [(one.name, round(one.starts_at, 3), round(one.seconds, 3)) for one in waterfall.stages]
    assert stages == [
        ("endpoint", 0.0, 0.5),
        ("log", 0.5, 0.01),
        ("model", 0.51, 0.4),
        ("voice", 0.91, 0.2),
        ("playout", 1.11, 0.04),
    ]
    assert waterfall.silence == pytest.approx(1.15)
    assert waterfall.complete == pytest.approx(1.51)
    assert waterfall.transcription == 0.31


def test_of_several_streams_the_first_one_that_sent_a_sound_counts_and_missing_parts_are_left_out() -> None:
    time = "2026-11-29T12:00:00+00:00"
    heard = [{"time": time, "data": {"endpoint_seconds": 0.6}}]
    replies = [{"time": time, "data": {"latency_seconds": 0.9, "first_token_seconds": 0.1}}]
    none: dict[str, Any] = dict.fromkeys(LATENCIES.model_dump())
    played = [
        {"time": time, "data": {"latencies": one}}
        for one in (none, {**none, "first_sentence_seconds": 0.3, "playout_seconds": 0.05})
    ]

    found = waterfall_of(heard, replies, [], [], played)
    silent = waterfall_of(heard, replies, [], [], played[:1])

    assert found
    assert silent
    stages = [(one.name, round(one.seconds, 3)) for one in found.stages]
    assert stages == [("endpoint", 0.6), ("model", 0.1), ("sentence", 0.2), ("playout", 0.05)]
    assert found.silence == pytest.approx(0.95)
    assert silent.silence is None
