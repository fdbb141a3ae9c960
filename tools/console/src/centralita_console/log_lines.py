"""One line of the live log for each event, as ``centralita tail`` prints it, with masked numbers."""

from collections.abc import Callable, Mapping
from typing import Any

from centralita_console.stored_events import event_name_of, event_of
from centralita_console.text_direction import closed
from chassis.subject_filters import matcher
from contracts import Event
from records.event_description import description
from records.masking import mask_numbers

MAX_TEXT_CHARACTERS = 300
Line = dict[str, str | int]


def line_of(resource: Mapping[str, Any]) -> Line:
    """Returns the line of an event of the REST API. One that this version cannot read has its name and its position."""
    event = event_of(resource)
    call_id = getattr(event, "call_id", None)
    text = mask_numbers(description(event)) if event else "; ".join(resource["unreadable"])
    return {
        "sequence": resource["sequence"],
        "at": resource["time"],
        "subject": event.subject if event else event_name_of(resource),
        "event": event_name_of(resource),
        "path": f"/calls/{call_id}?at={resource['sequence']}" if call_id else _campaign_path(event),
        "text": closed(text if len(text) <= MAX_TEXT_CHARACTERS else text[:MAX_TEXT_CHARACTERS] + "…"),
    }


def subject_matcher(pattern: str) -> Callable[[Line], bool]:
    """Returns whether a line is on a filter of subjects, with the wildcards of NATS; an empty one has every line.

    A filter with fewer tokens than the subject matches its beginning: ``call.failed`` is the same as ``call.failed.>``.
    """
    if not pattern:
        return lambda _: True
    matches = matcher([pattern, f"{pattern}.>"])
    return lambda line: matches(str(line["subject"]))


def _campaign_path(event: Event | None) -> str:
    campaign_id = getattr(event, "campaign_id", None)
    return f"/campaigns/{campaign_id}" if campaign_id else ""
