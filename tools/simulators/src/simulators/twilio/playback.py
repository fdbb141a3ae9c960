"""One <Play>: a real download that the callee hears from its first byte on, for as long as the audio lasts."""

import asyncio
import math

import aiohttp

from simulators.twilio.audio_rate import bytes_per_second
from simulators.twilio.call import Call
from simulators.twilio.connection_overrides import split_overrides
from simulators.twilio.ledger import ErrorEntry, PlayEntry
from simulators.twilio.webhooks import Webhooks

_HEAD_BYTES = 4096


class Playback:
    """The download and the playback of one audio file."""

    def __init__(self, call: Call, webhooks: Webhooks, play: PlayEntry) -> None:
        self._call, self._webhooks, self._play = call, webhooks, play
        self._clock = call.clock
        self._head = b""
        self._content_type = ""
        self._first_byte_at: float | None = None

    async def run(self, max_seconds: float) -> float:
        """Plays to the end, or for at most `max_seconds`. Returns the simulated seconds played."""
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        outcome = "interrupted"
        try:
            async with asyncio.timeout(None) as playing:
                outcome = await self._download(playing, max_seconds)
        except TimeoutError:
            pass
        finally:
            self._play.seconds = self._play.bytes / bytes_per_second(self._head, self._content_type)
        if self._first_byte_at is None:
            self._clock.elapsed += loop.time() - started_at
            self._play.outcome = "failed"
            return 0.0
        self._clock.elapsed += self._first_byte_at - started_at
        seconds = max_seconds if outcome == "interrupted" else min(self._play.seconds, max_seconds)
        await self._play_rest(seconds, self._first_byte_at)
        if seconds < max_seconds:
            self._play.outcome = "cut" if outcome == "cut" else "played"
        return seconds

    async def _play_rest(self, seconds: float, first_byte_at: float) -> None:
        """Waits for the part of the audio that did not play during the download. A slow download counts unscaled."""
        played = (asyncio.get_running_loop().time() - first_byte_at) * self._clock.speed
        if played >= seconds:
            self._clock.elapsed += seconds + (played - seconds) / self._clock.speed
        else:
            self._clock.elapsed += played
            await self._clock.sleep(seconds - played)

    async def _download(self, playing: asyncio.Timeout, max_seconds: float) -> str:
        """Downloads the audio; its first byte starts the timeout `playing`. Returns played, cut or failed."""
        url, overrides = split_overrides(self._play.url)
        headers = self._webhooks.signed_headers(url)
        requested_at = asyncio.get_running_loop().time()
        try:
            async with self._webhooks.request("GET", url, headers, b"", overrides) as response:
                if not self._is_audio(response):
                    return "failed"
                async for chunk in response.content.iter_any():
                    if self._first_byte_at is None:
                        self._first_byte_at = asyncio.get_running_loop().time()
                        self._play.first_byte_seconds = round(self._first_byte_at - requested_at, 4)
                        if math.isfinite(max_seconds):
                            playing.reschedule(self._first_byte_at + max_seconds / self._clock.speed)
                    self._play.bytes += len(chunk)
                    self._head += chunk[: _HEAD_BYTES - len(self._head)]
        except aiohttp.ClientError as error:
            self._add_error(11200, f"audio: {type(error).__name__}")
            return "cut"
        return "played"

    def _is_audio(self, response: aiohttp.ClientResponse) -> bool:
        self._content_type = response.headers.get("content-type", "")
        if not 200 <= response.status < 300:
            self._add_error(11200, f"audio answered {response.status}")
            return False
        if not self._content_type.startswith("audio/"):
            self._add_error(12300, f"audio with content type {self._content_type!r}")
            return False
        return True

    def _add_error(self, code: int, reason: str) -> None:
        self._call.entry.errors.append(ErrorEntry(code, reason, self._play.url))
