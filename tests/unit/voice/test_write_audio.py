"""The pieces in which the audio of a sentence is written."""

from typing import cast

from providers import Failure, RequestFailed
from voice.application.speech.synthesis import Sentence
from voice.application.speech.turns import _Track, _write_audio


async def written(*queued: bytes | Exception, later: tuple[bytes, ...] = ()) -> tuple[list[bytes], Exception | None]:
    """Returns the pieces that are written, and the error. `later` arrives while the first piece is written."""
    track, pieces = _Track(cast("Sentence", None)), list[bytes]()
    for item in queued:
        track.audio.put_nowait(item)

    async def write(frames: bytes) -> None:
        pieces.append(frames)
        if len(pieces) == 1:
            for item in later:
                track.audio.put_nowait(item)

    return pieces, await _write_audio(track, write)


async def test_frames_that_have_arrived_are_written_in_one_piece_and_later_ones_in_the_next() -> None:
    assert await written(b"a", b"b", later=(b"c", b"d", b"")) == ([b"ab", b"cd"], None)


async def test_the_frames_before_an_error_are_written() -> None:
    error = RequestFailed(Failure.CUT_OFF)
    assert await written(b"a", b"b", error) == ([b"ab"], error)


async def test_an_error_after_the_end_is_not_read() -> None:
    assert await written(b"a", b"", ValueError()) == ([b"a"], None)
