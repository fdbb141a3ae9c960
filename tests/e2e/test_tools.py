"""A tool of a campaign from end to end, in turns and live: the callee hears the answer of a receiver."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.builders.live_system import NEVER, LiveSystem, live_system, select
from tests.builders.tool_calls import an_http_tool
from tests.fakes.tool_receiver import ToolReceiver

from simulators.serving import serving

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="module")]
CAMPAIGN = "tools"
QUESTION = "Any hours free?"
PHRASES = (QUESTION, QUESTION, QUESTION, "Thank you, goodbye.")
"""The question again: on a loaded machine a live transcript may come too late, and its turn counts as silent."""
PATIENT = {"turn_over_after_seconds": 1.4, "silence_seconds": 30, "filler_seconds": 10}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def receiver() -> AsyncIterator[tuple[ToolReceiver, str]]:
    """A receiver and its origin."""
    app = ToolReceiver()
    async with serving(app, "127.0.0.1") as origin:
        yield app, origin


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(
    receiver: tuple[ToolReceiver, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LiveSystem]:
    """A system with a campaign whose tool is the receiver's."""
    folder: Path = tmp_path_factory.mktemp("tools")
    environments = {"conversation": {"TOOLS_PERMIT_LOOPBACK": "true", "TURN_DEADLINE_SECONDS": "20"}}
    async with live_system(folder, environments=environments) as running:
        tool = an_http_tool(f"{receiver[1]}/slots", timeout_seconds=10).model_dump(mode="json")
        terms = {"turn_taking": PATIENT, "tools": {"http": [tool]}}
        created = await running.rest.post("/api/v1/campaigns", json={"campaign_id": CAMPAIGN, **terms})
        assert created.status_code == 201, created.text
        assert (await running.rest.post(f"/api/v1/campaigns/{CAMPAIGN}/start")).is_success
        yield running


@pytest.mark.parametrize("mode", ["turn_based", "live"])
async def test_the_callee_hears_what_the_receiver_answered(
    system: LiveSystem, receiver: tuple[ToolReceiver, str], mode: str
) -> None:
    callee = {"at_seconds": NEVER, "phrases": PHRASES}
    call_id = await system.begin("human", callee, campaign_id=CAMPAIGN, mode=mode)
    call = await system.end(call_id)
    events = await system.events(call_id)

    assert call["status"] == "completed"
    called = select(events, "conversation.tool_called", status="succeeded")[0]["data"]
    assert json.loads(called["result"]) == receiver[0].answer
    bodies = {headers["idempotency-key"]: json.loads(body) for headers, body in receiver[0].requests}
    assert bodies[f"{call_id}-1-{called['turn']}-0"]["arguments"] == {"day": QUESTION}
    [reply] = select(events, "reply.generated", turn=called["turn"])
    assert "10:00, 11:30" in reply["data"]["text"]
    [first] = select(events, "audio.requested", turn=called["turn"], sentence=0)
    order = [event["data"] for event in events]
    assert order.index(first["data"]) < order.index(called), "the words before the tool call were requested before it"
    story = (await system.rest.get(f"/api/v1/calls/{call_id}/story")).json()
    lines = {one["event"]: one["text"] for one in story["timeline"]}
    assert f"free_slots {json.dumps({'day': QUESTION})}" in lines["conversation.tool_requested"]
    assert "free_slots succeeded after" in lines["conversation.tool_called"]


async def test_the_log_is_decided_again_as_it_is(system: LiveSystem) -> None:
    await system.verify_replay()
