"""A conversation that cannot stay live goes on in turns; a live one ends as any other call."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio
from tests.builders.live_system import (
    NEVER,
    PHRASES,
    LiveSystem,
    field_of,
    live_system,
    said_words,
    select,
    words,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900), pytest.mark.asyncio(loop_scope="module")]

TRANSCRIPTION, SPEECH = "speech-to-text", "multi-stream-input"


def unavailable(path: str) -> dict[str, object]:
    """Returns the fault rule by which a path of ElevenLabs answers 503."""
    return {"target": "elevenlabs", "kind": "status", "status": 503, "path": path}


CUT_ONCE = {"target": "elevenlabs", "kind": "cut_socket", "path": TRANSCRIPTION, "after_messages": 1, "remaining": 1}
"""The first session is cut in place of its first transcript."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveSystem]:
    folder: Path = tmp_path_factory.mktemp("degradation")
    async with live_system(folder) as system:
        yield system


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def without_faults(live: LiveSystem) -> AsyncIterator[None]:
    yield
    await live.control_put("faults", [])
    await live.control_put("streams", {})


async def test_a_call_whose_streams_are_refused_is_held_in_turns(live: LiveSystem) -> None:
    await live.control_put("streams", {"never_connects": True})
    call_id = await live.begin("human", {"at_seconds": NEVER})
    call = await live.end(call_id)
    events = await live.events(call_id)

    assert call["status"] == "completed"
    assert field_of(events, "telephony.media_lost", "reason") == ["never_opened"] * 4
    assert field_of(events, "telephony.media_degraded", "reason") == ["lost_streams"]
    assert said_words(events) == words(PHRASES)


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param([unavailable(TRANSCRIPTION)], id="from the start"),
        pytest.param([CUT_ONCE, unavailable(TRANSCRIPTION)], id="in the call"),
    ],
)
async def test_without_a_transcriber_the_call_is_held_in_turns(
    live: LiveSystem, faults: Sequence[dict[str, object]]
) -> None:
    await live.control_put("faults", faults)
    call_id = await live.begin("human", {"at_seconds": NEVER})
    call = await live.end(call_id)
    events = await live.events(call_id)

    assert call["status"] == "completed"
    assert field_of(events, "telephony.media_closed", "reason") == ["transcription"]
    assert field_of(events, "telephony.media_degraded", "reason") == ["transcription"]
    assert said_words(events).endswith(PHRASES[-1]), "the conversation goes on to its end"


async def test_without_the_socket_of_the_synthesis_speech_comes_over_http(live: LiveSystem) -> None:
    await live.control_put("faults", [unavailable(SPEECH)])
    call_id = await live.begin("human", {"at_seconds": NEVER})
    call = await live.end(call_id)
    events, entry = await live.events(call_id), await live.entry(call_id)

    assert (call["status"], entry["errors"]) == ("completed", [])
    assert field_of(events, "telephony.media_closed", "reason") == ["goodbye"]
    assert said_words(events) == words(PHRASES)


async def test_without_any_synthesis_the_call_is_held_in_turns(live: LiveSystem) -> None:
    await live.control_put("faults", [unavailable(SPEECH)])
    call_id = await live.begin("human", {"at_seconds": NEVER, "delay_seconds": 4.0})
    await live.until(call_id, "telephony.media_opened")
    await live.control_put("faults", [unavailable("text-to-speech")])  # the greeting is a clip
    call = await live.end(call_id)
    events = await live.events(call_id)

    assert call["status"] == "completed"
    assert field_of(events, "telephony.media_closed", "reason") == ["synthesis"]
    assert field_of(events, "telephony.media_degraded", "reason") == ["synthesis"]
    assert said_words(events).endswith(PHRASES[-1])


async def test_the_opt_out_key_ends_a_live_call_with_a_goodbye(live: LiveSystem) -> None:
    call_id = await live.begin("presses_key", {"at_seconds": 1.0})
    call = await live.end(call_id)
    events, entry = await live.events(call_id), await live.entry(call_id)

    assert (call["status"], call["disposition"]) == ("completed", "opt_out")
    assert field_of(events, "telephony.media_closed", "reason") == ["opted_out"]
    assert len(select(events, "telephony.opt_out_key_pressed")) == 1
    assert entry["utterances"][-1]["text"] == "All right, we will not call you again. Goodbye."


async def test_the_wish_for_no_more_calls_ends_a_live_call(live: LiveSystem) -> None:
    call_id = await live.begin("human", {"phrases": ["Please take me off your list."], "at_seconds": NEVER})
    call = await live.end(call_id)
    events = await live.events(call_id)

    assert (call["status"], call["disposition"]) == ("completed", "opt_out")
    assert field_of(events, "telephony.media_closed", "reason") == ["goodbye"]


async def test_a_machine_that_answers_a_live_call_gets_its_message(live: LiveSystem) -> None:
    message = "Hello, this is the clinic. Please call us back about your appointment."
    call_id = await live.begin("voicemail", {"phrases": None}, voicemail={"message": message})
    call = await live.end(call_id)
    events = await live.events(call_id)

    assert (call["status"], call["voicemail_delivery"]) == ("voicemail", "whole")
    assert set(field_of(events, "telephony.media_closed", "reason")) <= {"hang_up"}


async def test_a_live_call_is_canceled_over_rest(live: LiveSystem) -> None:
    call_id = await live.begin("human", {"at_seconds": NEVER, "delay_seconds": 60.0})
    await live.until(call_id, "telephony.media_opened")
    answer = await live.rest.post(f"/api/v1/calls/{call_id}/cancel")
    assert answer.is_success, answer.text
    call = await live.end(call_id)
    await live.until(call_id, "telephony.media_closed", reason="hang_up")

    assert call["status"] == "canceled"
    assert len((await live.entry(call_id))["streams"]) == 1


async def test_a_callee_who_hangs_up_in_mid_sentence_completes_the_call(live: LiveSystem) -> None:
    phrases = ("Yes, speaking.", "Yes, tomorrow at ten works for me, and I would like to know where to park.")
    call_id = await live.begin("hangs_up_speaking", {"phrases": phrases})
    call = await live.end(call_id)
    await live.until(call_id, "telephony.media_closed", reason="hang_up")
    events, entry = await live.events(call_id), await live.entry(call_id)

    assert (call["status"], entry["ended_by"]) == ("completed", "callee")
    assert said_words(events).startswith(phrases[0])


async def test_a_text_over_rest_is_answered_on_the_line(live: LiveSystem) -> None:
    call_id = await live.begin("silent", {"phrases": None})
    await live.until(call_id, "speech.played", turn=0)
    answer = await live.rest.post(f"/api/v1/calls/{call_id}/response", json={"message": "Goodbye, thank you."})
    assert answer.is_success, answer.text
    call = await live.end(call_id)
    events = await live.events(call_id)

    assert call["status"] == "completed"
    assert "Goodbye, thank you." in said_words(events)
    assert field_of(events, "speech.played", "is_complete")[-1]
    assert field_of(events, "telephony.media_closed", "reason") == ["goodbye"]
