"""The REST API's stream of events, as server-sent events (HTML standard, section 9.2)."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from centralita_console.rest_client import PREFIX, RestClient, Unreachable, failure_of

SILENCE_SECONDS = 60
"""The REST API sends a comment every 15 seconds. A longer silence is a broken connection."""
_TIMEOUT = httpx.Timeout(15, read=SILENCE_SECONDS)


@dataclass(frozen=True, slots=True)
class StreamedEvent:
    """One event of the log: its position, and its resource in the REST API."""

    sequence: int
    resource: dict[str, Any]


@asynccontextmanager
async def streamed_events(api: RestClient, selection: dict[str, str]) -> AsyncIterator[AsyncIterator[StreamedEvent]]:
    """Yields the events from now on, or all events of a call, until the connection ends.

    Raises RestFailure and Unreachable, also while events are read.
    """
    headers = {"X-API-Key": api.api_key, "Accept": "text/event-stream"}
    try:
        async with api.http.stream(
            "GET", f"{PREFIX}/events", params=selection, headers=headers, timeout=_TIMEOUT
        ) as response:
            if not response.is_success:
                await response.aread()
                raise failure_of(response)
            yield _parsed(response.aiter_lines())
    except httpx.HTTPError as error:
        raise Unreachable(str(api.http.base_url), type(error).__name__) from None


async def _parsed(lines: AsyncIterator[str]) -> AsyncIterator[StreamedEvent]:
    """Yields each event with data. The REST API writes the data of an event in one line."""
    data = ""
    async for line in lines:
        if line.startswith("data:"):
            data += line.removeprefix("data:").strip()
        elif not line and data:
            resource = json.loads(data)
            yield StreamedEvent(resource["sequence"], resource)
            data = ""


def message(text: str, sequence: int) -> str:
    """Returns a part of a page as one server-sent event, whose id is a sequence."""
    return f"id: {sequence}\n" + "".join(f"data: {line}\n" for line in text.splitlines()) + "\n"
