"""Values of the REST API in another form: an instant of a form, and the position of the next page of a list."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit


def next_cursor(page: Mapping[str, Any]) -> str:
    """Returns the cursor in the path of the next page; empty on the last one."""
    return next_position(page, "cursor")


def next_position(page: Mapping[str, Any], parameter: str) -> str:
    """Returns a parameter of the path of the next page; empty on the last one."""
    return parse_qs(urlsplit(page["next"] or "").query).get(parameter, [""])[0]


def as_utc(instant: str) -> str:
    """Returns an instant without a time zone as one in UTC, which the field of the form has."""
    try:
        return instant if datetime.fromisoformat(instant).tzinfo else f"{instant}Z"
    except ValueError:
        return instant
