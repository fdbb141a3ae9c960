"""Synthesized clips, block by block. The newest ones are kept, because the phrases of a campaign repeat."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from simulators.elevenlabs.audio_formats import AudioFormat, encode
from simulators.tone_speech import Speak, speak

MAX_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True)
class Clip:
    """What a clip's audio depends on. `speed` is that of the voice."""

    text: str
    voice: str
    output: AudioFormat
    speed: float


class Clips:
    """Synthesizes clips; keeps up to `MAX_BYTES` of the most recently requested ones."""

    def __init__(self, speak: Speak = speak) -> None:
        self._speak = speak
        self._pieces: dict[Clip, tuple[bytes, ...]] = {}
        self._bytes = 0

    async def pieces(self, clip: Clip) -> AsyncGenerator[bytes, None]:
        """Yields the audio in pieces of about half a second, each as soon as it is encoded.

        The first pieces are the blocks of `tone_speech.speak`; an MP3 has one more.
        """
        if (kept := self._pieces.pop(clip, None)) is not None:
            self._pieces[clip] = kept
            for kept_piece in kept:
                yield kept_piece
            return
        blocks = encode(self._speak(clip.text, clip.voice, clip.output.rate, clip.speed), clip.output)
        made: list[bytes] = []
        while (piece := await asyncio.to_thread(next, blocks, None)) is not None:
            made.append(piece)
            yield piece
        self._keep(clip, tuple(made))

    def _keep(self, clip: Clip, pieces: tuple[bytes, ...]) -> None:
        if clip in self._pieces:  # two requests at the same time
            return
        self._pieces[clip] = pieces
        self._bytes += sum(map(len, pieces))
        while self._bytes > MAX_BYTES:
            oldest = next(iter(self._pieces))
            self._bytes -= sum(map(len, self._pieces.pop(oldest)))
