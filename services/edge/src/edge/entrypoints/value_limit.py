"""Limit of the values in a JSON body, enforced before they are validated.

pydantic describes each wrong value. A body of 1 MB has room for 190,000 of them, whose descriptions take seconds; all
other requests of the process wait meanwhile.
"""

from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request

logger = structlog.get_logger()

MAX_VALUES = 2_000
"""Members of objects and lists together. The largest acceptable body has a few hundred."""


async def limit_values(request: Request) -> None:
    """Dependency of a router whose bodies are JSON. Raises HTTPException: 413 for a body with more than `MAX_VALUES`.

    The parsed body is kept in the request, so it is parsed once.
    """
    if request.method == "GET" or "json" not in request.headers.get("content-type", ""):
        return
    try:
        document = await request.json()
    except ValueError:
        return  # FastAPI answers
    if _has_more_values(document, MAX_VALUES):
        logger.warning("body_has_too_many_values", limit=MAX_VALUES)
        raise HTTPException(413, f"the body has more than {MAX_VALUES:,} values; remove those that do not belong to it")


def _has_more_values(document: Any, limit: int) -> bool:
    count, open_values = 0, [document]
    while open_values and count <= limit:
        value = open_values.pop()
        if isinstance(value, dict | list):
            count += len(value)
            open_values += value.values() if isinstance(value, dict) else value
    return count > limit
