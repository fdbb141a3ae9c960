"""The tool `transfer`: destinations of the terms only, once in an answer, and a few times in a call."""

import json
from typing import TYPE_CHECKING, cast

import pytest
from tests.builders.calls import a_call
from tests.builders.events import an_envelope, call_created
from tests.builders.turns import an_utterance
from tests.fakes.event_log import FakeEventLog

from contracts import AgentTools, CallStatus, ToolCalled, ToolRequested, ToolStatus, TransferKind, TransferRequested
from contracts.agent_tools import TransferDestination
from contracts.transfers import MAX_SUMMARY_CHARACTERS, MAX_TRANSFERS
from conversation.application.transfers import REQUESTED, TRANSFER, TransferTool
from conversation.domain.conversation import Conversation
from conversation.domain.tool_execution import ToolExecution, ToolOutcome
from conversation.ports import ToolInvocation

if TYPE_CHECKING:
    from chassis.event_log import EventLog

CALL = a_call(CallStatus.IN_PROGRESS)
SALES = TransferDestination(name="sales", description="sells", phone_number="+12125550145")
DESK = TransferDestination(name="desk", description="the desk", phone_number="+12125550146", kind="warm")
TOOLS = AgentTools(transfers=(SALES, DESK))
RESULT = REQUESTED.format(destination="sales")


def tool(log: FakeEventLog) -> TransferTool:
    return TransferTool(cast("EventLog", log))


def a_conversation(turns: int = 1, *, transferred: int = 0) -> Conversation:
    """Returns a conversation in whose first turns transfers were requested."""
    events = [call_created(CALL), *(an_utterance(CALL.call_id, turn, "hola") for turn in range(1, turns + 1))]
    for turn in range(1, transferred + 1):
        place = {"call_id": CALL.call_id, "attempt": 1, "turn": turn, "number": 0, "name": TRANSFER}
        events += [
            ToolRequested(**place, arguments="{}"),
            ToolCalled(**place, status=ToolStatus.SUCCEEDED, result=RESULT, seconds=0),
        ]
    conversation = Conversation.of(events, 1)
    assert conversation is not None
    return conversation.with_tools(TOOLS)


async def transfer(
    log: FakeEventLog, arguments: object, conversation: Conversation | None = None, number: int = 0
) -> ToolOutcome:
    conversation = conversation or a_conversation()
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    execution = ToolExecution(number, TRANSFER, text)
    turn = conversation.turns[-1].number
    return await tool(log).execute(ToolInvocation(conversation, turn, execution, an_envelope()))


def test_the_model_chooses_among_the_destinations_of_the_campaign() -> None:
    assert tool(FakeEventLog()).offered(AgentTools()) == ()
    (offered,) = tool(FakeEventLog()).offered(TOOLS)
    properties = offered.parameters["properties"]
    assert isinstance(properties, dict)
    assert properties["destination"]["enum"] == ["sales", "desk"]
    assert "- desk: the desk" in offered.description
    assert "+1212" not in offered.description + json.dumps(offered.parameters), "the model sees no number"


async def test_a_transfer_is_requested_once_with_the_number_of_the_terms() -> None:
    log = FakeEventLog()
    for _ in range(2):  # the second one: another replica, after a crash
        outcome = await transfer(
            log, {"destination": "desk", "summary": " Ana \n asks. ", "phone_number": "+34911234567"}
        )
        assert outcome == ToolOutcome(REQUESTED.format(destination="desk"))
    assert log.events() == [
        TransferRequested(
            call_id=CALL.call_id,
            attempt=1,
            turn=1,
            destination="desk",
            kind=TransferKind.WARM,
            phone_number="+12125550146",
            summary="Ana asks.",
        )
    ]


@pytest.mark.parametrize(
    "arguments",
    [{"destination": "+34911234567"}, {"destination": 7}, {"destination": None}, {}, [], "{", '"sales"', "[" * 9_999],
)
async def test_a_destination_that_the_terms_do_not_have_is_refused(arguments: object) -> None:
    log = FakeEventLog()
    outcome = await transfer(log, arguments)
    assert outcome.status is ToolStatus.REFUSED
    assert "use one of sales, desk" in outcome.result
    assert log.events() == []


@pytest.mark.parametrize("summary", [None, 7, "x" * 5_000, "word " * 1_000, "\ud800"])
async def test_a_summary_of_any_kind_and_length_is_stored_as_a_short_text(summary: object) -> None:
    log = FakeEventLog()
    await transfer(log, {"destination": "sales", "summary": summary})
    [event] = log.events()
    assert isinstance(event, TransferRequested)
    assert len(event.summary) <= MAX_SUMMARY_CHARACTERS
    assert event.summary.encode() == event.summary.encode(errors="strict")


async def test_one_answer_begins_one_transfer_and_a_call_a_few() -> None:
    log = FakeEventLog()
    once = a_conversation(transferred=1)
    assert (await transfer(log, {"destination": "desk"}, once, number=1)).status is ToolStatus.REFUSED
    few = a_conversation(MAX_TRANSFERS, transferred=MAX_TRANSFERS - 1)
    assert (await transfer(log, {"destination": "desk"}, few)).status is ToolStatus.SUCCEEDED
    many = a_conversation(MAX_TRANSFERS + 1, transferred=MAX_TRANSFERS)
    assert (await transfer(log, {"destination": "desk"}, many)).status is ToolStatus.REFUSED
    assert len(log.events()) == 1
