"""The tools that every conversation has, and how its tool calls are read, well-formed or not."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from contracts import Disposition, ToolCall
from conversation.domain.messages import ToolUse

END_CALL = "end_call"
NOTE = "note"
SCHEDULE_CALLBACK = "schedule_callback"
SEND_DIGITS = "send_digits"
UNREADABLE = "unreadable"
"""The name of the one argument that keeps the raw text of a tool call whose arguments are not a JSON object."""

_MAX_RAW_CHARACTERS = 500
MAX_DIGITS = 32
_DIGITS = re.compile(rf"[0-9*#w]{{1,{MAX_DIGITS}}}")
NOT_DIGITS = f"not pressed: digits are 1 to {MAX_DIGITS} of 0-9, *, # and w"


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call. `parameters` is a JSON schema; `is_strict`: in OpenAI's strict subset."""

    name: str
    description: str
    parameters: Mapping[str, object]
    is_strict: bool = True


def strict_object(properties: Mapping[str, object]) -> Mapping[str, object]:
    """Returns an object schema that requires every property and allows no others (OpenAI, structured outputs)."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def text_property(description: str, choices: Iterable[str] = ()) -> Mapping[str, object]:
    """Returns the schema of a text; with `choices`, it is one of them."""
    schema: dict[str, object] = {"type": "string", "description": description}
    return {**schema, "enum": list(choices)} if choices else schema


DISPOSITIONS = tuple(one for one in Disposition if one not in (Disposition.TECHNICAL_FAILURE, Disposition.TRANSFERRED))
"""The dispositions that the model may choose. The others follow from what happened."""

TOOLS = (
    Tool(
        END_CALL,
        "Hang up once your words have been heard. Say goodbye in the same answer.",
        strict_object({"disposition": text_property("The outcome of the conversation", DISPOSITIONS)}),
    ),
    Tool(
        NOTE,
        "Write down one fact that the person has mentioned.",
        strict_object(
            {
                "field": text_property("Short name of the fact, in snake_case English, e.g. preferred_time"),
                "value": text_property("The fact, as short as it can be"),
            }
        ),
    ),
)


def read_tool_use(use: ToolUse) -> ToolCall:
    """Returns the tool call with its arguments as text; arguments that are not a JSON object stay raw: `UNREADABLE`."""
    try:
        arguments = json.loads(use.arguments)
    except (ValueError, RecursionError):  # the second: nested too deeply
        arguments = None
    if not isinstance(arguments, dict):
        return ToolCall(name=use.name, arguments={UNREADABLE: use.arguments[:_MAX_RAW_CHARACTERS]})
    return ToolCall(name=use.name, arguments={_valid(name): _value(value) for name, value in arguments.items()})


def _value(value: object) -> str:
    return _valid(value) if isinstance(value, str) else json.dumps(value)


def _valid(text: str) -> str:
    """Returns the text without surrogates, which JSON can contain but UTF-8 cannot."""
    return text.encode(errors="ignore").decode()


def result_of(call: ToolCall) -> str:
    """Returns the result that the model is sent for its tool call."""
    if call.name == SEND_DIGITS:
        return "pressed once your words have been heard" if valid_digits(call) else NOT_DIGITS
    if call.name == NOTE:
        return "noted" if _note(call) else "not noted: give field and value, both with text"
    return "the call will end" if call.name == END_CALL else "there is no such tool"


def valid_digits(call: ToolCall) -> str:
    """Returns the keys in a call of `send_digits`; empty: they are not valid."""
    digits = call.arguments.get("digits", "").strip()
    return digits if _DIGITS.fullmatch(digits) else ""


def disposition_of(call: ToolCall) -> Disposition | None:
    """Returns the disposition in a call of `end_call`; none if it is not one of `DISPOSITIONS`."""
    name = call.arguments.get("disposition", "").strip().lower()
    return next((disposition for disposition in DISPOSITIONS if disposition == name), None)


def fields_of(calls: Iterable[ToolCall]) -> dict[str, str]:
    """Returns the noted values by field. A later note of the same field replaces the earlier one."""
    return dict(note for call in calls if call.name == NOTE and (note := _note(call)))


def _note(call: ToolCall) -> tuple[str, str] | None:
    field, value = call.arguments.get("field", "").strip(), call.arguments.get("value", "").strip()
    return (field, value) if field and value else None
