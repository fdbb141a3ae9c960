"""The clips that the simulated ElevenLabs keeps."""

from collections.abc import Iterator
from typing import Any

import pytest

from simulators.elevenlabs import audio_formats, clips
from simulators.elevenlabs.audio_formats import FORMATS
from simulators.elevenlabs.clips import Clip, Clips

CLIP = Clip("Good morning, this is the clinic.", "Rachel", FORMATS["mp3_22050_32"], 1.0)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The formats of the clips that were encoded."""
    encoded: list[Any] = []

    def observed(blocks: Iterator[bytes], output: Any) -> Iterator[bytes]:
        encoded.append(output)
        return audio_formats.encode(blocks, output)

    monkeypatch.setattr(clips, "encode", observed)
    return encoded


async def pieces(kept: Clips, clip: Clip) -> list[bytes]:
    return [piece async for piece in kept.pieces(clip)]


async def test_a_repeated_clip_is_encoded_once_and_has_the_same_pieces(encoded: list[Any]) -> None:
    kept = Clips()
    first = await pieces(kept, CLIP)
    assert await pieces(kept, CLIP) == first
    assert len(encoded) == 1
    assert await pieces(kept, Clip(CLIP.text, "Sarah", CLIP.output, CLIP.speed)) != first
    assert len(encoded) == 2


async def test_an_abandoned_clip_is_not_kept(encoded: list[Any]) -> None:
    kept = Clips()
    abandoned = kept.pieces(CLIP)
    begin = await anext(abandoned)
    await abandoned.aclose()
    whole = await pieces(kept, CLIP)
    assert (whole[0], len(encoded)) == (begin, 2)
    assert len(whole) > 1


async def test_the_oldest_clips_make_room(encoded: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Clips()
    size = sum(map(len, await pieces(kept, CLIP)))
    monkeypatch.setattr(clips, "MAX_BYTES", int(2.5 * size))
    others = [Clip(CLIP.text, voice, CLIP.output, CLIP.speed) for voice in ("Sarah", "George")]
    await pieces(kept, others[0])
    await pieces(kept, CLIP)  # newer than the other one now
    await pieces(kept, others[1])
    encoded.clear()
    await pieces(kept, CLIP)
    assert not encoded
    await pieces(kept, others[0])
    assert len(encoded) == 1
