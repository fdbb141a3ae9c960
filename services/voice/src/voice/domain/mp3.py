"""MPEG audio layer III frames (ISO/IEC 11172-3, 13818-3): the unit at which several encodings can be joined.

Each synthesis is an MP3 file of its own, which may contain tags and may be cut off. Joined frame by frame, several
files are one stream.
"""

from dataclasses import dataclass, field

_HEADER_BYTES = 4
_TAG_HEADER_BYTES = 10
_MPEG_1_KBITS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG_2_KBITS = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)  # MPEG 2 and 2.5
_SAMPLE_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # Hz, by version bits
_MPEG_1 = 3
_MONO = 3


@dataclass(frozen=True, slots=True)
class _Frame:
    byte_count: int
    seconds: float
    side_info_bytes: int
    """Bytes between the header and the audio data, where an encoder may put a table of contents instead."""


def _parse_header(header: bytes | bytearray) -> _Frame | None:
    """Returns the frame that a header of four bytes describes; none if it is not a valid header."""
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    bitrate, rate = header[2] >> 4, header[2] >> 2 & 3
    if header[0] != 0xFF or header[1] >> 5 != 7 or version == 1 or layer != 1 or not 0 < bitrate < 15 or rate == 3:
        return None
    is_mpeg_1, is_mono = version == _MPEG_1, header[3] >> 6 == _MONO
    samples, hertz = 1152 if is_mpeg_1 else 576, _SAMPLE_RATES[version][rate]
    bits_per_second = (_MPEG_1_KBITS if is_mpeg_1 else _MPEG_2_KBITS)[bitrate] * 1000
    padding = header[2] >> 1 & 1
    side_info_bytes = (17 if is_mono else 32) if is_mpeg_1 else (9 if is_mono else 17)
    return _Frame(samples // 8 * bits_per_second // hertz + padding, samples / hertz, side_info_bytes)


@dataclass
class FrameCutter:
    """Cuts a byte stream into whole audio frames. Drops tags, tables of contents and an incomplete last frame.

    `seconds` is the playing time of the frames returned so far.
    """

    seconds: float = 0.0
    _rest: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> bytes:
        """Returns the frames that `data` completes; empty if there is none."""
        self._rest += data
        frames = bytearray()
        start = 0
        while (end := self._end_of_unit(start)) is not None:
            frame = _parse_header(self._rest[start : start + _HEADER_BYTES])
            if frame and not self._is_table_of_contents(start, frame):
                frames += self._rest[start:end]
                self.seconds += frame.seconds
            start = end
        del self._rest[:start]
        return bytes(frames)

    def _end_of_unit(self, start: int) -> int | None:
        """Returns where the tag, frame or unknown byte at `start` ends; none if it has not arrived completely."""
        if len(self._rest) - start < _HEADER_BYTES:
            return None
        if self._rest.startswith(b"ID3", start):
            end = self._end_of_tag(start)
        else:
            frame = _parse_header(self._rest[start : start + _HEADER_BYTES])
            end = start + (frame.byte_count if frame else 1)
        return end if end is not None and end <= len(self._rest) else None

    def _end_of_tag(self, start: int) -> int | None:
        """Returns where an ID3v2 tag ends. Its size is encoded in four bytes of seven bits each."""
        if len(self._rest) - start < _TAG_HEADER_BYTES:
            return None
        size = 0
        for byte in self._rest[start + 6 : start + _TAG_HEADER_BYTES]:
            size = size << 7 | byte & 0x7F
        return start + _TAG_HEADER_BYTES + size

    def _is_table_of_contents(self, start: int, frame: _Frame) -> bool:
        mark = start + _HEADER_BYTES + frame.side_info_bytes
        return bytes(self._rest[mark : mark + 4]) in (b"Xing", b"Info")
