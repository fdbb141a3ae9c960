"""The audio of a turn from voice over HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from edge.ports import SpeechUnavailable
from telephony.instructions import PlayTurn
from telephony.media import build_media_target

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
"""The longest wait for the next bytes. The model and the synthesis of a turn must begin within it."""


def http_client() -> httpx.AsyncClient:
    """Returns a client with deadlines for audio. It reads nothing, such as a proxy, from the environment.

    The connections that the edge accepts bound those to voice. By default 100 callees would hear audio at once, and the
    others would wait.
    """
    deadlines = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    return httpx.AsyncClient(timeout=deadlines, limits=limits, trust_env=False)


class VoiceMedia:
    """`edge.ports.Speech`. `media_url` is voice's address; `key` is the secret that signs media paths."""

    def __init__(self, http: httpx.AsyncClient, media_url: str, key: bytes) -> None:
        self._http = http
        self._media_url = media_url
        self._key = key

    @asynccontextmanager
    async def stream_turn(self, turn: PlayTurn) -> AsyncIterator[AsyncIterator[bytes]]:
        """Yields the turn's audio during its synthesis. Raises SpeechUnavailable, also from the iterator."""
        target = build_media_target(
            self._key, turn.call_id, turn.attempt, turn.turn, after_sequence=turn.after_sequence, is_aside=True
        )
        request = self._http.build_request("GET", self._media_url + target)
        try:
            response = await self._http.send(request, stream=True)
        except httpx.HTTPError as error:
            raise SpeechUnavailable(type(error).__name__) from error
        try:
            if response.status_code != httpx.codes.OK:
                raise SpeechUnavailable(f"voice answered {response.status_code}")
            yield _chunks(response)
        finally:
            await response.aclose()


async def _chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.aiter_raw():
            yield chunk
    except httpx.HTTPError as error:
        raise SpeechUnavailable(type(error).__name__) from error
