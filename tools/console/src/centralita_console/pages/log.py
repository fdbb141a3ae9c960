"""The live log: each event as it is stored, in the browser. What ``centralita tail`` prints.

The id of a message is a sequence of the log. A browser that lost its connection, or that paused, continues after the
last one; the REST API then reads what was stored since. No event is left out silently: a browser that does not read, or
that was away for too long, is told to load the page again.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from centralita_console.authentication import Api, door_of
from centralita_console.browser_streams import Parts, new_page_name, notice, stream_to
from centralita_console.event_stream import StreamedEvent, message, streamed_events
from centralita_console.live_log import LiveLog, watch_log
from centralita_console.live_views import LiveViews, TooManyWatchers
from centralita_console.log_lines import Line, line_of, subject_matcher
from centralita_console.pages.calls import campaign_ids
from centralita_console.rendering import render
from centralita_console.rest_client import RestClient, RestFailure, Unreachable
from chassis.background import run_in_background

router = APIRouter()

MAX_ROWS = 500
"""The newest events that a page shows."""
MAX_WAITING = 500
"""Lines that wait for one browser. Then the REST API waits, too."""
MAX_SEQUENCE = 2**53 - 1
MESSAGES_PER_SECOND = 4
PING_SECONDS = 15.0
_GONE_FOR_NOW = (429, 502, 503, 504)

Text = Annotated[str, Query(max_length=200)]
Sequence = Annotated[int | None, Query(ge=0, le=MAX_SEQUENCE)]


@dataclass(frozen=True, slots=True)
class Selection:
    """What one page of the log shows."""

    campaign_id: str
    call_id: str
    subject: str

    def parameters(self) -> dict[str, str]:
        """Returns the parameters of the REST API's stream. It selects by call and campaign."""
        given = {"campaign_id": self.campaign_id, "call_id": self.call_id}
        return {name: value for name, value in given.items() if value}


@router.get("/log")
async def show_log(
    request: Request, api: Api, campaign_id: Text = "", call_id: Text = "", subject: Text = ""
) -> Response:
    """Shows the form and an empty log, which the script fills. Each page has a random name, to tell it apart."""
    selection = Selection(campaign_id.strip(), call_id.strip(), subject.strip())
    filters = {"campaign_id": selection.campaign_id, "call_id": selection.call_id, "subject": selection.subject}
    campaigns = await campaign_ids(api)
    name = new_page_name()
    return render(request, "log.html", filters=filters, campaigns=campaigns, page_name=name, max_rows=MAX_ROWS)


@router.get("/log/events")
async def stream_log(
    request: Request,
    api: Api,
    campaign_id: Text = "",
    call_id: Text = "",
    subject: Text = "",
    page: Text = "",
    after: Sequence = None,
    last_event_id: Annotated[int | None, Header(alias="Last-Event-ID", ge=0, le=MAX_SEQUENCE)] = None,
) -> Response:
    """Sends lines after a sequence, else from now on: that of the script after a pause, or that of the browser."""
    after_sequence = after if last_event_id is None else last_event_id
    messages = _messages(request, api, Selection(campaign_id, call_id, subject), after_sequence)
    return stream_to(request, page, messages)


@dataclass(slots=True)
class _Feed:
    """The lines that wait for one browser. `wake` is set at each line, and at the end of the stream."""

    matches: Callable[[Line], bool]
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    lines: list[Line] = field(default_factory=list)
    sequence: int | None = None
    taken_sequence: int = 0
    is_over: bool = False
    _has_room: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, streamed: AsyncIterator[StreamedEvent]) -> None:
        """Reads until the stream ends, no faster than the browser."""
        try:
            async for event in streamed:
                while len(self.lines) >= MAX_WAITING:
                    self._has_room.clear()
                    await self._has_room.wait()
                if event.resource and self.matches(line := line_of(event.resource)):
                    self.lines.append(line)
                self.sequence = event.sequence
                self.wake.set()
        finally:
            self.is_over = True
            self.wake.set()

    def take(self) -> str:
        """Returns what waits as one message; its id is the last sequence that was read. Lines may be none."""
        lines, self.lines = self.lines, []
        self.taken_sequence = self.sequence or 0
        self._has_room.set()
        return message(json.dumps(lines), self.taken_sequence)


async def _messages(request: Request, api: RestClient, selection: Selection, after_sequence: int | None) -> Parts:
    """Yields the events after a sequence: those of the past by a stream of its own, then those that all share.

    A stream of one call contains what was spoken. Each reader of it has one of its own, which the REST API audits.
    """
    views: LiveViews = request.app.state.live
    try:
        if selection.call_id:
            with views.admitted():
                async with aclosing(_own_parts(request, api, selection, after_sequence)) as parts:
                    async for part, _ in parts:
                        yield part
        else:
            async with watch_log(views, api, selection.parameters()) as live:
                async for part in _shared_parts(request, api, selection, after_sequence, live):
                    yield part
                if live.problem:
                    raise live.problem
        if door_of(request).session_of(request) is None:
            yield notice("stop", "ended")
    except RestFailure as failure:
        yield _refusal(failure, is_continued=after_sequence is not None)
    except Unreachable:
        yield notice("away", "unreachable")
    except TooManyWatchers:
        yield notice("away", "busy")


async def _shared_parts(
    request: Request, api: RestClient, selection: Selection, after_sequence: int | None, live: LiveLog
) -> AsyncIterator[str]:
    version, position, matches = 0, after_sequence, subject_matcher(selection.subject)
    while live.is_followed and door_of(request).session_of(request):
        if not await live.newer_than(version, PING_SECONDS):
            yield ": nothing happened\n\n"
            continue
        version = live.published
        if position is None:
            position = live.sequence
        if not live.has_all_after(position):
            async with aclosing(_own_parts(request, api, selection, position)) as parts:
                async for part, position in parts:
                    yield part
                    if live.has_all_after(position):
                        break
                else:
                    return
        text, position = live.after(position, matches), max(position, live.sequence)
        yield message(text, position)


async def _own_parts(
    request: Request, api: RestClient, selection: Selection, after_sequence: int | None
) -> AsyncGenerator[tuple[str, int], None]:
    """Yields what was read by a stream of its own, and up to which sequence."""
    async with streamed_events(api, selection.parameters(), after_sequence, has_positions=True) as streamed:
        feed, views = _Feed(subject_matcher(selection.subject)), request.app.state.live
        with views.woken_at_stop(feed.wake):
            async with run_in_background(feed.read(streamed)):
                async for part in _changes(request, feed):
                    yield part, feed.taken_sequence


async def _changes(request: Request, feed: _Feed) -> AsyncIterator[str]:
    """Yields what was read, at most `MESSAGES_PER_SECOND` times a second, while the session and the stream last."""
    views: LiveViews = request.app.state.live
    while not views.must_stop.is_set() and door_of(request).session_of(request):
        try:
            async with asyncio.timeout(PING_SECONDS):
                await feed.wake.wait()
        except TimeoutError:
            yield ": nothing happened\n\n"
            continue
        feed.wake.clear()
        if feed.sequence is not None:
            yield feed.take()
        if feed.is_over:
            return
        await asyncio.sleep(1 / MESSAGES_PER_SECOND)


def _refusal(failure: RestFailure, *, is_continued: bool) -> str:
    """Returns the notice of a refusal. Only some of them pass by themselves."""
    if failure.status in _GONE_FOR_NOW:
        return notice("away", "unreachable", failure.detail)
    if failure.status == 401:
        return notice("stop", "ended")
    if failure.status == 422 and is_continued:
        return notice("stop", "gap")
    return notice("stop", "refused", failure.detail)
