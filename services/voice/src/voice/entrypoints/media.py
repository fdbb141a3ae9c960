"""``GET /media/{call_id}/{attempt}/{turn}?token=…``: a turn's audio, while it is being synthesized."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from telephony.media import ASIDE, MEDIA_PATH, TOKEN, verify
from voice.application.speech.turns import Turns, Write
from voice.application.telephony.handover import Handover
from voice.domain.playback import UnplayedRemainder

MEDIA_TYPE = "audio/mpeg"

logger = structlog.get_logger()


class _Played(Response):
    """An answer whose body is written by `play` as it comes, and which ends with the listener.

    `hand_over` is called behind its end with what of it could not be heard.
    """

    media_type = MEDIA_TYPE

    def __init__(
        self,
        play: Callable[[Write], Awaitable[UnplayedRemainder | None]],
        hand_over: Callable[[UnplayedRemainder], object],
    ) -> None:
        super().__init__(headers={"cache-control": "no-store"})
        del self.headers["content-length"]
        self._play = play
        self._hand_over = hand_over

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        playing = asyncio.ensure_future(self._play(lambda frames: _write(send, frames)))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait({playing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            finished = playing.done()
        finally:
            playing.cancel()
            leaving.cancel()
            results = await asyncio.gather(playing, leaving, return_exceptions=True)
        if isinstance(results[0], Exception):
            logger.error("turn_not_played", error=type(results[0]).__name__, exc_info=results[0])
        if finished:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        if finished and isinstance(results[0], UnplayedRemainder):
            self._hand_over(results[0])


async def _write(send: Send, frames: bytes) -> None:
    await send({"type": "http.response.body", "body": frames, "more_body": True})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def build_routes(turns: Turns, handover: Handover, key: str) -> list[Route]:
    """The media route; `key` is that of the tokens in its URLs. Without a good token: 403.

    ``aside=true``: what is asked for is not played on the call's line, so it is not handed over to it either.
    """

    async def media(request: Request) -> Response:
        if not verify(key, request.url.path, request.query_params.get(TOKEN, "")):
            return Response("the token is missing or not of this address", 403, media_type="text/plain")
        if request.method == "HEAD":
            return Response(media_type=MEDIA_TYPE)
        call_id, attempt, turn = (request.path_params[name] for name in ("call_id", "attempt", "turn"))

        async def play(write: Write) -> UnplayedRemainder | None:
            aside = request.query_params.get(ASIDE) == "true"
            with structlog.contextvars.bound_contextvars(call_id=str(call_id)):
                return await turns.play(call_id, attempt, turn, write, aside=aside)

        def hand_over(unsaid: UnplayedRemainder) -> None:
            with structlog.contextvars.bound_contextvars(call_id=str(call_id)):
                handover.begin(call_id, attempt, turn, unsaid)

        return _Played(play, hand_over)

    return [Route(MEDIA_PATH, media, methods=["GET"])]
