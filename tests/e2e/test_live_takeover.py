"""A process that holds a media stream ends during the conversation: another one continues from the log."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.builders.live_system import (
    NEVER,
    PHRASES,
    LiveSystem,
    field_of,
    live_system,
    played_sentences,
    said_words,
    select,
    spoken,
    words,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveSystem]:
    folder: Path = tmp_path_factory.mktemp("takeover")
    async with live_system(folder, replicas={"voice": 2}) as system:
        yield system


CALLEE = {"at_seconds": NEVER, "delay_seconds": 15.0}
"""A callee who leaves time after a reply, so that the process ends before the next utterance on a loaded machine."""


async def test_a_killed_process_loses_no_turn_and_the_sentence_is_played_again(live: LiveSystem) -> None:
    call_id = await live.begin("human", CALLEE)
    await live.until_replying(call_id)
    live.holder().kill()
    call = await live.end(call_id)
    events, entry = await live.events(call_id), await live.entry(call_id)

    assert call["status"] == "completed"
    assert [
        (event["data"]["generation"], event["data"]["reason"]) for event in select(events, "telephony.media_lost")
    ] == [(1, "died")]
    assert field_of(events, "telephony.media_opened", "generation") == [1, 2]
    assert field_of(events, "telephony.media_closed", "reason") == ["goodbye"]
    assert select(events, "telephony.media_degraded") == []
    turns = field_of(events, "speech.heard", "turn")
    assert turns == list(range(1, len(turns) + 1)), "each turn is claimed once"
    assert field_of(events, "reply.generated", "turn") == turns, "and answered once"
    assert said_words(events) == words(spoken(entry)) == words(PHRASES)
    first, second = entry["streams"]
    assert first["closed_by"] == "network"
    assert [error["code"] for error in entry["errors"]] == [31903]
    assert played_sentences(second)[0] not in played_sentences(first), (
        "the sentence that was being heard is heard to its end"
    )
    assert played_sentences(second)[0].startswith("1.")
    await live.verify_replay()


@pytest.mark.parametrize("seconds", [0.0, 3.0], ids=["while it speaks", "in the silence behind it"])
async def test_a_stopped_process_loses_nothing_that_the_callee_says(live: LiveSystem, seconds: float) -> None:
    phrases = ("Yes, you are speaking to the right person today.", PHRASES[1])
    call_id = await live.begin("human", {**CALLEE, "delay_seconds": 2.0, "at_seconds": NEVER, "phrases": phrases})
    await live.until_entry(call_id, lambda entry: bool(spoken(entry)))
    process = live.holder().process
    assert process
    await asyncio.sleep(seconds)  # a phrase of three seconds; it may be over earlier on a loaded machine
    process.send_signal(signal.SIGTERM)
    call = await live.end(call_id)
    events, entry = await live.events(call_id), await live.entry(call_id)

    assert (call["status"], entry["errors"]) == ("completed", [])
    assert said_words(events) == words(spoken(entry)) == words(phrases)
    turns = field_of(events, "speech.heard", "turn")
    assert field_of(events, "reply.generated", "turn") == turns == list(range(1, len(turns) + 1))
    assert field_of(events, "telephony.media_closed", "reason")[-1] == "goodbye"
    phrases_of_ours = [name for stream in entry["streams"] for name in played_sentences(stream) if "-" in name]
    assert phrases_of_ours == [], "the callee is not asked to repeat anything"
    await live.verify_replay()


async def test_a_stopped_process_ends_its_sentence_and_says_at_most_the_rest_of_one_again(live: LiveSystem) -> None:
    call_id = await live.begin("human", CALLEE)
    await live.until_replying(call_id)
    process = live.holder().process
    assert process
    process.send_signal(signal.SIGTERM)
    call = await live.end(call_id)
    events, entry = await live.events(call_id), await live.entry(call_id)

    assert (call["status"], entry["errors"]) == ("completed", [])
    assert field_of(events, "telephony.media_opened", "generation") == [1, 2]
    assert field_of(events, "telephony.media_closed", "reason") == ["drained", "goodbye"]
    assert select(events, "telephony.media_lost") + select(events, "telephony.media_degraded") == []
    assert said_words(events) == words(spoken(entry)) == words(PHRASES)
    turns = field_of(events, "speech.heard", "turn")
    assert field_of(events, "reply.generated", "turn") == turns == list(range(1, len(turns) + 1))
    first, second = entry["streams"]
    assert len(set(played_sentences(first)) & set(played_sentences(second))) <= 1
    await live.verify_replay()
