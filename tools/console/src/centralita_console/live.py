"""Boards that browsers watch: one stream of the REST API for all browsers with the same key and campaign.

A browser is sent the newest board. Each board is complete, so a browser that skips some misses nothing.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from centralita_console.board import COLUMNS, MAX_ENDINGS, Board, Card
from centralita_console.event_stream import streamed_events
from centralita_console.live_views import LiveView, LiveViews
from centralita_console.rest_client import RestClient, RestFailure, Unreachable
from chassis.background import run_in_background

logger = structlog.get_logger()

MAX_BACKOFF_SECONDS = 10.0
LIST_SIZE = 200
FIGURE_SECONDS = 2.0
RARE_ROUNDS = 15
"""Every so many readings of the figures, those are read, too, that change rarely."""
PROJECTED_SECONDS = 5
"""After this time the lists contain what was stored before, as a rule: MongoDB is a moment behind the log."""


@dataclass(slots=True)
class LiveBoard(LiveView):
    """A board that is kept current. `problem`: why it is not current now."""

    board: Board = field(default_factory=Board)
    figures: object = None
    """What the page shows beside the calls (`centralita_console.figures`)."""
    problem: Exception | None = None


class Figures(Protocol):
    """Reads the figures. Those that change rarely are taken from the reading before, if it is given."""

    async def read(self, before: Any = None, /) -> object:
        """Returns the figures. Raises RestFailure and Unreachable."""


@asynccontextmanager
async def watch_board(views: LiveViews, api: RestClient, campaign_id: str, reader: Figures) -> AsyncIterator[LiveBoard]:
    """Yields the board of a campaign, or of everything that the key may see. Raises TooManyWatchers."""
    key = ("board", api.api_key, campaign_id)
    async with views.watch(key, LiveBoard, lambda live: _follow(live, api, campaign_id, reader)) as live:
        yield live


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
                live.change()
                async with (
                    run_in_background(_load_again(live, api, campaign_id)),
                    run_in_background(_refresh_figures(live, reader)),
                ):
                    async for event in events:
                        if live.board.apply(event.sequence, event.resource):
                            live.change()
        except (RestFailure, Unreachable) as error:
            logger.warning("board_not_current", reason=str(error))
            live.problem = error
            live.change()
        await asyncio.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, MAX_BACKOFF_SECONDS)


async def _load_again(live: LiveBoard, api: RestClient, campaign_id: str) -> None:
    """Reads the lists once more: at first they may have missed what was stored just before the stream began."""
    await asyncio.sleep(PROJECTED_SECONDS)
    try:
        await load(live.board, api, campaign_id)
    except (RestFailure, Unreachable) as error:
        logger.warning("board_not_completed", reason=str(error))
    live.change()


async def _refresh_figures(live: LiveBoard, reader: Figures) -> None:
    """Keeps the figures current until it is cancelled."""
    rounds = 0
    while True:
        await asyncio.sleep(FIGURE_SECONDS)
        rounds += 1
        figures = await _figures_after(live.figures, reader, is_partial=rounds % RARE_ROUNDS != 0)
        if figures != live.figures:
            live.figures = figures
            live.change()


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
