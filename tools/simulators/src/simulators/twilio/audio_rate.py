"""The bytes per second of audio, read from its first bytes: MP3, WAV and raw telephone audio."""

_MPEG1_LAYER3 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG2_LAYER3 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_TELEPHONE_BYTES_PER_SECOND = 8000.0
_ID3_HEADER = 10


def bytes_per_second(head: bytes, content_type: str) -> float:
    """Returns the bytes per second of the audio; `head` are its first bytes (4 kB are enough).

    Unknown audio counts as 8 kHz mu-law. An MP3 of variable bit rate counts at the rate of its first frame.
    """
    if head.startswith(b"RIFF") and len(head) >= 32:
        return float(int.from_bytes(head[28:32], "little")) or _TELEPHONE_BYTES_PER_SECOND
    if "mpeg" in content_type or "mp3" in content_type or head.startswith(b"ID3"):
        return _mp3_rate(head)
    return _TELEPHONE_BYTES_PER_SECOND


def _mp3_rate(head: bytes) -> float:
    for at in range(_id3_length(head), len(head) - 3):
        if head[at] == 0xFF and head[at + 1] & 0xE0 == 0xE0:
            mpeg1 = head[at + 1] & 0x18 == 0x18
            layer3 = head[at + 1] & 0x06 == 0x02
            index = head[at + 2] >> 4
            if layer3 and 1 <= index <= 14:
                return (_MPEG1_LAYER3 if mpeg1 else _MPEG2_LAYER3)[index - 1] * 1000 / 8
    return _TELEPHONE_BYTES_PER_SECOND


def _id3_length(head: bytes) -> int:
    if not head.startswith(b"ID3") or len(head) < _ID3_HEADER:
        return 0
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    return min(size + _ID3_HEADER, len(head))
