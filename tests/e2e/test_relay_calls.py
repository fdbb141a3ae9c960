"""Calls whose provider transcribes and speaks, from end to end: an interruption, and a process that is killed."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.builders.live_system import (
    GREETING,
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
INTERRUPTING = ("Yes, speaking.", "No, I cannot come.", "Thank you, goodbye.")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveSystem]:
    folder: Path = tmp_path_factory.mktemp("relay")
    async with live_system(folder, replicas={"voice": 2}) as system:
        yield system


def words(stream: dict[str, Any]) -> str:
    return " ".join(stream["spoken"])


async def test_an_interrupted_conversation_is_in_the_log_as_it_was_said_and_heard(relay: LiveSystem) -> None:
    settings = {"at_seconds": 1.0, "phrases": INTERRUPTING}
    call_id = await relay.begin("interrupts", settings, mode="relay")
    call = await relay.end(call_id)
    events, entry = await relay.events(call_id), await relay.entry(call_id)

    assert (call["status"], call["mode"], entry["errors"]) == ("completed", "relay", [])
    assert field_of(events, "telephony.media_opened", "kind") == ["relay"]
    assert field_of(events, "telephony.media_closed", "reason") == ["goodbye"]
    assert select(events, "telephony.media_lost") + select(events, "telephony.media_degraded") == []
    assert said(events) == spoken(entry) == list(INTERRUPTING)
    [stream] = entry["streams"]
    assert (stream["kind"], stream["closed_by"]) == ("ConversationRelay", "server")
    assert words(stream).startswith(GREETING)
    heard = field_of(events, "speech.interrupted", "heard")
    assert stream["interruptions"], "the callee interrupts each reply but the greeting"
    assert all(text.endswith(tuple(heard)) for text in stream["interruptions"]), "a filler may precede the reply"
    assert all(text in words(stream) for text in heard)
    assert {event["data"]["provider"] for event in select(events, "audio.ready")} == {"conversation_relay"}
    await relay.verify_replay()


async def test_a_killed_process_loses_no_turn_and_the_reply_is_said_again(relay: LiveSystem) -> None:
    settings = {"at_seconds": NEVER, "delay_seconds": 2.0}
    call_id = await relay.begin("human", settings, mode="relay")
    await relay.until_replying(call_id)
    relay.holder().kill()
    call = await relay.end(call_id)
    events, entry = await relay.events(call_id), await relay.entry(call_id)

    assert call["status"] == "completed"
    lost = [(event["data"]["generation"], event["data"]["reason"]) for event in select(events, "telephony.media_lost")]
    assert lost == [(1, "died")]
    assert field_of(events, "telephony.media_opened", "generation") == [1, 2]
    assert field_of(events, "telephony.media_closed", "reason") == ["goodbye"]
    assert select(events, "telephony.media_degraded") == []
    turns = field_of(events, "speech.heard", "turn")
    assert turns == list(range(1, len(turns) + 1)), "each turn is claimed once"
    assert field_of(events, "reply.generated", "turn") == turns, "and answered once"
    assert said(events) == spoken(entry) == list(PHRASES)
    first, second = entry["streams"]
    assert (first["closed_by"], second["closed_by"]) == ("network", "server")
    assert [error["code"] for error in entry["errors"]] == [64105]
    reply = select(events, "reply.generated", turn=1)[0]["data"]["text"]
    assert GREETING in words(first)
    assert GREETING not in words(second), "what was heard to its end is not said again"
    assert reply.split()[-1] in words(second)
    await relay.verify_replay()
