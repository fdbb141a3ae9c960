"""Ends the response to a client that does not read it."""

import asyncio

import structlog
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

SEND_SECONDS = 30.0
"""A client that does not read for this long is disconnected."""

logger = structlog.get_logger()


class WithinSeconds(Response):
    """Sends another response. Ends it if one part cannot be sent within `SEND_SECONDS`: the client does not read."""

    def __init__(self, response: Response) -> None:
        self._response = response
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the response. The server closes the connection of an incomplete one."""

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(SEND_SECONDS):
                await send(message)

        try:
            await self._response(scope, receive, send_in_time)
        except TimeoutError:
            logger.warning("response_not_read", seconds=SEND_SECONDS)
