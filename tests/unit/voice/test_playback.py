"""When the callee has heard what was sent."""

import pytest

from voice.domain.playback import START_SECONDS, Playback

FRAME = bytes((0xFF, 0xFB, 0x90, 0xC4)) + bytes(413)
"""MPEG 1, layer III, 128 kbit/s, 44.1 kHz, mono: 1,152 samples in 417 bytes."""
SECONDS = 1152 / 44100


def ends(*sent: tuple[float, int]) -> float:
    """The end of what was sent: so many frames at each instant."""
    playback = Playback()
    for now, frames in sent:
        playback.add(FRAME * frames, now=now)
    return playback.ends


def test_nothing_is_waited_for_if_nothing_was_sent() -> None:
    assert ends() == 0


@pytest.mark.parametrize(
    ("sent", "end"),
    [
        ([(100, 400)], 100 + START_SECONDS + 400 * SECONDS),
        ([(100, 200), (100.5, 100), (102, 100)], 100 + START_SECONDS + 400 * SECONDS),
        ([(100, 200), (150, 200)], 150 + START_SECONDS + 200 * SECONDS),
    ],
    ids=["at once", "faster than it is heard", "the second too late to follow the first"],
)
def test_what_is_sent_is_heard_one_after_the_other_at_its_own_pace(sent: list[tuple[float, int]], end: float) -> None:
    assert ends(*sent) == pytest.approx(end)
