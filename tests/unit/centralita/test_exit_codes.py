"""Exit codes, and how Ctrl-C ends a command."""

import re
import subprocess
import sys
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from centralita.__main__ import app
from centralita.commands.exit_codes import EPILOG, MEANINGS, ExitCode

INTERRUPTED_IN_ANOTHER_THREAD = """
import asyncio, signal, sys, threading
from centralita.commands.exit_codes import run

async def work():
    loop = asyncio.get_running_loop()
    signalling = threading.Thread(target=lambda: signal.pthread_kill(threading.get_ident(), signal.SIGINT))
    threading.Timer(0.2, signalling.start).start()
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        print("cleaned up")
        raise

try:
    run(work())
except BaseException as error:
    sys.exit(error.exit_code)
"""


def test_ctrl_c_wakes_a_sleeping_command_if_another_thread_receives_the_signal() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IN_ANOTHER_THREAD], capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (130, "cleaned up\n"), ended.stderr


def test_the_table_is_complete_and_has_the_documented_text() -> None:
    assert MEANINGS.keys() == set(ExitCode)
    assert EPILOG == (
        "Exit codes: 0 success, 1 negative result, 2 wrong use, 3 a server does not answer, 130 interrupted"
    )


def commands(command: Any, *path: str) -> list[tuple[str, ...]]:
    below = getattr(command, "commands", {})
    return [path, *(found for name, one in below.items() for found in commands(one, *path, name))]


@pytest.mark.parametrize("path", commands(typer.main.get_command(app)))
def test_every_help_text_has_the_table_and_no_lost_word(path: tuple[str, ...]) -> None:
    shown = " ".join(CliRunner().invoke(app, [*path, "--help"]).stdout.split())
    assert EPILOG in shown
    command: Any = typer.main.get_command(app)
    for name in path:
        command = command.commands[name]
    in_brackets = re.findall(r"\[[a-z]+\]", command.help or "")  # Rich takes these for its markup, and prints nothing
    assert [word for word in in_brackets if word not in shown] == []
