"""The two tools that the model has, and what is made of its calls, well-formed or not."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from contracts import Disposition, ToolCall
from conversation.domain.messages import ToolUse

END_CALL = "end_call"
NOTE = "note"
UNREADABLE = "unreadable"
"""The argument under which a tool call's raw text is kept when it is no JSON object."""

_RAW_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call; `parameters` is a JSON schema in OpenAI's strict subset."""

    name: str
    description: str
    parameters: Mapping[str, object]


def _strict(properties: Mapping[str, object]) -> Mapping[str, object]:
    """Strict functions require every property and allow no other (OpenAI, structured outputs)."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _text(description: str, choices: Iterable[str] = ()) -> Mapping[str, object]:
    schema: dict[str, object] = {"type": "string", "description": description}
    return {**schema, "enum": list(choices)} if choices else schema


DISPOSITIONS = tuple(outcome for outcome in Disposition if outcome is not Disposition.TECHNICAL_FAILURE)
"""What the model may say of a call's outcome; a technical failure is not its to see."""

TOOLS = (
    Tool(
        END_CALL,
        "Hang up once your words have been heard. Say goodbye in the same answer.",
        _strict({"disposition": _text("How the conversation came out", DISPOSITIONS)}),
    ),
    Tool(
        NOTE,
        "Write down one fact that the person has told you.",
        _strict(
            {
                "field": _text("Short name of the fact, in snake_case English, e.g. preferred_time"),
                "value": _text("The fact, as short as it can be"),
            }
        ),
    ),
)


def read_tool_use(use: ToolUse) -> ToolCall:
    """The call with its arguments as text; those that are no JSON object are kept as they came, under `UNREADABLE`."""
    try:
        arguments = json.loads(use.arguments)
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        return ToolCall(name=use.name, arguments={UNREADABLE: use.arguments[:_RAW_LIMIT]})
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in arguments.items()}
    return ToolCall(name=use.name, arguments=texts)


def result_of(call: ToolCall) -> str:
    """What the model is told that its call has done."""
    if call.name == NOTE:
        return "noted" if _fact(call) else "not noted: give field and value, both with text"
    return "the call will end" if call.name == END_CALL else "there is no such tool"


def disposition_of(call: ToolCall) -> Disposition | None:
    """The outcome that a call of `end_call` gives; none if it is none of `DISPOSITIONS`."""
    given = call.arguments.get("disposition", "")
    return next((outcome for outcome in DISPOSITIONS if outcome == given.strip().lower()), None)


def fields_of(calls: Iterable[ToolCall]) -> dict[str, str]:
    """What was noted, by field; a later note of a field replaces the earlier."""
    return dict(fact for call in calls if call.name == NOTE and (fact := _fact(call)))


def _fact(call: ToolCall) -> tuple[str, str] | None:
    field, value = call.arguments.get("field", "").strip(), call.arguments.get("value", "").strip()
    return (field, value) if field and value else None
