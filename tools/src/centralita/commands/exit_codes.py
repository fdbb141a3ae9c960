"""The exit codes of the commands, on which scripts may rely, and the handling of expected errors and of Ctrl-C."""

import asyncio
import logging
import signal
import sys
from collections.abc import Coroutine
from enum import IntEnum
from typing import Any, NoReturn, TypeVar

import structlog
import typer
from nats.errors import Error as NatsError
from pymongo.errors import PyMongoError
from rich.console import Console

from sealing import WrongMasterKey


class ExitCode(IntEnum):
    """The exit codes of all commands."""

    SUCCESS = 0
    NEGATIVE = 1
    """The request was refused, a check failed, or the compared data differ."""
    WRONG_USE = 2
    """An option or a setting is missing or wrong, or a user, password or key is refused."""
    UNREACHABLE = 3
    """NATS, MongoDB or the REST API cannot be reached, is not ready, or does not answer in time."""
    INTERRUPTED = 130
    """Ctrl-C."""


MEANINGS = {
    ExitCode.SUCCESS: "success",
    ExitCode.NEGATIVE: "negative result",
    ExitCode.WRONG_USE: "wrong use",
    ExitCode.UNREACHABLE: "a server does not answer",
    ExitCode.INTERRUPTED: "interrupted",
}
EPILOG = "Exit codes: " + ", ".join(f"{code.value} {meaning}" for code, meaning in MEANINGS.items())

errors = Console(stderr=True, soft_wrap=True, highlight=False)
T = TypeVar("T")


class CommandFailed(ConnectionError):
    """Ends a command with one sentence for the user and an exit code.

    It is a ConnectionError, because most of these errors are; `centralita doctor` reports them as findings.
    """

    def __init__(self, message: str, code: ExitCode = ExitCode.UNREACHABLE) -> None:
        super().__init__(message)
        self.code = code


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs the work of a command to its end; prints expected errors and exits with their code."""
    # Log lines of libraries go to standard error, so that standard output holds the result only.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # sys.stderr at the time of use
    )
    try:
        return asyncio.run(_cancelled_by_ctrl_c(work))
    except CommandFailed as error:
        fail(str(error), code=error.code)
    except WrongMasterKey as error:
        fail(f"MASTER_KEY: {error}", code=ExitCode.WRONG_USE)
    except (NatsError, PyMongoError, TimeoutError, ConnectionError) as error:
        fail(f"A server did not answer as expected: {error or type(error).__name__}", code=ExitCode.UNREACHABLE)
    except (asyncio.CancelledError, KeyboardInterrupt):
        raise typer.Exit(ExitCode.INTERRUPTED) from None


async def _cancelled_by_ctrl_c(work: Coroutine[Any, Any, T]) -> T:
    """Cancels the work on SIGINT, through the event loop's own signal handler.

    The handler of `asyncio.run` runs only when the main thread executes Python code again. A signal that arrives just
    before the loop blocks in `epoll_wait`, or in another thread, waits for the loop's next timer: perhaps minutes.
    `add_signal_handler` registers a file descriptor that the signal writes to, so that the loop wakes up.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  asyncio.run runs this in a task
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)
    return await work


def print_notes(error: BaseException) -> None:
    """Prints the notes of an exception to standard error."""
    for note in getattr(error, "__notes__", ()):
        errors.print(note, style="red", markup=False)


def fail(reason: str, *, code: ExitCode = ExitCode.NEGATIVE) -> NoReturn:
    """Prints the reason to standard error and exits."""
    errors.print(reason, style="red", markup=False)
    raise typer.Exit(code)
