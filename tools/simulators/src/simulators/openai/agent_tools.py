"""The simulated agent's tool calls, with arguments that satisfy the tools' JSON schemas."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simulators.openai.requests import Function
from simulators.openai.utterance_meaning import Meaning

# For each outcome: substrings of matching disposition names, in order of preference.
_DISPOSITIONS: Mapping[Meaning, tuple[str, ...]] = {
    Meaning.YES: ("confirm", "accept", "success", "complet"),
    Meaning.NO: ("declin", "reject", "cancel", "not_", "refus", "complet"),
    Meaning.TIME: ("resched", "callback", "call_back", "later", "complet"),
    Meaning.REFUSAL: ("do_not_call", "opt_out", "declin", "refus", "reject", "not_interested"),
    Meaning.WRONG_NUMBER: ("wrong", "unreach", "invalid", "declin"),
    Meaning.SILENCE: ("no_response", "no_answer", "unrespons", "silen", "unreach", "abandon", "incomplete"),
    Meaning.OTHER: ("complet", "finish", "done", "answered", "other", "success"),
}
_DECISIVE = (Meaning.REFUSAL, Meaning.WRONG_NUMBER, Meaning.SILENCE)
_FACT_FIELDS: Mapping[Meaning, tuple[str, ...]] = {
    Meaning.YES: ("confirm", "attend", "answer"),
    Meaning.NO: ("confirm", "attend", "answer"),
    Meaning.TIME: ("time", "hour", "date", "when"),
}


_OTHERS = frozenset({"end_call", "note", "transfer", "schedule_callback", "send_digits"})
"""The functions that the agent calls for a purpose of their own."""


@dataclass(frozen=True)
class AgentToolCall:
    """A tool call: its name and its arguments, a JSON object."""

    name: str
    arguments: Mapping[str, Any]


def end_call(function: Function, meanings: Sequence[Meaning], utterances: Sequence[str]) -> AgentToolCall:
    """Returns the call that ends the conversation, with the outcome as disposition (a value of the schema's enum)."""
    outcome = _outcome(meanings)
    choices = _enum(function, "disposition")
    disposition = _closest(choices, _DISPOSITIONS[outcome]) if choices else outcome.value
    answers = sum(1 for utterance in utterances if utterance.strip())
    values = {"disposition": disposition, "summary": f"The callee answered {answers} times; outcome: {outcome.value}."}
    return AgentToolCall("end_call", _fit(function, values, ("disposition",)))


def note(function: Function, meaning: Meaning, utterance: str) -> AgentToolCall:
    """Returns the call that notes a fact of the utterance: a yes, a no, or a time."""
    choices = _enum(function, "field")
    default = "preferred_time" if meaning is Meaning.TIME else "confirmed"
    field = _closest(choices, _FACT_FIELDS[meaning]) if choices else default
    value = utterance.strip() if meaning is Meaning.TIME else meaning.value
    return AgentToolCall("note", _fit(function, {"field": field, "value": value}, ("field", "value")))


def lookup(functions: Mapping[str, Function], utterance: str) -> AgentToolCall | None:
    """Returns a call of the first function of the application itself; none if there is none.

    Its required texts are the words of the utterance.
    """
    function = next((one for name, one in functions.items() if name not in _OTHERS), None)
    if function is None:
        return None
    required = [name for name in function.parameters.get("required", ()) if not _enum(function, name)]
    texts = [name for name in required if _properties(function).get(name, {}).get("type") == "string"]
    return AgentToolCall(function.name, _fit(function, dict.fromkeys(texts, utterance.strip()), ()))


def is_lookup(name: str) -> bool:
    """Returns whether a function is one of the application itself."""
    return name not in _OTHERS


def spoken_result(text: str) -> str:
    """Returns the words of a result: the texts and numbers of a JSON document, or the text itself."""
    try:
        document = json.loads(text)
    except ValueError:
        return text
    return ", ".join(_words(document))


def _words(document: Any) -> list[str]:
    match document:
        case dict():
            return [word for value in document.values() for word in _words(value)]
        case list():
            return [word for value in document for word in _words(value)]
        case bool() | None:
            return []
        case _:
            return [str(document)]


def transfer(function: Function, utterance: str) -> AgentToolCall:
    """Returns the call that transfers the callee to the first destination."""
    choices = _enum(function, "destination")
    values = {"destination": choices[0] if choices else "", "summary": f"The caller said: {utterance}"}
    return AgentToolCall("transfer", _fit(function, values, ("destination", "summary")))


def _outcome(meanings: Sequence[Meaning]) -> Meaning:
    """Returns the last meaning if it is decisive, otherwise the last fact."""
    if meanings[-1] in _DECISIVE:
        return meanings[-1]
    facts = [meaning for meaning in meanings if meaning in _FACT_FIELDS]
    return facts[-1] if facts else Meaning.OTHER


def _enum(function: Function, name: str) -> list[str]:
    schema = _properties(function).get(name, {})
    return [str(choice) for choice in schema.get("enum", ())] if isinstance(schema, dict) else []


def _closest(choices: Sequence[str], hints: Sequence[str]) -> str:
    for hint in hints:
        for choice in choices:
            if hint in choice.lower():
                return choice
    return choices[-1]


def _properties(function: Function) -> dict[str, Any]:
    properties = function.parameters.get("properties", {})
    return properties if isinstance(properties, dict) else {}


def _fit(function: Function, values: Mapping[str, str], always: Sequence[str]) -> dict[str, Any]:
    """Returns `values` for the schema's properties, and a value of the right type for other required properties.

    The names in `always` are included even if the schema does not name them.
    """
    properties = _properties(function)
    arguments: dict[str, Any] = {name: values[name] for name in values if name in always or name in properties}
    for name in function.parameters.get("required", ()):
        if name not in arguments:
            arguments[name] = _value(properties.get(name, {}))
    return arguments


def _value(schema: Mapping[str, Any]) -> Any:
    if schema.get("enum"):
        return schema["enum"][0]
    return {"integer": 0, "number": 0, "boolean": False, "array": [], "object": {}}.get(schema.get("type", ""), "")
