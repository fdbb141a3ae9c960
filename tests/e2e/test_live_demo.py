"""`make demo LIVE=1` as a user runs it: live calls go on after a `kill -9`, and recordings and log agree."""

import asyncio
import os
import subprocess
import sys

import pytest

from centralita.demo.live import is_part, words_of

SECONDS = 400


@pytest.mark.timeout(600)
async def test_live_calls_survive_a_kill_and_their_recordings_agree_with_the_log() -> None:
    command = [sys.executable, "-m", "centralita", "demo", "--live", "--no-stay", "--timeout", "300"]
    environment = {"PATH": os.environ["PATH"], "COLUMNS": "200"}
    ended = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "The words in the log are those in the recordings, in their order." in ended.stdout
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in ended.stdout.splitlines() if "│" in line]
    by_callee = {row[0]: row for row in rows if len(row) == 8 and row[0] in ("asks", "interrupts", "coughs", "human")}
    assert by_callee.keys() == {"asks", "interrupts", "coughs", "human"}
    text = " ".join(ended.stdout.split())
    assert 'The model called the tool free_hours of the campaign: a signed HTTP request, answered with {"hours"' in text
    assert "The agent said: “" in text
    streams = [int(row[1]) for row in rows if len(row) == 8 and row[1].isdigit()]
    assert max(streams) > 1, "after the kill, another stream was opened"


@pytest.mark.parametrize(
    ("words", "said", "expected"),
    [
        (["Yes, who is calling?"], ["Yes, who is calling?", "Bye."], True),
        (["Bye.", "Yes."], ["Yes.", "Bye."], False),
        (["Hello."], [], False),
        ([], ["Hello."], True),
    ],
)
def test_the_words_of_the_log_are_part_of_those_that_were_said(
    words: list[str], said: list[str], expected: bool
) -> None:
    assert is_part(words_of(words), words_of(said)) is expected
