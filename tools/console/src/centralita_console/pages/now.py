"""The first page: what happens now. The board is rendered at once, and then sent again whenever it changes."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from centralita_console.authentication import Api, door_of
from centralita_console.board import MAX_CARDS, Board
from centralita_console.browser_streams import MAX_NAME, Parts, new_page_name, notice, stream_to
from centralita_console.event_stream import message
from centralita_console.figures import FigureReader, read_or_none
from centralita_console.live import LiveBoard, load, watch_board
from centralita_console.live_views import LiveViews, TooManyWatchers
from centralita_console.outcomes import outcome_values, read_outcomes
from centralita_console.pages.calls import NEEDS_CAMPAIGN, campaign_ids
from centralita_console.rendering import language_of, render, render_shared
from centralita_console.rest_client import RestClient, RestFailure

router = APIRouter()
PING_SECONDS = 15.0
DEFAULT_INTERVAL = "5m"
Interval = Annotated[str, Query(max_length=10)]
Campaign = Annotated[str, Query(max_length=100)]
PageName = Annotated[str, Query(max_length=MAX_NAME)]


@router.get("/")
async def show_now(request: Request, api: Api, campaign_id: Campaign = "", interval: Interval = "") -> Response:
    """Shows the calls in progress and the last endings, of one campaign or of all."""
    board, campaigns = Board(), await campaign_ids(api)
    try:
        await load(board, api, campaign_id)
    except RestFailure as failure:
        if failure.kind != NEEDS_CAMPAIGN:
            raise
        return render(request, "now.html", 422, board=None, campaigns=campaigns, campaign_id="")
    return render(
        request,
        "now.html",
        board=board,
        figures=await read_or_none(FigureReader(api, campaign_id)),
        columns=board.columns(),
        endings=board.endings,
        max_cards=MAX_CARDS,
        is_current=True,
        page_name=new_page_name(),
        campaigns=campaigns,
        campaign_id=campaign_id,
        **await _outcomes(api, campaign_id, interval),
    )


@router.get("/now/outcomes")
async def show_outcomes(request: Request, api: Api, campaign_id: Campaign = "", interval: Interval = "") -> Response:
    """Returns the part of the page with the outcomes over time."""
    return render(request, "parts/outcomes.html", **await _outcomes(api, campaign_id, interval))


async def _outcomes(api: RestClient, campaign_id: str, interval: str) -> dict[str, Any]:
    named = {"campaign_id": campaign_id} if campaign_id else {}
    over_time = await read_outcomes(api, "/outcomes", named, interval, DEFAULT_INTERVAL)
    return outcome_values(over_time, page="/", part="/now/outcomes", parameters=named, interval=interval)


@router.get("/now/board")
async def stream_board(request: Request, api: Api, campaign_id: Campaign = "", page: PageName = "") -> Response:
    """Sends the board whenever it changes, until the session or the process ends."""
    return stream_to(request, page, _parts(request, api, campaign_id))


async def _parts(request: Request, api: RestClient, campaign_id: str) -> Parts:
    views: LiveViews = request.app.state.live
    language = language_of(request)
    try:
        async with watch_board(views, api, campaign_id, FigureReader(api, campaign_id, is_live=True)) as live:
            version = 0  # that of a board that has not begun
            while live.is_followed and door_of(request).session_of(request):
                if not await live.newer_than(version, PING_SECONDS):
                    yield ": nothing changed\n\n"
                    continue
                version = live.published
                yield live.text(language, partial(_message, live, language))
        if door_of(request).session_of(request) is None:
            yield notice("stop", "ended")
    except TooManyWatchers:
        yield notice("away", "busy")


def _message(live: LiveBoard, language: str) -> str:
    """Returns the board as one event, whose id is the last sequence that it includes."""
    board = live.board
    values = {"figures": live.figures, "columns": board.columns(), "endings": board.endings, "max_cards": MAX_CARDS}
    text = render_shared(language, "parts/board.html", is_current=live.problem is None, **values)
    return message(text, board.sequence)
