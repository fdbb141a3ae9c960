"""The story of a live call: each event in plain words, and what the callee heard of each reply."""

from enum import StrEnum

import pytest
from tests.builders.calls import a_call
from tests.builders.live_call import HEARD, REPLY, live_call_events, messages_of
from tests.builders.turns import a_reply, an_interruption

from contracts import (
    DegradationReason,
    Event,
    InterruptionReason,
    MediaClosedReason,
    MediaLostReason,
    SpeechPlayed,
)
from contracts.phrases import greeting_of
from records import live_description
from records.live_description import CLOSED_WORDS, DEGRADED_WORDS, INTERRUPTED_WORDS, LOST_WORDS, TEXTS
from records.story import Story, story_of
from records.transcript import unheard_of

CALL = a_call()


def story(events: list[Event], at: int | None = None) -> Story:
    return story_of(messages_of(CALL, events), at)


WHOLE = list(live_call_events(CALL))


def test_each_event_of_a_live_call_is_a_line_in_plain_words() -> None:
    shown = [
        (entry.event, entry.text) for entry in story(WHOLE).timeline if entry.event in live_description.LIVE_EVENT_NAMES
    ]

    assert shown == [
        ("telephony.media_opened", "attempt 1: stream 1 opened"),
        (
            "speech.interrupted",
            "turn 0: interrupted after 1.2 s of sentence 0, the callee spoke, heard until then: Hola",
        ),
        ("speech.played", "turn 0: not played to its end, 0.4 s heard"),
        (
            "speech.interrupted",
            f"turn 1: interrupted after 1.2 s of sentence 0, the callee pressed a key, heard until then: {HEARD}",
        ),
        (
            "speech.played",
            "turn 1: not played to its end, 1.2 s heard, pauses: 3, resumed: 2, backchannels: 2",
        ),
        ("telephony.keys_pressed", "turn 1: keys pressed: 12"),
        ("speech.played", "turn 2: played to its end, 0.9 s heard"),
        (
            "telephony.media_closed",
            "attempt 1: stream 1 closed after 12.4 s, its process stops, another one continues, gaps in our audio: 1",
        ),
        ("telephony.media_opened", "attempt 1: stream 2 opened, after turn 2"),
        ("telephony.media_lost", "attempt 1: stream 2 lost, its process ended without a report"),
        ("telephony.media_degraded", "attempt 1: goes on in turns, too many streams failed"),
    ]


@pytest.mark.parametrize(
    ("reasons", "words"),
    [
        (MediaClosedReason, CLOSED_WORDS),
        (MediaLostReason, LOST_WORDS),
        (DegradationReason, DEGRADED_WORDS),
        (InterruptionReason, INTERRUPTED_WORDS),
    ],
)
def test_each_reason_has_words(reasons: type[StrEnum], words: dict[StrEnum, str]) -> None:
    assert words.keys() == set(reasons)
    assert set(words.values()) <= TEXTS


def test_the_conversation_has_what_was_heard_of_interrupted_replies_and_pressed_keys() -> None:
    assert [(line.turn, line.speaker, line.text, line.heard) for line in story(WHOLE).conversation] == [
        (0, "agent", greeting_of(CALL), "Hola"),
        (1, "callee", "When can I come?", None),
        (1, "agent", REPLY, HEARD),
        (2, "keys", "12", None),
        (2, "agent", "Thursday, then.", None),
    ]
    assert ("mode", "live") in [(line.name, line.text) for line in story(WHOLE).state]


def test_before_the_text_of_an_interrupted_reply_is_complete_its_line_is_what_was_heard() -> None:
    number = next(n for n, event in enumerate(WHOLE, 1) if event.event_name == "speech.interrupted" and n > 6)

    assert [line.heard for line in story(WHOLE, at=number - 1).conversation] == ["Hola", None]
    line = story(WHOLE, at=number).conversation[-1]
    assert (line.speaker, line.text, line.heard) == ("agent", HEARD, HEARD)


def test_a_reply_that_another_stream_plays_to_its_end_was_heard() -> None:
    reply, cut = a_reply(CALL.call_id, 1, REPLY), an_interruption(CALL.call_id, 1, HEARD)
    played = SpeechPlayed(call_id=CALL.call_id, attempt=1, turn=1, is_complete=True, seconds=3)

    assert [line.heard for line in story([*WHOLE[:3], reply, cut]).conversation] == [HEARD]
    assert [line.heard for line in story([*WHOLE[:3], reply, cut, played]).conversation] == [None]


def test_a_call_in_turns_has_no_line_about_its_mode() -> None:
    call = a_call()
    events = [*live_call_events(call)][:1]
    created = events[0].model_copy(update={"call": call})

    assert "mode" not in [line.name for line in story([created]).state]


@pytest.mark.parametrize(
    ("text", "heard", "unheard"),
    [
        ("Yes. We are open.", "Yes. We", "are open."),
        ("Yes.  We are\nopen.", "Yes. We", "are open."),
        ("Yes.", "Yes.", ""),
        ("Yes.", "", "Yes."),
        ("", "", ""),
        ("Yes.", "Yes. And more", ""),
        ("Call +1•••••••••23 now.", "Call +121255501", "now."),
        ("[sealed]", "[sealed]", ""),
    ],
)
def test_what_was_not_heard_follows_what_was_heard(text: str, heard: str, unheard: str) -> None:
    assert unheard_of(text, heard) == unheard
