"""Live conversations from end to end: what the log says of them is what the callee said and heard."""

import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.builders.live_system import (
    NEVER,
    PHRASES,
    Event,
    LiveSystem,
    field_of,
    live_system,
    said_words,
    select,
    spoken,
    was_late,
    words,
)

from simulators.tone_speech import CHARACTERS_PER_SECOND

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveSystem]:
    folder: Path = tmp_path_factory.mktemp("live")
    async with live_system(folder) as system:
        yield system


async def test_a_live_conversation_is_in_the_log_as_it_was_said_and_heard(live: LiveSystem) -> None:
    call_id = await live.begin("human", {"at_seconds": NEVER})
    call = await live.end(call_id)
    events, entry = await live.events(call_id), await live.entry(call_id)

    assert (call["status"], entry["errors"]) == ("completed", [])
    assert call["disposition"]
    assert field_of(events, "telephony.media_opened", "generation") == [1]
    assert field_of(events, "telephony.media_closed", "reason") == ["goodbye"]
    assert select(events, "telephony.media_lost") + select(events, "telephony.media_degraded") == []
    assert said_words(events) == words(spoken(entry)) == words(PHRASES)
    assert select(events, "speech.interrupted") == []
    turns = [0, *field_of(events, "speech.heard", "turn")]
    assert field_of(events, "speech.played", "turn") == turns, "the greeting, a reply and the goodbye"
    assert field_of(events, "speech.played", "is_complete") == [True] * len(turns)
    [stream] = entry["streams"]
    assert (stream["closed_by"], stream["close_code"]) == ("server", 1000)
    assert [clear["marks"] for clear in stream["clears"] if clear["discarded_seconds"]] == []
    assert all(mark["reason"] == "played" for mark in stream["marks"]), "also those of the greeting and the goodbye"
    assert stream["played_seconds"] == pytest.approx(stream["received_seconds"], abs=0.05)
    await live.verify_replay()


async def test_the_history_ends_at_the_word_that_the_callee_heard_last(live: LiveSystem) -> None:
    call_id = await live.begin("interrupts", {"at_seconds": 1.5})
    call = await live.end(call_id)
    events, entry = await live.events(call_id), await live.entry(call_id)

    assert (call["status"], entry["errors"]) == ("completed", [])
    assert said_words(events) == words(spoken(entry)) == words(PHRASES)
    for interrupted in select(events, "speech.interrupted", turn=1):
        following = select(events, "speech.heard", turn=2)[0]
        assert events.index(interrupted) < events.index(following)
        heard, reply = interrupted["data"]["heard"].split(), _reply(events, 1)
        assert reply.split()[: len(heard)] == heard, "whole words of the reply, from its first one"
        assert select(events, "speech.played", turn=1, is_complete=False)
    if was_late(events, entry):
        pytest.skip("the machine was late: what was heard at the instant of the interruption is not known")
    assert len(select(events, "speech.interrupted", turn=1)) == 1
    assert abs(len(heard) - _words_heard(entry["streams"][0], 1, reply)) <= 1


@pytest.mark.parametrize(("behaviour", "kind"), [("backchannels", "backchannel"), ("coughs", "noise")])
async def test_a_sound_that_is_no_turn_interrupts_nothing(live: LiveSystem, behaviour: str, kind: str) -> None:
    call_id = await live.begin(behaviour, {"at_seconds": 1.5})
    call = await live.end(call_id)
    events, entry = await live.events(call_id), await live.entry(call_id)

    assert (call["status"], entry["errors"]) == ("completed", [])
    assert spoken(entry, kind), "the callee made its sound"
    assert all(phrase in said_words(events) for phrase in PHRASES)
    if was_late(events, entry):
        pytest.skip("the machine was late: the sound may have come after the reply")
    assert said_words(events) == words(spoken(entry)) == words(PHRASES)
    assert select(events, "speech.interrupted") == []
    assert all(field_of(events, "speech.played", "is_complete"))


async def test_a_number_with_a_pause_is_one_turn(live: LiveSystem) -> None:
    phrases = ("Yes, speaking.", "It is six, one, two, [0.9] three, four, goodbye.")
    call_id = await live.begin("human", {"phrases": phrases, "at_seconds": NEVER})
    call = await live.end(call_id)
    events, entry = await live.events(call_id), await live.entry(call_id)

    assert (call["status"], entry["errors"]) == ("completed", [])
    assert said_words(events) == words(phrases)
    if was_late(events, entry):
        pytest.skip("the machine was late: the pause may have been longer")
    assert len(select(events, "speech.heard")) == len(phrases)
    assert select(events, "speech.heard")[-1]["data"]["segments"] >= 2


def _reply(events: list[Event], turn: int) -> str:
    """Returns all sentences that were requested in a turn."""
    sentences = {
        event["data"]["sentence"]: event["data"]["text"] for event in select(events, "audio.requested", turn=turn)
    }
    for event in select(events, "reply.generated", turn=turn):
        if event["data"]["last_sentence"]:
            sentences[event["data"]["sentences"] - 1] = event["data"]["last_sentence"]
    return " ".join(sentences[number] for number in sorted(sentences))


def _words_heard(stream: Mapping[str, Any], turn: int, reply: str) -> int:
    """Returns how many words of a reply the callee has heard, by the frames at its ear."""
    sounds = [sound for sound in stream["sounds"] if sound["kind"] == "utterance"]
    begin = sounds[turn - 1]["start_seconds"] + sounds[turn - 1]["seconds"]
    end = sounds[turn]["start_seconds"] + sounds[turn]["seconds"]
    heard = sum(min(end, until) - max(begin, since) for since, until in stream["heard"] if begin <= since < end)
    characters = heard * CHARACTERS_PER_SECOND
    return sum(match.end() <= characters for match in re.finditer(r"\S+", reply))
