"""The output formats of ElevenLabs that the simulator supports. Each encodes audio block by block."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import lameenc  # type: ignore[import-not-found]

from simulators import mu_law

_FASTEST_QUALITY = 7  # LAME's scale: 2 is best, 7 is fast; for a tone the quality makes no difference


@dataclass(frozen=True)
class AudioFormat:
    """One value of `output_format`: the codec, samples per second, and for MP3 kilobits per second."""

    codec: Literal["mp3", "pcm", "ulaw"]
    rate: int
    kilobits: int = 0

    @property
    def media_type(self) -> str:
        """The Content-Type that the vendor sends for this format."""
        return {"mp3": "audio/mpeg", "pcm": "audio/pcm", "ulaw": "audio/basic"}[self.codec]


FORMATS = {
    "mp3_22050_32": AudioFormat("mp3", 22050, 32),
    "mp3_44100_32": AudioFormat("mp3", 44100, 32),
    "mp3_44100_64": AudioFormat("mp3", 44100, 64),
    "mp3_44100_96": AudioFormat("mp3", 44100, 96),
    "mp3_44100_128": AudioFormat("mp3", 44100, 128),
    "mp3_44100_192": AudioFormat("mp3", 44100, 192),
    "pcm_8000": AudioFormat("pcm", 8000),
    "pcm_16000": AudioFormat("pcm", 16000),
    "pcm_22050": AudioFormat("pcm", 22050),
    "pcm_24000": AudioFormat("pcm", 24000),
    "pcm_44100": AudioFormat("pcm", 44100),
    "ulaw_8000": AudioFormat("ulaw", 8000),
}
DEFAULT_FORMAT = "mp3_44100_128"


def encode(blocks: Iterator[bytes], output: AudioFormat) -> Iterator[bytes]:
    """Encodes blocks of signed 16-bit mono samples at the format's rate, lazily, block by block."""
    if output.codec == "mp3":
        return _mp3(blocks, output)
    return blocks if output.codec == "pcm" else map(mu_law.encode, blocks)


def _mp3(blocks: Iterator[bytes], output: AudioFormat) -> Iterator[bytes]:
    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_bit_rate(output.kilobits)
    encoder.set_in_sample_rate(output.rate)
    encoder.set_out_sample_rate(output.rate)
    encoder.set_channels(1)
    encoder.set_quality(_FASTEST_QUALITY)
    for block in blocks:
        yield bytes(encoder.encode(block))
    yield bytes(encoder.flush())
