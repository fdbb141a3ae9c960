"""The tools of the model, and tool calls that are not well-formed."""

import pytest

from contracts import Disposition, ToolCall
from conversation.domain.messages import ToolUse
from conversation.domain.tools import TOOLS, disposition_of, fields_of, read_tool_use, result_of


def note(field: str, value: str) -> ToolCall:
    return ToolCall(name="note", arguments={"field": field, "value": value})


def test_tools_are_strict_functions_whose_properties_are_all_required() -> None:
    for tool in TOOLS:
        properties = tool.parameters["properties"]
        assert isinstance(properties, dict)
        assert tool.parameters["required"] == list(properties)
        assert tool.parameters["additionalProperties"] is False


def test_the_model_may_choose_every_disposition_that_no_event_decides() -> None:
    properties = TOOLS[0].parameters["properties"]
    assert isinstance(properties, dict)
    assert set(properties["disposition"]["enum"]) == set(Disposition) - {
        Disposition.TECHNICAL_FAILURE,
        Disposition.TRANSFERRED,
    }


@pytest.mark.parametrize("raw", ["", "{", "[1]", "null", '"text"', "{'field': 1}"])
def test_arguments_that_are_not_a_json_object_stay_raw(raw: str) -> None:
    assert read_tool_use(ToolUse("1", "note", raw)) == ToolCall(name="note", arguments={"unreadable": raw})


def test_arguments_that_are_nested_too_deeply_stay_raw() -> None:
    raw = "[" * 100_000
    assert read_tool_use(ToolUse("1", "note", raw)).arguments == {"unreadable": raw[:500]}


def test_arguments_that_are_not_text_become_text() -> None:
    call = read_tool_use(ToolUse("1", "note", '{"field": "people", "value": 3}'))
    assert call.arguments == {"field": "people", "value": "3"}


def test_a_disposition_is_read_without_regard_to_case_and_space() -> None:
    call = ToolCall(name="end_call", arguments={"disposition": " Opt_Out "})
    assert disposition_of(call) is Disposition.OPT_OUT


def test_only_complete_notes_become_fields() -> None:
    unreadable = ToolCall(name="note", arguments={"unreadable": "{"})
    assert fields_of([note("hour", "diez"), note("", "x"), note("y", " "), unreadable]) == {"hour": "diez"}


def test_each_tool_call_has_a_result_for_the_model() -> None:
    assert result_of(note("hour", "diez")) == "noted"
    assert result_of(note("hour", "")).startswith("not noted")
    assert result_of(ToolCall(name="transfer", arguments={})) == "there is no such tool"
