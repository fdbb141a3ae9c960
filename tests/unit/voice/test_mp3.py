"""Cutting a byte stream into MP3 frames."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice.domain.mp3 import SILENCE, FrameCutter

HEADER = bytes([0xFF, 0xF3, 0x40, 0xC0])  # MPEG 2 layer III, 32 kbit/s, 22050 Hz, mono: 104 bytes, 576 samples
FRAME = HEADER + bytes(100)
PADDED = bytes([0xFF, 0xF3, 0x42, 0xC0]) + bytes(101)
FRAME_SECONDS = 576 / 22050
TABLE_OF_CONTENTS = HEADER + bytes(9) + b"Xing" + bytes(87)
TAG = b"ID3\x04\x00\x00" + bytes([0, 0, 1, 2]) + b"T" * 130  # 1 * 128 + 2 bytes after the tag's header


def cut(*pieces: bytes) -> tuple[bytes, float]:
    cutter = FrameCutter()
    return b"".join(cutter.feed(piece) for piece in pieces), cutter.seconds


def test_whole_frames_are_returned_unchanged() -> None:
    audio, seconds = cut(FRAME + PADDED + FRAME)
    assert audio == FRAME + PADDED + FRAME
    assert seconds == pytest.approx(3 * FRAME_SECONDS)


def test_an_incomplete_last_frame_is_never_returned() -> None:
    audio, seconds = cut(FRAME + FRAME[:50])
    assert audio == FRAME
    assert seconds == pytest.approx(FRAME_SECONDS)


def test_silence_is_one_whole_frame() -> None:
    audio, seconds = cut(SILENCE)
    assert audio == SILENCE
    assert seconds == pytest.approx(1152 / 44100)


def test_tags_and_tables_of_contents_are_dropped() -> None:
    assert cut(TAG + TABLE_OF_CONTENTS + FRAME)[0] == FRAME


def test_bytes_between_frames_are_dropped() -> None:
    assert cut(b"noise\xff\xff" + FRAME + b"TAG" + FRAME)[0] == FRAME + FRAME


def test_a_body_that_is_not_mp3_has_no_frames() -> None:
    assert cut(b"<html>Bad gateway</html>") == (b"", 0.0)


@pytest.mark.parametrize(
    ("header", "length", "seconds"),
    [
        (bytes([0xFF, 0xFB, 0x90, 0x64]), 417, 1152 / 44100),  # MPEG 1, 128 kbit/s, 44100 Hz
        (bytes([0xFF, 0xF3, 0x80, 0xC4]), 208, 576 / 22050),  # MPEG 2, 64 kbit/s, 22050 Hz
        (bytes([0xFF, 0xE3, 0x28, 0xC4]), 72 * 16000 // 8000, 576 / 8000),  # MPEG 2.5, 16 kbit/s, 8000 Hz
    ],
)
def test_the_length_of_a_frame_depends_on_its_version(header: bytes, length: int, seconds: float) -> None:
    frame = header + bytes(length - 4)
    audio, played = cut(frame + frame + frame[:-1])
    assert audio == frame + frame
    assert played == pytest.approx(2 * seconds)


@given(st.lists(st.integers(1, 200), min_size=1, max_size=12))
def test_the_result_does_not_depend_on_how_the_network_splits_the_stream(sizes: list[int]) -> None:
    audio = TAG + TABLE_OF_CONTENTS + FRAME * 4 + PADDED
    pieces, at = [], 0
    for size in sizes:
        pieces.append(audio[at : at + size])
        at += size
    pieces.append(audio[at:])
    assert cut(*pieces)[0] == FRAME * 4 + PADDED
