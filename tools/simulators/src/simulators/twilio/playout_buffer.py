"""The audio that Twilio has received for the callee and not played yet, with the marks between its pieces."""

from collections import deque

from simulators.mu_law import FRAME_BYTES, RATE

MAX_SECONDS = 600.0


class PlayoutBuffer:
    """Plays audio in order, one frame each 20 ms. Holds at most ten minutes."""

    def __init__(self) -> None:
        self._audio = bytearray()
        self._marks: deque[tuple[int, str]] = deque()
        self._received = self._played = 0  # bytes since the start of the stream
        self._is_playing = False

    @property
    def seconds(self) -> float:
        """The length of the audio that has not been played."""
        return len(self._audio) / RATE

    def add(self, audio: bytes) -> bool:
        """Adds audio. Returns False if a part of it exceeds the buffer: that part is discarded."""
        free = int(MAX_SECONDS * RATE) - len(self._audio)
        accepted = audio[:free]
        self._audio += accepted
        self._received += len(accepted)
        return len(accepted) == len(audio)

    def add_mark(self, name: str) -> bool:
        """Adds a mark after the audio so far. Returns True if it is due at once, because nothing is being played."""
        if not self._audio and not self._is_playing and not self._marks:
            return True
        self._marks.append((self._received, name))
        return False

    def next_frame(self) -> tuple[list[str], bytes | None]:
        """Ends the frame that is being played and begins the next one; call it each 20 ms.

        Returns the marks whose audio has been played, and the frame: padded with silence, None if there is no audio.
        """
        due = []
        while self._marks and self._marks[0][0] <= self._played:
            due.append(self._marks.popleft()[1])
        self._is_playing = bool(self._audio)
        if not self._is_playing:
            return due, None
        frame = bytes(self._audio[:FRAME_BYTES])
        del self._audio[:FRAME_BYTES]
        self._played += len(frame)
        return due, frame.ljust(FRAME_BYTES, b"\xff")

    def clear(self) -> list[str]:
        """Discards all audio. Returns the pending marks, which are due at once."""
        marks = [name for _, name in self._marks]
        self._marks.clear()
        self._audio.clear()
        self._played = self._received
        return marks
