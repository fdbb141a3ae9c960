"""Boards that browsers watch: one stream of the REST API for all browsers with the same key and campaign.

A browser is sent the newest board, at most `MAX_RENDERS_PER_SECOND` times a second. A slow one skips the boards in
between, so it costs no memory, and misses nothing: each board is complete.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from centralita_console.board import COLUMNS, MAX_ENDINGS, Board, Card
from centralita_console.event_stream import streamed_events
from centralita_console.rest_client import RestClient, RestFailure, Unreachable
from chassis.background import run_in_background

logger = structlog.get_logger()

MAX_RENDERS_PER_SECOND = 4
MAX_BACKOFF_SECONDS = 10.0
MAX_WATCHERS = 500
LIST_SIZE = 200
FIGURE_SECONDS = 2.0
RARE_ROUNDS = 15
"""Every so many readings of the figures, those are read, too, that change rarely."""
PROJECTED_SECONDS = 5
"""After this time the lists contain what was stored before, as a rule: MongoDB is a moment behind the log."""


@dataclass(slots=True)
class LiveBoard:
    """A board, and the task that keeps it current while browsers watch it. `problem`: why it is not current now."""

    board: Board = field(default_factory=Board)
    figures: object = None
    """What the page shows beside the calls (`centralita_console.pages.figures`)."""
    problem: Exception | None = None
    watchers: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    @property
    def is_followed(self) -> bool:
        """Whether the task still keeps the board current. If it has failed, browsers connect again."""
        return self.task is not None and not self.task.done()

    def wake(self) -> None:
        """Lets every watcher look at the board."""
        self.changed.set()
        self.changed = asyncio.Event()

    async def newer_than(self, version: int, timeout_seconds: float) -> bool:
        """Waits until the board has another version; false if that takes longer."""
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        while self.board.version == version:
            try:
                async with asyncio.timeout_at(deadline):
                    await self.changed.wait()
            except TimeoutError:
                return False
        return True


class Figures(Protocol):
    """Reads the figures. Those that change rarely are taken from the reading before, if it is given."""

    async def read(self, before: Any = None, /) -> object:
        """Returns the figures. Raises RestFailure and Unreachable."""


class TooManyWatchers(Exception):
    """`MAX_WATCHERS` streams to browsers are open."""


class LiveBoards:
    """The boards that are watched now, by API key and campaign."""

    def __init__(self) -> None:
        self._boards: dict[tuple[str, str], LiveBoard] = {}
        self._streams: set[asyncio.Event] = set()
        self.must_stop = asyncio.Event()

    @contextmanager
    def admitted(self) -> Iterator[asyncio.Event]:
        """Counts a stream to a browser. Yields an event that is set when it must end. Raises TooManyWatchers."""
        if len(self._streams) >= MAX_WATCHERS:
            raise TooManyWatchers
        wake = asyncio.Event()
        self._streams.add(wake)
        try:
            yield wake
        finally:
            self._streams.discard(wake)

    @asynccontextmanager
    async def watch(self, api: RestClient, campaign_id: str, reader: Figures) -> AsyncIterator[LiveBoard]:
        """Yields the board of a campaign, or of everything that the key may see. Raises TooManyWatchers."""
        key = (api.api_key, campaign_id)
        with self.admitted():
            live = self._boards.setdefault(key, LiveBoard())
            live.watchers += 1
            live.task = live.task or asyncio.create_task(_follow(live, api, campaign_id, reader), name="live-board")
            try:
                yield live
            finally:
                live.watchers -= 1
                if not live.watchers:
                    self._boards.pop(key, None)
                    live.task.cancel()

    def stop(self) -> None:
        """Ends the streams of all browsers, for which the server would wait otherwise."""
        self.must_stop.set()
        for wake in self._streams:
            wake.set()
        for live in self._boards.values():
            live.board.version += 1
            live.wake()


async def _follow(live: LiveBoard, api: RestClient, campaign_id: str, reader: Figures) -> None:
    """Keeps a board current. After a lost connection it begins anew with the lists, so no event is missed."""
    pause_seconds = 0.5
    while True:
        try:
            async with streamed_events(api, {"campaign_id": campaign_id} if campaign_id else {}) as events:
                live.board.begin()
                await load(live.board, api, campaign_id)
                live.figures = await _figures_after(live.figures, reader)
                live.problem, pause_seconds = None, 0.5
                live.wake()
                async with (
                    run_in_background(_load_again(live, api, campaign_id)),
                    run_in_background(_refresh_figures(live, reader)),
                ):
                    async for event in events:
                        live.board.apply(event.sequence, event.resource)
                        live.wake()
        except (RestFailure, Unreachable) as error:
            logger.warning("board_not_current", reason=str(error))
            live.problem = error
            live.board.version += 1
            live.wake()
        await asyncio.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, MAX_BACKOFF_SECONDS)


async def _load_again(live: LiveBoard, api: RestClient, campaign_id: str) -> None:
    """Reads the lists once more: at first they may have missed what was stored just before the stream began."""
    await asyncio.sleep(PROJECTED_SECONDS)
    try:
        await load(live.board, api, campaign_id)
    except (RestFailure, Unreachable) as error:
        logger.warning("board_not_completed", reason=str(error))
    live.wake()


async def _refresh_figures(live: LiveBoard, reader: Figures) -> None:
    """Keeps the figures current until it is cancelled."""
    rounds = 0
    while True:
        await asyncio.sleep(FIGURE_SECONDS)
        rounds += 1
        figures = await _figures_after(live.figures, reader, is_partial=rounds % RARE_ROUNDS != 0)
        if figures != live.figures:
            live.figures = figures
            live.board.version += 1
            live.wake()


async def _figures_after(before: object, reader: Figures, *, is_partial: bool = False) -> object:
    """Returns the present figures; those from before if the REST API does not answer."""
    try:
        return await reader.read(before if is_partial else None)
    except (RestFailure, Unreachable):
        return before


async def load(board: Board, api: RestClient, campaign_id: str) -> None:
    """Begins a board with the lists of the REST API. Raises RestFailure and Unreachable."""
    asked: list[dict[str, str | int]] = [
        {"campaign_id": campaign_id, "status": str(status), "limit": LIST_SIZE} for status in COLUMNS
    ]
    newest: dict[str, str | int] = {"campaign_id": campaign_id, "limit": LIST_SIZE}
    *lists, last = await asyncio.gather(*(api.get("/calls", one) for one in (*asked, newest)))
    open_calls = [Card.of_summary(call) for page in lists for call in page["calls"]]
    ended = [card for call in last["calls"] if (card := Card.of_summary(call)).status.is_final]
    board.include(open_calls, ended[:MAX_ENDINGS])
