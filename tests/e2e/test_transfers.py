"""Callees who ask for a person are transferred, in each mode, and come back to the agent if no person is connected."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.builders.live_system import NEVER, LiveSystem, field_of, live_system, select

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900), pytest.mark.asyncio(loop_scope="module")]
ASKS = "Can I talk to a person?"
PERSONS = {"cold": "+12125550181", "warm": "+12125550182"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveSystem]:
    folder: Path = tmp_path_factory.mktemp("transfers")
    async with live_system(folder) as system:
        for kind, number in PERSONS.items():
            destination = {"name": "desk", "description": "the desk", "phone_number": number, "kind": kind}
            terms = {"campaign_id": kind, "tools": {"transfers": [destination]}}
            (await system.rest.post("/api/v1/campaigns", json=terms)).raise_for_status()
            (await system.rest.post(f"/api/v1/campaigns/{kind}/start")).raise_for_status()
        yield system


async def begin(live: LiveSystem, kind: str, person: str, *, mode: str, more: tuple[str, ...] = ()) -> str:
    """Requests a call of a campaign whose person behaves so, and whose callee asks for a person."""
    settings = {"talk_seconds": 4.0}
    await live.control_put(f"callees/{PERSONS[kind]}", {"behaviours": [person], "settings": settings})
    return await live.begin("human", _callee(*more), campaign_id=kind, mode=mode)


def _callee(*more: str) -> Mapping[str, Any]:
    """Returns the settings of a callee who waits for the transfer.

    It does not take “one moment” for the whole answer of a slow model.
    """
    return {"phrases": (ASKS, "All right.", *more), "at_seconds": NEVER, "delay_seconds": 5.0}


def leg(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the one leg to a person."""
    [one] = entry["dials"]
    return dict(one)


@pytest.mark.parametrize("mode", ["turn_based", "live", "relay"])
async def test_a_callee_talks_with_a_person_and_the_call_is_complete(live: LiveSystem, mode: str) -> None:
    call_id = await begin(live, "cold", "human", mode=mode)
    call = await live.end(call_id)
    events, entry = await live.events(call_id), await live.entry(call_id)
    assert (call["status"], call["disposition"]) == ("completed", "transferred")
    assert field_of(events, "telephony.transfer_ended", "status") == ["completed"]
    assert field_of(events, "telephony.transfer_started", "kind") == ["cold"]
    assert (leg(entry)["to"], leg(entry)["from_"]) == (PERSONS["cold"], entry["from"])
    assert leg(entry)["is_bridged"]
    assert entry["errors"] == []
    order = [event["type"] for event in events]
    assert order.index("reply.generated") < order.index("telephony.transfer_started"), "the words were heard first"
    if mode != "turn_based":
        assert field_of(events, "telephony.media_closed", "reason") == ["transferred"]
        [turn] = field_of(events, "telephony.transfer_started", "turn")
        assert select(events, "speech.played", is_complete=True, turn=turn)
    await live.verify_replay()


async def test_a_person_accepts_a_callee_after_the_summary(live: LiveSystem) -> None:
    call_id = await begin(live, "warm", "human", mode="turn_based")
    call = await live.end(call_id)
    events, entry = await live.events(call_id), await live.entry(call_id)
    assert (call["status"], call["disposition"]) == ("completed", "transferred")
    assert field_of(events, "telephony.transfer_answered", "is_accepted") == [True]
    assert ASKS in leg(entry)["heard"][0], "what the model wrote of the callee"
    assert leg(entry)["keys"] == ["1"]


@pytest.mark.parametrize(
    ("kind", "person", "mode", "status"),
    [("warm", "declines", "live", "refused"), ("cold", "busy", "turn_based", "busy")],
)
async def test_a_callee_who_is_not_connected_comes_back_to_the_agent(
    live: LiveSystem, kind: str, person: str, mode: str, status: str
) -> None:
    call_id = await begin(live, kind, person, mode=mode, more=("Thank you, goodbye.",))
    call = await live.end(call_id)
    events, entry = await live.events(call_id), await live.entry(call_id)
    assert call["status"] == "completed"
    assert call["disposition"] not in (None, "transferred"), "the conversation ended by itself"
    assert field_of(events, "telephony.transfer_ended", "status") == [status]
    assert not leg(entry)["is_bridged"]
    [turn] = [
        event["data"]["turn"] for event in select(events, "speech.heard") if "[transfer desk: " in event["data"]["text"]
    ]
    [reply] = [event["data"] for event in select(events, "reply.generated", turn=turn)]
    assert reply["is_fallback"] or "could not reach my colleague" in reply["text"], "the agent says so"
    assert len(select(events, "call.transfer_ended")) == 1
    story = (await live.rest.get(f"/api/v1/calls/{call_id}/story")).json()
    assert [line["text"] for line in story["conversation"] if line["speaker"] == "transfer"]
    if mode == "live":
        assert field_of(events, "telephony.media_opened", "generation") == [1, 2]
    await live.verify_replay()


async def test_a_transfer_survives_the_processes_that_began_it(live: LiveSystem) -> None:
    await live.control_put(f"callees/{PERSONS['cold']}", {"behaviours": ["human"], "settings": {"talk_seconds": 20.0}})
    call_id = await live.begin("human", _callee(), campaign_id="cold", mode="turn_based")
    await live.until(call_id, "telephony.transfer_answered")
    for name in ("edge", "call-orchestrator"):
        live.system.services[name].kill()
    call = await live.end(call_id)
    entry = await live.entry(call_id)
    assert (call["status"], call["disposition"]) == ("completed", "transferred")
    assert leg(entry)["is_bridged"], "the person was dialled once"
    assert leg(entry)["seconds"] >= 20, "and nothing cut the talk short"
    await live.verify_replay()
