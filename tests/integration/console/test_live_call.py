"""The page of a live call before the real edge: its streams, interrupted replies and keys, in both languages."""

import httpx
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from tests.builders.live_call import HEARD, live_call_events
from tests.integration.console.conftest import TOKEN, parsed, words
from tests.integration.console.test_pages import HOSTILE, assert_safe
from tests.integration.edge.conftest import Orchestrator
from tests.integration.edge.test_lists import CALL

from chassis.event_log import EventLog
from contracts import (
    Call,
    CallList,
    CallStatus,
    ConversationMode,
    Event,
    MediaKind,
    MediaOpened,
    ProviderCallsQuery,
)

pytestmark = pytest.mark.usefixtures("listed")


async def append_live_call(orchestrator: Orchestrator, log: EventLog, call: Call, **spoken: str) -> list[int]:
    """Appends a live call in progress; returns the sequences of its events about the conversation."""
    state = {"status": CallStatus.IN_PROGRESS, "attempt": 1, "mode": ConversationMode.LIVE}
    await orchestrator.move(call.call_id, **state)
    told: list[Event] = [one for one in live_call_events(call, **spoken) if not one.event_name.startswith("call.")]
    return [(await log.append(one)).sequence for one in told]


async def test_a_live_call_shows_its_streams_what_was_heard_and_what_was_not(
    browser: httpx.AsyncClient, calls: EventLog, orchestrator: Orchestrator, waiting: Call
) -> None:
    sequences = await append_live_call(orchestrator, calls, waiting)

    page = (await browser.get(f"/calls/{waiting.call_id}")).text
    begun = words((await browser.get(f"/calls/{waiting.call_id}?at={sequences[0]}")).text)

    assert_safe(page)
    shown = words(page)
    assert "live conversation" in shown
    assert "media streams: 2, then in turns" in shown
    assert "stream 1 closed after 12.4 s, its process stops, another one continues, gaps in our audio: 1" in shown
    assert f"{HEARD} (not heard:) at eleven. Or Thursday at four." in shown
    assert "the callee pressed a key · pauses: 3 · backchannels: 2" in shown
    assert "keys pressed: 12" in shown
    assert "end of turn 0.50 + log 0.01 + model 0.40 + voice 0.20 + playback 0.04" in shown
    assert "transcript after 0.31 s" in shown
    assert "media streams: 1" in begun
    assert "then in turns" not in begun
    assert "(not heard:)" not in begun
    assert [tag for tag, _ in parsed(page).tags].count("s") == 2, "of the greeting and of a reply"


async def test_a_live_call_is_shown_in_spanish(
    anyone: httpx.AsyncClient, calls: EventLog, orchestrator: Orchestrator, waiting: Call
) -> None:
    await append_live_call(orchestrator, calls, waiting)
    anyone.headers["Accept-Language"] = "es"
    await anyone.get("/login", params={"token": TOKEN})

    shown = words((await anyone.get(f"/calls/{waiting.call_id}")).text)

    assert "canal 1 cerrado a los 12.4 s, su proceso se detiene y otro continúa" in shown
    assert "sigue por turnos, fallaron demasiados canales" in shown
    assert f"{HEARD} (no se oyó:) at eleven." in shown


@pytest.mark.parametrize("text", HOSTILE, ids=["image", "script", "svg", "rtl", "template", "long"])
async def test_hostile_words_of_a_live_call_are_shown_as_text(
    browser: httpx.AsyncClient, calls: EventLog, orchestrator: Orchestrator, waiting: Call, text: str
) -> None:
    await append_live_call(orchestrator, calls, waiting, reply=f"{text} {text}", heard=text, keys=text)

    page = (await browser.get(f"/calls/{waiting.call_id}")).text

    assert_safe(page)
    assert len(page) < 100_000


async def test_a_reply_of_which_nothing_was_heard_is_shown_as_not_heard(
    browser: httpx.AsyncClient, calls: EventLog, orchestrator: Orchestrator, waiting: Call
) -> None:
    await append_live_call(orchestrator, calls, waiting, heard="", keys="")

    shown = words((await browser.get(f"/calls/{waiting.call_id}")).text)

    assert "the callee pressed a key, nothing was heard" in shown
    assert "(not heard:) I can offer you Tuesday at eleven. Or Thursday at four." in shown


async def test_a_call_whose_provider_speaks_shows_its_mode(
    browser: httpx.AsyncClient, calls: EventLog, orchestrator: Orchestrator, waiting: Call
) -> None:
    state = {"status": CallStatus.IN_PROGRESS, "attempt": 1, "mode": ConversationMode.RELAY}
    await orchestrator.move(waiting.call_id, **state)
    opened = MediaOpened(
        call_id=waiting.call_id, attempt=1, generation=1, stream_id="VX1", previous_turn=0, kind=MediaKind.RELAY
    )
    await calls.append(opened)

    shown = words((await browser.get(f"/calls/{waiting.call_id}")).text)

    assert "live conversation, relayed as text" in shown
    assert "stream 1 opened, the provider transcribes and speaks" in shown


async def test_the_list_marks_live_calls(browser: httpx.AsyncClient, bus_client: Client) -> None:
    for mode, marked in (
        (ConversationMode.LIVE, "pending live busy"),
        (ConversationMode.RELAY, "pending relay busy"),
        (ConversationMode.TURN_BASED, "pending busy"),
    ):
        found = CallList(calls=(CALL.model_copy(update={"mode": mode}),), has_more=False)

        async def answer(message: Msg, found: CallList = found) -> None:
            await message.respond(found.model_dump_json().encode())

        subscription = await bus_client.subscribe(ProviderCallsQuery.subject, cb=answer)
        shown = words((await browser.get(f"/calls?provider_call_id=CA{'0' * 32}")).text)
        await subscription.unsubscribe()

        assert marked in shown
