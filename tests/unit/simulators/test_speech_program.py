"""Speech of another program takes the place of the tones, and lasts as long."""

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from simulators import tone_speech
from simulators.speech_program import SpeechProgram

TEXT = "Good morning. Can you come on Tuesday at eleven, or rather on Thursday?"
ECHO = """
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    value = len(request["text"]) if request["language"] == "en" else 0
    sys.stdout.buffer.write(value.to_bytes(2, "little") * request["samples"])
    sys.stdout.buffer.flush()
"""
ONCE = ECHO + "    sys.exit()\n"


@contextmanager
def program(code: str) -> Iterator[SpeechProgram]:
    running = SpeechProgram(shlex.join([sys.executable, "-c", code]), "en")
    try:
        yield running
    finally:
        running.close()


def tones(text: str, rate: int = 8000) -> list[bytes]:
    return list(tone_speech.speak(text, "agent", rate))


@pytest.mark.parametrize("rate", [8000, 22050])
def test_speech_has_the_blocks_of_the_tones(rate: int) -> None:
    with program(ECHO) as running:
        spoken = list(running.speak(TEXT, "agent", rate))
    assert [*map(len, spoken)] == [*map(len, tones(TEXT, rate))]
    assert b"".join(spoken) == len(TEXT).to_bytes(2, "little") * (len(b"".join(spoken)) // 2)


def test_equal_requests_are_asked_once() -> None:
    with program(ONCE) as running:
        assert list(running.speak(TEXT, "agent", 8000)) == list(running.speak(TEXT, "agent", 8000))


def test_tones_are_heard_after_the_program_has_failed(capsys: pytest.CaptureFixture[str]) -> None:
    with program("import sys; sys.stdin.readline()") as running:
        assert list(running.speak(TEXT, "agent", 8000)) == tones(TEXT)
        assert list(running.speak("Again.", "agent", 8000)) == tones("Again.")
    assert capsys.readouterr().err.count("speak in tones") == 1


def test_a_program_that_does_not_exist_is_refused() -> None:
    with pytest.raises(OSError, match="no-such-program"):
        SpeechProgram("/no-such-program", "en")


@pytest.mark.skipif("SPEECH_PROGRAM" not in os.environ, reason="SPEECH_PROGRAM is not set; run `make speech`")
@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize("voice", ["agent", "callee-1"])
def test_the_real_program_speaks(language: str, voice: str) -> None:
    running = SpeechProgram(os.environ["SPEECH_PROGRAM"], language)
    try:
        spoken = b"".join(running.speak(TEXT, voice, 8000))
    finally:
        running.close()
    assert len(spoken) == len(b"".join(tones(TEXT)))
    assert len({*spoken}) > 200
