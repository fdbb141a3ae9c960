"""Compares a recorded decision with the decision now, field by field."""

from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from centralita.replay.call_history import Decision, LeftOut
from contracts import Call, CallDecision
from contracts.personal import PLACEHOLDERS, personal_names

Differences = tuple[tuple[str, Any, Any], ...]
"""For each different field: its name, the recorded value, the value now."""
_POSITIONS = {"command_sequence", "granted_sequence"}
"""Positions in streams, which an import changes."""
_SEALED = _POSITIONS | personal_names(Call) | {"message_characters"}
"""What is sealed, and what follows from it."""


def differences_of(recorded: Decision, now: CallDecision) -> Differences:
    """Returns the fields of a recorded decision that are different now. Sealed fields are not compared."""
    then = recorded.event
    known = _left_out_fields(then.call, recorded.left_out)
    exclude = _SEALED if then.call.phone_number in PLACEHOLDERS else _POSITIONS
    call = _different_fields(then.call, now.call, "call.", exclude=exclude, known=known)
    if type(then) is not type(now):
        return (("event", then.event_name, now.event_name), *call)
    known = _left_out_fields(then, recorded.left_out)
    return (*_different_fields(then, now, "", exclude={"call"}, known=known), *call)


def _left_out_fields(model: BaseModel, left_out: LeftOut) -> dict[str, object]:
    """Returns the value of each field that the build left out if it had this value."""
    if left_out is LeftOut.NONE:
        return {}
    fields = type(model).model_fields
    defaults = {name: to_jsonable_python(field.default) for name, field in fields.items() if not field.is_required()}
    return {name: value for name, value in defaults.items() if value is None or left_out is LeftOut.DEFAULTS}


def _different_fields(
    recorded: BaseModel, now: BaseModel, prefix: str, *, exclude: set[str], known: dict[str, object]
) -> Differences:
    """Compares the fields that the recorded message sets and this build knows; a newer build may have more.

    A field that the message does not set has its value in `known`.
    """
    then = {name: value for name, value in known.items() if name not in exclude} | recorded.model_dump(
        mode="json", include=recorded.model_fields_set, exclude=exclude, by_alias=False
    )
    values = now.model_dump(mode="json", by_alias=False)
    return tuple(
        (f"{prefix}{name}", value, values[name])
        for name, value in then.items()
        if name in values and value != values[name]
    )
