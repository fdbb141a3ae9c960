"""MPEG audio layer III frames (ISO/IEC 11172-3, 13818-3): the unit at which several encodings can be joined.

Each synthesis is an MP3 file of its own, which may contain tags and may be cut off. Joined frame by frame, several
files are one stream.
"""

import struct
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

SILENCE = bytes.fromhex("fffb90c0") + bytes(413)
"""One frame of silence: MPEG 1, 128 kbit/s, 44.1 kHz, mono; its side information and its data are empty."""
_HEADER = struct.Struct(">I")
_TAG_HEADER_BYTES = 10
_TAG = int.from_bytes(b"ID3")
_TABLE_OF_CONTENTS = (b"Xing", b"Info")
_MPEG_1_KBITS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG_2_KBITS = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)  # MPEG 2 and 2.5
_SAMPLE_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # Hz, by version bits
_MPEG_1 = 3
_MONO = 3


class _Frame(NamedTuple):
    byte_count: int
    seconds: float
    data_offset: int
    """Where the audio data begins. An encoder may put a table of contents there instead."""


@lru_cache(maxsize=256)  # the headers of one stream differ in a few bits only
def _parse_header(header: int) -> _Frame | None:
    """Returns the frame that a header of 32 bits describes; none if it is not a valid header."""
    version, layer, bitrate, rate = header >> 19 & 3, header >> 17 & 3, header >> 12 & 15, header >> 10 & 3
    if header >> 21 != 0x7FF or version == 1 or layer != 1 or not 0 < bitrate < 15 or rate == 3:
        return None
    is_mpeg_1, is_mono = version == _MPEG_1, header >> 6 & 3 == _MONO
    samples, hertz = 1152 if is_mpeg_1 else 576, _SAMPLE_RATES[version][rate]
    bits_per_second = (_MPEG_1_KBITS if is_mpeg_1 else _MPEG_2_KBITS)[bitrate] * 1000
    padding = header >> 9 & 1
    side_info_bytes = (17 if is_mono else 32) if is_mpeg_1 else (9 if is_mono else 17)
    return _Frame(samples // 8 * bits_per_second // hertz + padding, samples / hertz, _HEADER.size + side_info_bytes)


@dataclass
class FrameCutter:
    """Cuts a byte stream into whole audio frames. Drops tags, tables of contents and an incomplete last frame.

    `seconds` is the playing time of the frames returned so far.
    """

    seconds: float = 0.0
    _rest: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> bytes:
        """Returns the frames that `data` completes; empty if there is none."""
        rest = self._rest
        rest += data
        frames = bytearray()
        kept_from = start = 0  # the units between the two are frames
        while len(rest) - start >= _HEADER.size:
            (header,) = _HEADER.unpack_from(rest, start)
            frame = _parse_header(header)
            if frame is not None:
                end = start + frame.byte_count
            else:
                end = self._end_of_tag(start) if header >> 8 == _TAG else start + 1
            if end > len(rest):
                break
            if frame is None or rest.startswith(_TABLE_OF_CONTENTS, start + frame.data_offset):
                frames += rest[kept_from:start]
                kept_from = end
            else:
                self.seconds += frame.seconds
            start = end
        frames += rest[kept_from:start]
        del rest[:start]
        return bytes(frames)

    def _end_of_tag(self, start: int) -> int:
        """Returns where an ID3v2 tag ends. Its size is encoded in four bytes of seven bits each."""
        size = 0
        for byte in self._rest[start + 6 : start + _TAG_HEADER_BYTES]:
            size = size << 7 | byte & 0x7F
        return start + _TAG_HEADER_BYTES + size
