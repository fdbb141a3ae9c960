"""How a command ends."""

import subprocess
import sys

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


def test_ctrl_c_wakes_a_command_that_sleeps_whichever_thread_receives_the_signal() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IN_ANOTHER_THREAD], capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (130, "cleaned up\n"), ended.stderr
