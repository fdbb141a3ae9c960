"""Events of the REST API as events of the contracts."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from contracts import Event
from contracts.events import EVENTS
from contracts.values import STORED


def event_of(resource: Mapping[str, Any]) -> Event | None:
    """Returns the event of a resource; none if this version cannot read it."""
    kind = EVENTS.get(event_name_of(resource))
    if kind is None or resource.get("unreadable"):
        return None
    try:
        return kind.model_validate(resource["data"], context=STORED)
    except ValidationError:
        return None


def event_name_of(resource: Mapping[str, Any]) -> str:
    """Returns the name of an event without its version, ``call.created`` of ``call.created.v2``."""
    return ".".join(str(resource["type"]).split(".")[:2])
