"""When each character of a clip is heard: the times that the vendor sends beside the audio."""

import itertools
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from simulators.elevenlabs.clips import Clip, Clips
from simulators.tone_speech import block_ends, character_seconds


@dataclass(frozen=True)
class SpokenPiece:
    """A piece of a clip's audio and its text. `start` is where the text begins in the clip's text."""

    audio: bytes
    text: str
    start: int
    character_seconds: float

    @property
    def seconds(self) -> float:
        """How long the piece is heard."""
        return len(self.text) * self.character_seconds

    def relative_to_piece(self) -> dict[str, list[str] | list[int]] | None:
        """Returns the alignment as WebSockets have it: whole milliseconds since the begin of this piece."""
        if not self.text:
            return None
        edges = [round(1000 * number * self.character_seconds) for number in range(len(self.text) + 1)]
        return {
            "chars": list(self.text),
            "charStartTimesMs": edges[:-1],
            "charDurationsMs": [end - start for start, end in itertools.pairwise(edges)],
        }

    def relative_to_clip(self) -> dict[str, list[str] | list[float]] | None:
        """Returns the alignment as HTTP has it: seconds since the begin of the clip."""
        if not self.text:
            return None
        edges = [round((self.start + number) * self.character_seconds, 3) for number in range(len(self.text) + 1)]
        return {
            "characters": list(self.text),
            "character_start_times_seconds": edges[:-1],
            "character_end_times_seconds": edges[1:],
        }


async def spoken_pieces(clips: Clips, clip: Clip) -> AsyncGenerator[SpokenPiece, None]:
    """Yields the pieces of a clip, each as soon as it is encoded, with the text that they speak."""
    ends = block_ends(clip.text, clip.speed)
    start = number = 0
    async for audio in clips.pieces(clip):
        end = ends[number] if number < len(ends) else len(clip.text)
        yield SpokenPiece(audio, clip.text[start:end], start, character_seconds(clip.speed))
        start, number = end, number + 1
