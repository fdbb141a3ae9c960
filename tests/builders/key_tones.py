"""Recognizes the tones of telephone keys in audio, with the simulator's detector."""

from simulators.mu_law import FRAME_BYTES
from simulators.twilio.key_tones import KeyToneDetector


def keys_in(audio: bytes) -> str:
    """Returns the keys whose tones are in the audio (mu-law, 8 kHz), in their order."""
    detector = KeyToneDetector()
    starts = range(0, len(audio) - FRAME_BYTES + 1, FRAME_BYTES)
    return "".join(detector.feed(audio[start : start + FRAME_BYTES]) for start in starts)
