"""``GET /media/{call_id}/{attempt}/{turn}?token=…``: streams the audio of a turn to the telephone provider."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

import chassis.path_numbers  # noqa: F401  the convertor of MEDIA_PATH
from telephony.media import ASIDE, MEDIA_PATH, TOKEN, verify
from telephony.routes import AFTER_SEQUENCE, parse_sequence
from voice.application.speech.turns import LineClosed, TurnPlayer, Write
from voice.application.telephony.handover import Handover
from voice.domain.playback import UnplayedRemainder
from voice.domain.turns import TurnId

MEDIA_TYPE = "audio/mpeg"

logger = structlog.get_logger()


class _StreamedTurn(Response):
    """A response whose body `play` writes. It ends early if the client disconnects.

    After a complete body, `hand_over` is called with the remainder that could not be played, if there is one.
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
        playing = asyncio.ensure_future(self._play(lambda frames: _send(send, frames, more_body=True)))
        disconnect = asyncio.ensure_future(_wait_for_disconnect(receive))
        try:
            await asyncio.wait({playing, disconnect}, return_when=asyncio.FIRST_COMPLETED)
            is_finished = playing.done()
        finally:
            playing.cancel()
            disconnect.cancel()
            result, _ = await asyncio.gather(playing, disconnect, return_exceptions=True)
        if isinstance(result, Exception):
            logger.error("turn_failed", error=type(result).__name__, exc_info=result)
        if is_finished:
            await _send(send, b"", more_body=False)
            if isinstance(result, UnplayedRemainder):
                self._hand_over(result)


async def _send(send: Send, body: bytes, *, more_body: bool) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more_body})


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def build_routes(player: TurnPlayer, handover: Handover, key: bytes) -> list[Route]:
    """Returns the media route. `key` signs the tokens in its URLs.

    A request without a valid token gets 403, before anything is read. A request for an attempt that is not in progress
    gets 410, so nothing is synthesized for it.

    With ``aside=true`` the audio is not played on the call's line, so a remainder is not handed over. That of a message
    to a machine is not either: at the end of the audio the edge finds the failure in the log, and repeats the message.
    """

    async def media(request: Request) -> Response:
        query = request.query_params
        after_sequence = parse_sequence(query.get(AFTER_SEQUENCE))
        if not verify(key, request.url.path, query.get(TOKEN, ""), after_sequence):
            return Response("the token is missing or does not belong to this URL", 403, media_type="text/plain")
        turn = TurnId(*(request.path_params[name] for name in ("call_id", "attempt", "turn")))
        try:
            opened = await player.open(turn, after_sequence)
        except LineClosed:
            return Response("the call's attempt is not in progress", 410, media_type="text/plain")
        if request.method == "HEAD":
            return Response(media_type=MEDIA_TYPE)
        is_on_line = query.get(ASIDE) != "true"

        async def play(write: Write) -> UnplayedRemainder | None:
            with structlog.contextvars.bound_contextvars(call_id=str(turn.call_id)):
                return await player.play(opened, write, is_on_line=is_on_line)

        def hand_over(remainder: UnplayedRemainder) -> None:
            if turn.is_message:
                return
            with structlog.contextvars.bound_contextvars(call_id=str(turn.call_id)):
                handover.schedule(turn, remainder)

        return _StreamedTurn(play, hand_over)

    return [Route(MEDIA_PATH, media, methods=["GET"])]
