"""Checks the model's arguments of a tool against the tool's schema."""

from collections.abc import Mapping
from typing import NoReturn

import jsonschema_rs

_MAX_REASONS = 3
_MAX_REASON_CHARACTERS = 200


def argument_refusals(schema: Mapping[str, object], values: Mapping[str, object] | None) -> list[str]:
    """Returns why arguments are not acceptable, for the model to correct them; empty if they are.

    `values`: none if they were no JSON object. The schema has no references and no patterns, see
    `contracts.requested_tools`, so nothing is fetched and the cost is bounded by the sizes of both.
    """
    if values is None:
        return ["the arguments are not a JSON object"]
    try:
        validator = jsonschema_rs.Draft202012Validator(dict(schema), retriever=_fetch_nothing)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        return [f"the tool cannot be used: {_short(str(error))}"]
    reasons = []
    for wrong in validator.iter_errors(dict(values)):
        place = ".".join(str(part) for part in wrong.instance_path)
        reasons.append(_short(f"{place}: {wrong.message}" if place else wrong.message))
        if len(reasons) == _MAX_REASONS:
            break
    return reasons


def _fetch_nothing(uri: str) -> NoReturn:
    raise ValueError("a schema has no references to other documents")


def _short(text: str) -> str:
    return text[:_MAX_REASON_CHARACTERS]
