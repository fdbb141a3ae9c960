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
    """One event of the log: its position, and its resource in the REST API. A position alone has an empty resource."""

    sequence: int
    resource: dict[str, Any]


@asynccontextmanager
async def streamed_events(
    api: RestClient, selection: dict[str, str], after_sequence: int | None = None, *, has_positions: bool = False
) -> AsyncIterator[AsyncIterator[StreamedEvent]]:
    """Yields the events after a sequence, until the connection ends.

    Without a sequence: the events from now on, or all events of a call. `has_positions`: also the position at which the
    stream begins, as an event without a resource. Raises RestFailure and Unreachable, also while events are read.
    """
    headers = {"X-API-Key": api.api_key, "Accept": "text/event-stream"}
    if after_sequence is not None:
        headers["Last-Event-ID"] = str(after_sequence)
    try:
        async with api.http.stream(
            "GET", f"{PREFIX}/events", params=selection, headers=headers, timeout=_TIMEOUT
        ) as response:
            if not response.is_success:
                await response.aread()
                raise failure_of(response)
            yield _parsed(_lines(response.aiter_text()), has_positions=has_positions)
    except httpx.HTTPError as error:
        raise Unreachable(str(api.http.base_url), type(error).__name__) from None


async def _lines(texts: AsyncIterator[str]) -> AsyncIterator[str]:
    """Yields each line. httpx also splits at U+2028 and other ends of lines, which may be inside the data."""
    rest = ""
    async for text in texts:
        *lines, rest = (rest + text).split("\n")
        for line in lines:
            yield line.removesuffix("\r")


async def _parsed(lines: AsyncIterator[str], *, has_positions: bool) -> AsyncIterator[StreamedEvent]:
    """Yields each event with data. The REST API writes the data of an event in one line."""
    data, position = "", ""
    async for line in lines:
        name, _, value = line.partition(":")
        if name == "data":
            data += value.strip()
        elif name == "id":
            position = value.strip()
        elif not line:
            if data:
                resource = json.loads(data)
                yield StreamedEvent(resource["sequence"], resource)
            elif has_positions and position.isdigit():
                yield StreamedEvent(int(position), {})
            data, position = "", ""


def message(text: str, sequence: int) -> str:
    """Returns a part of a page as one server-sent event, whose id is a sequence."""
    return f"id: {sequence}\n" + "".join(f"data: {line}\n" for line in text.splitlines()) + "\n"
