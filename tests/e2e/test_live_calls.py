"""Live conversations from end to end: what the log says of them is what the callee said and heard."""

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
    said,
    select,
    spoken,
)

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
    assert said(events) == spoken(entry) == list(PHRASES)
    assert select(events, "speech.interrupted") == []
    assert field_of(events, "speech.played", "turn") == [0, 1, 2], "the greeting, a reply and the goodbye"
    assert field_of(events, "speech.played", "is_complete") == [True] * 3
    [stream] = entry["streams"]
    assert (stream["closed_by"], stream["close_code"]) == ("server", 1000)
    assert [clear["marks"] for clear in stream["clears"] if clear["discarded_seconds"]] == []
    assert all(mark["reason"] == "played" for mark in stream["marks"]), "also those of the greeting and the goodbye"
    assert stream["played_seconds"] == pytest.approx(stream["received_seconds"], abs=0.05)
    await live.verify_replay()
