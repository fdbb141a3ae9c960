"""The instant at which the audio that was sent has been played to the callee."""

import pytest

from voice.domain.playback import START_SECONDS, Playback

FRAME = bytes((0xFF, 0xFB, 0x90, 0xC4)) + bytes(413)
"""MPEG 1, layer III, 128 kbit/s, 44.1 kHz, mono: 1,152 samples in 417 bytes."""
SECONDS = 1152 / 44100


def ends_at(*sent: tuple[float, int]) -> float:
    """Returns when playback ends. `sent`: instants, and how many frames were sent at each."""
    playback = Playback()
    for now, frames in sent:
        playback.add(FRAME * frames, now=now)
    return playback.ends_at


def test_playback_without_frames_has_ended() -> None:
    assert ends_at() == 0


@pytest.mark.parametrize(
    ("sent", "end"),
    [
        ([(100, 400)], 100 + START_SECONDS + 400 * SECONDS),
        ([(100, 200), (100.5, 100), (102, 100)], 100 + START_SECONDS + 400 * SECONDS),
        ([(100, 200), (150, 200)], 150 + START_SECONDS + 200 * SECONDS),
    ],
    ids=["at once", "faster than real time", "a gap before the second"],
)
def test_frames_are_played_one_after_the_other_in_real_time(sent: list[tuple[float, int]], end: float) -> None:
    assert ends_at(*sent) == pytest.approx(end)
