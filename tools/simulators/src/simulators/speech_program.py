"""Real synthetic speech, made by another program (`tools/speech`): it is slower than tones, and needs more packages.

The speech lasts exactly as long as the tones for the same text. So everything else, and every time, stays as it is.
"""

import functools
import json
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress

from simulators import tone_speech

MAX_KEPT = 500


class SpeechProgram:
    """Runs the program, and asks it for speech. Every method may be called from any thread.

    `command` is a command line. Raises OSError if it cannot be started. If the program fails later, tones are heard.
    """

    def __init__(self, command: str, language: str) -> None:
        self._language = language
        self._process = subprocess.Popen(shlex.split(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._has_failed = False
        self._lock = threading.Lock()
        self._samples = functools.lru_cache(maxsize=MAX_KEPT)(self._make)

    def speak(self, text: str, voice: str, rate: int, speed: float = 1.0) -> Iterator[bytes]:
        """Yields speech, as `tone_speech.speak` yields tones."""
        tones = list(tone_speech.speak(text, voice, rate, speed))
        with self._lock:
            speech = self._samples(text, voice, rate, sum(map(len, tones)) // 2)
        start = 0
        for tone in tones:
            yield speech[start : start + len(tone)] if speech else tone
            start += len(tone)

    def close(self) -> None:
        """Ends the program."""
        self._process.kill()
        with suppress(OSError), self._process:  # closes its pipes; what it has not read is lost
            pass

    def _make(self, text: str, voice: str, rate: int, samples: int) -> bytes:
        """Returns so many samples of speech; none if the program has failed."""
        if self._has_failed:
            return b""
        request = {"text": text, "voice": voice, "language": self._language, "rate": rate, "samples": samples}
        assert self._process.stdin is not None  # noqa: S101 - both are pipes
        assert self._process.stdout is not None  # noqa: S101
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            speech = self._process.stdout.read(2 * samples)
        except OSError:
            speech = b""
        if len(speech) == 2 * samples:
            return speech
        self._has_failed = True
        print("simulators: the speech program has failed; callees and agents speak in tones", file=sys.stderr)
        return b""
