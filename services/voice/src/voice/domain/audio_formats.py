"""Encodings of speech: how many seconds the pieces of a synthesis play, and where they may be cut."""

from dataclasses import dataclass
from typing import Protocol

MU_LAW_BYTES_A_SECOND = 8000
"""Mu-law at 8 kHz, one channel (ITU-T G.711): one byte a sample."""


class AudioCutter(Protocol):
    """Cuts a byte stream into pieces that can be played. `seconds` is the playing time of those returned so far."""

    seconds: float

    def feed(self, data: bytes) -> bytes:
        """Returns what `data` completes; empty if that is nothing."""
        ...


@dataclass
class MuLawCutter:
    """Passes mu-law on as it is: every byte can be played."""

    seconds: float = 0.0

    def feed(self, data: bytes) -> bytes:
        """Returns `data`."""
        self.seconds += len(data) / MU_LAW_BYTES_A_SECOND
        return data
