"""What the story says of a tool call whose process died: it has no result."""

import pytest
from tests.builders.calls import a_call
from tests.builders.events import call_created, status_changed
from tests.builders.live_call import messages_of
from tests.builders.turns import an_utterance

from contracts import CallStatus, Event, ToolCalled, ToolRequested, ToolStatus
from records.story import NO_RESULT, NO_RESULT_YET, story_of

CALL = a_call(CallStatus.IN_PROGRESS)
PLACE = {"call_id": CALL.call_id, "attempt": 1, "turn": 1, "name": "book"}
REQUESTED = ToolRequested(**PLACE, number=0, arguments='{"day": "Friday"}')
CALLED = ToolCalled(**PLACE, number=0, status=ToolStatus.SUCCEEDED, result="booked", seconds=1)
OTHER = ToolRequested(**PLACE, number=1, arguments="{}")
ENDED = status_changed(CALL.model_copy(update={"status": CallStatus.COMPLETED}), previous=CallStatus.IN_PROGRESS)
NEXT = status_changed(CALL.model_copy(update={"attempt": 2}), previous=CallStatus.PENDING)


def requests(*events: Event, at: int | None = None) -> list[str]:
    """Returns the lines of the tool calls in the story of these events."""
    messages = messages_of(CALL, [call_created(CALL), an_utterance(CALL.call_id, 1, "On Friday"), *events])
    return [line.text for line in story_of(messages, at).timeline if line.event == "conversation.tool_requested"]


@pytest.mark.parametrize("end", [ENDED, NEXT])
def test_a_tool_call_without_a_result_says_after_the_end_that_none_is_known(end: Event) -> None:
    assert requests(REQUESTED, end) == [f'turn 1: book {{"day": "Friday"}} ({NO_RESULT})']


def test_before_the_end_a_result_may_still_come() -> None:
    assert requests(REQUESTED) == [f'turn 1: book {{"day": "Friday"}} ({NO_RESULT_YET})']


def test_a_result_belongs_to_its_own_tool_call_also_if_it_comes_late() -> None:
    lines = ['turn 1: book {"day": "Friday"}', f"turn 1: book {{}} ({NO_RESULT})"]
    assert requests(REQUESTED, OTHER, CALLED, ENDED) == lines
    assert requests(REQUESTED, OTHER, ENDED, CALLED) == lines
