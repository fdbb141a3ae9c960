"""Callbacks and keys from end to end, in turns and live: the log, the REST API and the simulated network agree."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.builders.live_system import WAIT_SECONDS, LiveSystem, field_of, live_system, select

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="module")]
ASKS = ("Yes, speaking.", "Please call me back tomorrow at noon.", "Thank you, goodbye.")
MODES = ("turn_based", "live", "relay")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveSystem]:
    folder: Path = tmp_path_factory.mktemp("actions")
    async with live_system(folder) as system:
        tools = {"may_schedule_callbacks": True, "may_send_digits": True}
        created = await system.rest.post("/api/v1/campaigns", json={"campaign_id": "actions", "tools": tools})
        assert created.is_success, created.text
        assert (await system.rest.post("/api/v1/campaigns/actions/start")).is_success
        yield system


async def begin(system: LiveSystem, behaviour: str, mode: str, **settings: object) -> str:
    return await system.begin(behaviour, settings, campaign_id="actions", mode=mode, time_zone="America/New_York")


async def get(system: LiveSystem, path: str) -> Any:
    answer = await system.rest.get(f"/api/v1/calls/{path}")
    assert answer.is_success, answer.text
    return answer.json()


async def until_waiting(system: LiveSystem, call_id: str) -> dict[str, Any]:
    """Returns the call once it waits for its callback."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not ((call := await get(system, call_id))["status"] == "pending" and call["callbacks"]):
            await asyncio.sleep(0.2)
    return dict(call)


@pytest.mark.parametrize("mode", MODES)
async def test_a_callee_is_called_again_at_the_time_for_which_they_asked(system: LiveSystem, mode: str) -> None:
    call_id = await begin(system, "human", mode, phrases=ASKS, at_seconds=1000)
    waiting = await until_waiting(system, call_id)
    [scheduled] = select(await system.events(call_id), "conversation.callback_scheduled")
    at = datetime.fromisoformat(scheduled["data"]["local_time"])
    assert (at.hour, at.minute) == (12, 0)
    assert timedelta() < at - datetime.now(UTC) < timedelta(days=2)
    assert datetime.fromisoformat(waiting["next_attempt_at"]) == at
    assert (waiting["reason"], waiting["callback_reason"]) == ("the callee asked to be called again", ASKS[1])
    assert datetime.fromisoformat(waiting["callback_at"]) == at
    story = await get(system, f"{call_id}/story")
    assert any(line["name"] == "callback" and ASKS[1] in line["text"] for line in story["state"])
    assert any(entry["event"] == "conversation.callback_scheduled" for entry in story["timeline"])

    changed = await system.rest.post(f"/api/v1/calls/{call_id}/initiate")
    assert changed.is_success, changed.text
    again = await until_dialled_again(system, call_id)
    assert again["attempts"] == 2
    await system.verify_replay()


async def until_dialled_again(system: LiveSystem, call_id: str) -> dict[str, Any]:
    async with asyncio.timeout(WAIT_SECONDS):
        while (call := await get(system, call_id))["attempts"] < 2:
            await asyncio.sleep(0.2)
    return dict(call)


@pytest.mark.parametrize("mode", MODES)
async def test_a_callback_ends_with_a_cancel(system: LiveSystem, mode: str) -> None:
    call_id = await begin(system, "human", mode, phrases=ASKS[1:], at_seconds=1000)
    await until_waiting(system, call_id)
    assert (await system.rest.post(f"/api/v1/calls/{call_id}/cancel")).is_success
    call = await system.end(call_id)
    assert (call["status"], call["callback_at"], call["attempts"]) == ("canceled", None, 1)


@pytest.mark.parametrize("mode", MODES)
async def test_the_agent_passes_a_switchboard_by_its_menu(system: LiveSystem, mode: str) -> None:
    call_id = await begin(system, "switchboard", mode, phrases=("Appointments.", "Yes, that is right.", "Goodbye."))
    call = await system.end(call_id)
    events, entry = await system.events(call_id), await system.entry(call_id)
    assert (call["status"], entry["errors"]) == ("completed", [])
    assert entry["digits"] == "2", "the keys that the switchboard heard"
    assert field_of(events, "telephony.digits_sent", "digits") == ["2"]
    turn = field_of(events, "telephony.digits_sent", "turn")[0]
    reply = select(events, "reply.generated", turn=turn)[0]["data"]
    assert (reply["digits"], reply["text"]) == ("2", "")
    heard = field_of(events, "speech.heard", "text")
    assert any("press two" in text for text in heard)
    assert any("how can I help you" in text for text in heard), "a person answered"
    await system.verify_replay()
