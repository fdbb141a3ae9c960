"""One <Play>: a real download, heard from its first byte on at the audio's own length."""

import asyncio
import math

import httpx

from simulators.twilio.audio_rate import bytes_per_second
from simulators.twilio.call import Call
from simulators.twilio.connection_overrides import split_overrides
from simulators.twilio.ledger import ErrorEntry, PlayEntry
from simulators.twilio.webhooks import Webhooks

_HEAD_BYTES = 4096


class Playback:
    """One download and its sounding."""

    def __init__(self, call: Call, webhooks: Webhooks, play: PlayEntry) -> None:
        self._call, self._webhooks, self._play = call, webhooks, play
        self._clock = call.clock
        self._head = b""
        self._content_type = ""
        self._first_byte: float | None = None

    async def run(self, attention: float) -> float:
        """Sound until the end, or until `attention` (nominal seconds) is used up. Returns what was heard."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        outcome = "interrupted"
        try:
            async with asyncio.timeout(None) as listening:
                outcome = await self._download(listening, attention)
        except TimeoutError:
            pass
        finally:
            self._play.seconds = self._play.bytes / bytes_per_second(self._head, self._content_type)
        if self._first_byte is None:
            self._clock.elapsed += loop.time() - begun
            self._play.outcome = "failed"
            return 0.0
        self._clock.elapsed += self._first_byte - begun
        heard = await self._listen(outcome == "interrupted", attention)
        if heard < attention:
            self._play.outcome = "cut" if outcome == "cut" else "played"
        return heard

    async def _listen(self, interrupted: bool, attention: float) -> float:
        downloading = asyncio.get_running_loop().time() - (self._first_byte or 0.0)
        sounded = downloading * self._clock.speed
        heard = attention if interrupted else min(self._play.seconds, attention)
        if sounded >= heard:
            self._clock.elapsed += heard + (sounded - heard) / self._clock.speed
        else:
            self._clock.elapsed += sounded
            await self._clock.sleep(heard - sounded)
        return heard

    async def _download(self, listening: asyncio.Timeout, attention: float) -> str:
        loop = asyncio.get_running_loop()
        url, overrides = split_overrides(self._play.url)
        timeout = httpx.Timeout(overrides.read_timeout, connect=overrides.connect_timeout)
        request = self._webhooks.client.build_request("GET", url, headers=self._webhooks.signed(url), timeout=timeout)
        begun = loop.time()
        try:
            response = await self._webhooks.client.send(request, stream=True)
            try:
                if not self._is_audio(response):
                    return "failed"
                async for chunk in response.aiter_bytes():
                    if self._first_byte is None:
                        self._first_byte = loop.time()
                        self._play.first_byte_seconds = round(self._first_byte - begun, 4)
                        if math.isfinite(attention):
                            listening.reschedule(self._first_byte + attention / self._clock.speed)
                    self._play.bytes += len(chunk)
                    self._head += chunk[: _HEAD_BYTES - len(self._head)]
            finally:
                await response.aclose()
        except httpx.HTTPError as error:
            self._fail(11200, f"audio: {type(error).__name__}")
            return "cut"
        return "played"

    def _is_audio(self, response: httpx.Response) -> bool:
        self._content_type = response.headers.get("content-type", "")
        if not response.is_success:
            self._fail(11200, f"audio answered {response.status_code}")
            return False
        if not self._content_type.startswith("audio/"):
            self._fail(12300, f"audio with content type {self._content_type!r}")
            return False
        return True

    def _fail(self, code: int, reason: str) -> None:
        self._call.entry.errors.append(ErrorEntry(code, reason, self._play.url))
