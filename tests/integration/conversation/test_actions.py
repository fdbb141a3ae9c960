"""The tools schedule_callback and send_digits, on a real nats-server with a model server on the wire."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from tests.fakes.model import ModelServer
from tests.integration.conversation.conftest import ActiveCall

from chassis.event_log import EventLog
from contracts import (
    AgentTools,
    AudioRequested,
    CallbackScheduled,
    Campaign,
    CampaignCreated,
    CampaignTerms,
    DigitsSent,
    ReplyGenerated,
    ReplySource,
    ToolCalled,
    ToolStatus,
)
from contracts.callback_times import CallbackTime
from conversation.application.callbacks import CallbackScheduling
from conversation.application.turns import Turns

BOGOTA = "+573015550123"
ZONE = ZoneInfo("America/Bogota")
DIGITS = ("send_digits", '{"digits": "1w2"}')


@dataclass
class PreparedTimes:
    """Answers with prepared times: the instant itself, another one, or nothing."""

    answer: CallbackTime | None = None
    is_known: bool = True
    asked: list[datetime] = field(default_factory=list)

    async def first_permitted(self, _: UUID, at: datetime) -> CallbackTime | None:
        self.asked.append(at)
        if not self.is_known:
            return None
        return self.answer or CallbackTime(at=at)


@pytest.fixture
async def times(active_call: ActiveCall, calls: EventLog, deadline_seconds: float) -> PreparedTimes:
    """The call belongs to a campaign with both tools; the person is in Bogotá."""
    times = PreparedTimes()
    executors = [CallbackScheduling(calls, times)]
    active_call.turns = Turns(calls, active_call.models, executors=executors, deadline_seconds=deadline_seconds)
    campaign, now = Campaign(campaign_id=f"actions-{active_call.call.call_id}"), datetime.now(UTC)
    terms = CampaignTerms(tools=AgentTools(may_schedule_callbacks=True, may_send_digits=True))
    await calls.append(CampaignCreated(campaign=campaign.created(now, terms), occurred_at=now))
    await active_call.change(campaign_id=campaign.campaign_id, has_tools=True, phone_number=BOGOTA)
    return times


def tomorrow() -> datetime:
    return (datetime.now(ZONE) + timedelta(days=1)).replace(hour=10, minute=0, second=0, microsecond=0)


def asking(at: datetime | str) -> tuple[str, str]:
    text = at if isinstance(at, str) else at.replace(tzinfo=None).isoformat()
    return "schedule_callback", f'{{"local_time": "{text}", "reason": "Está trabajando."}}'


def offered(request: dict[str, object]) -> set[str]:
    tools = request["tools"]
    assert isinstance(tools, list)
    return {tool["function"]["name"] for tool in tools}


async def test_a_callback_is_in_the_log_and_the_agent_can_say_when(
    active_call: ActiveCall, times: PreparedTimes, model_server: ModelServer
) -> None:
    at = tomorrow()
    model_server.prepare("", asking(at))
    model_server.prepare("De acuerdo, le llamo mañana a las diez.")
    stored = await active_call.callee_says(1, "Llámeme mañana a las diez.")
    [event] = await active_call.events(CallbackScheduled)
    assert (event.turn, event.at, event.asked_at, event.reason) == (1, at, at, "Está trabajando.")
    assert event.local_time == at.isoformat()
    first, second = model_server.requests
    assert offered(first) == {"end_call", "note", "schedule_callback", "send_digits"}
    assert "T" in first["messages"][0]["content"].partition("It is ")[2][:40], "the time where the person is"
    assert second["messages"][-1]["content"].startswith(f"scheduled for {at:%A} {at.isoformat(timespec='minutes')}")
    assert await active_call.sentences(1) == ["De acuerdo, le llamo mañana a las diez."]
    await active_call.deliver(stored)
    assert len(await active_call.events(CallbackScheduled)) == 1, "a second delivery"


async def test_the_agent_is_told_that_the_time_was_moved(
    active_call: ActiveCall, times: PreparedTimes, model_server: ModelServer
) -> None:
    at = tomorrow()
    times.answer = CallbackTime(at=at + timedelta(hours=22), detail="calls are permitted from 08:00 to 19:00")
    model_server.prepare("", asking(at))
    model_server.prepare("Le llamo pasado mañana a las ocho.")
    await active_call.callee_says(1, "Llámeme mañana por la noche.")
    [event] = await active_call.events(CallbackScheduled)
    assert (event.at, event.asked_at) == (at + timedelta(hours=22), at)
    result = model_server.requests[1]["messages"][-1]["content"]
    assert "calls are permitted from 08:00 to 19:00" in result
    assert f"{event.at.astimezone(ZONE).isoformat(timespec='minutes')}, the next permitted time" in result


async def test_a_callback_that_is_not_possible_is_refused_with_the_reason(
    active_call: ActiveCall, times: PreparedTimes, model_server: ModelServer
) -> None:
    times.answer = CallbackTime(at=None, detail="the campaign permits 1 attempts in all")
    model_server.prepare("", asking(tomorrow()))
    model_server.prepare("", asking("2020-01-01T10:00"))
    model_server.prepare("Lo siento, no puedo volver a llamarle.")
    await active_call.callee_says(1, "Llámeme mañana.")
    assert await active_call.events(CallbackScheduled) == []
    called = await active_call.events(ToolCalled)
    assert [one.status for one in called] == [ToolStatus.REFUSED] * 2
    reasons = [one.result.partition(": ")[2] for one in called]
    assert [reason[:19] for reason in reasons] == ["the campaign permit", "that is in the past"]


async def test_without_an_answer_the_time_of_the_person_is_scheduled(
    active_call: ActiveCall, times: PreparedTimes, model_server: ModelServer
) -> None:
    times.is_known, at = False, tomorrow()
    model_server.prepare("", asking(at))
    model_server.prepare("De acuerdo.")
    await active_call.callee_says(1, "Llámeme mañana a las diez.")
    [event] = await active_call.events(CallbackScheduled)
    assert event.at == at
    assert "or the next permitted time" in model_server.requests[1]["messages"][-1]["content"]


async def test_a_later_callback_has_a_higher_number(
    active_call: ActiveCall, times: PreparedTimes, model_server: ModelServer
) -> None:
    for hour in (10, 16):
        model_server.prepare("", asking(tomorrow().replace(hour=hour)))
        model_server.prepare("De acuerdo.")
    for turn in (1, 2):
        await active_call.callee_says(turn, "Llámeme mañana.")
    first, second = await active_call.events(CallbackScheduled)
    assert first.number < second.number


async def test_a_call_without_the_tool_has_neither_the_tool_nor_the_time(
    active_call: ActiveCall, model_server: ModelServer
) -> None:
    model_server.prepare("Hola.")
    await active_call.callee_says(1, "¿Quién es?")
    [request] = model_server.requests
    assert offered(request) == {"end_call", "note"}
    assert "It is " not in request["messages"][0]["content"]


async def test_keys_need_no_words_and_are_a_part_of_the_reply(
    active_call: ActiveCall, times: PreparedTimes, model_server: ModelServer
) -> None:
    model_server.prepare("", DIGITS)
    await active_call.callee_says(1, "Para ventas, marque uno.")
    [reply] = await active_call.events(ReplyGenerated)
    assert (reply.digits, reply.sentences, reply.source, reply.is_fallback) == ("1w2", 0, ReplySource.MODEL, False)
    assert len(model_server.requests) == 1
    assert [event.turn for event in await active_call.events(AudioRequested) if event.turn] == []


@pytest.mark.parametrize("was_sent", [True, False])
async def test_the_model_learns_whether_its_keys_were_pressed(
    active_call: ActiveCall, times: PreparedTimes, model_server: ModelServer, calls: EventLog, *, was_sent: bool
) -> None:
    model_server.prepare("", DIGITS)
    model_server.prepare("Hola.")
    await active_call.callee_says(1, "Para ventas, marque uno.")
    if was_sent:
        await calls.append(DigitsSent(call_id=active_call.call.call_id, attempt=1, turn=1, digits="1w2"))
    await active_call.callee_says(2, "Ventas, dígame.")
    result = next(one["content"] for one in model_server.requests[1]["messages"] if one["role"] == "tool")
    assert result == "pressed" if was_sent else result.startswith("not pressed")


async def test_keys_that_are_none_are_refused_and_the_model_is_asked_again(
    active_call: ActiveCall, times: PreparedTimes, model_server: ModelServer
) -> None:
    model_server.prepare("", ("send_digits", '{"digits": "911 please"}'))
    model_server.prepare("Buenos días.")
    await active_call.callee_says(1, "Para ventas, marque uno.")
    [reply] = await active_call.events(ReplyGenerated)
    assert (reply.digits, reply.text) == ("", "Buenos días.")
    assert model_server.requests[1]["messages"][-1]["content"].startswith("not pressed: digits are 1 to 32 of")


async def test_a_reply_that_ends_the_call_presses_no_keys(
    active_call: ActiveCall, times: PreparedTimes, model_server: ModelServer
) -> None:
    model_server.prepare("Adiós.", DIGITS, ("end_call", '{"disposition": "confirmed"}'))
    await active_call.callee_says(1, "Gracias, adiós.")
    [reply] = await active_call.events(ReplyGenerated)
    assert reply.digits == ""
