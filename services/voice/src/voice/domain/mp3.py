"""MPEG audio layer III frames (ISO/IEC 11172-3, 13818-3): what several encodings can be joined at.

Each synthesis is a file of its own, perhaps with tags, perhaps cut off. Joined frame by frame they are one stream.
"""

from dataclasses import dataclass, field

_HEADER = 4
_BITRATES_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)  # kbit/s, MPEG 1
_BITRATES_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)  # kbit/s, MPEG 2 and 2.5
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # Hz, by the version's bits
_MPEG_1 = 3
_MONO = 3


@dataclass(frozen=True, slots=True)
class _Frame:
    length: int
    seconds: float
    side_info: int
    """Where, behind the header, an encoder may have put a table of contents in the place of sound."""


def _frame(header: bytes | bytearray) -> _Frame | None:
    """What a header of four bytes says; none if it is not one."""
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    bitrate, rate = header[2] >> 4, header[2] >> 2 & 3
    if header[0] != 0xFF or header[1] >> 5 != 7 or version == 1 or layer != 1 or not 0 < bitrate < 15 or rate == 3:
        return None
    first, mono = version == _MPEG_1, header[3] >> 6 == _MONO
    samples, hertz = 1152 if first else 576, _RATES[version][rate]
    bits = (_BITRATES_1 if first else _BITRATES_2)[bitrate] * 1000
    side_info = (17 if mono else 32) if first else (9 if mono else 17)
    return _Frame(samples // 8 * bits // hertz + (header[2] >> 1 & 1), samples / hertz, side_info)


@dataclass
class FrameCutter:
    """Gives only whole frames of sound: tags and tables of contents are left out, a torn end never comes.

    `seconds` is how long the frames given so far take to play.
    """

    seconds: float = 0.0
    _rest: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> bytes:
        """The whole frames that `data` completes; perhaps none."""
        self._rest += data
        whole = bytearray()
        at = 0
        while (end := self._piece(at)) is not None:
            if (frame := _frame(self._rest[at : at + _HEADER])) and not self._is_contents(at, frame):
                whole += self._rest[at:end]
                self.seconds += frame.seconds
            at = end
        del self._rest[:at]
        return bytes(whole)

    def _piece(self, at: int) -> int | None:
        """Where the piece that begins at `at` ends; none if it has not arrived whole."""
        if len(self._rest) - at < _HEADER:
            return None
        if self._rest.startswith(b"ID3", at):
            end = self._tag_end(at)
        else:
            frame = _frame(self._rest[at : at + _HEADER])
            end = at + (frame.length if frame else 1)
        return end if end is not None and end <= len(self._rest) else None

    def _tag_end(self, at: int) -> int | None:
        """Where an ID3v2 tag ends: its size is written in four times seven bits."""
        if len(self._rest) - at < 10:
            return None
        size = 0
        for byte in self._rest[at + 6 : at + 10]:
            size = size << 7 | byte & 0x7F
        return at + 10 + size

    def _is_contents(self, at: int, frame: _Frame) -> bool:
        start = at + _HEADER + frame.side_info
        return bytes(self._rest[start : start + 4]) in (b"Xing", b"Info")
