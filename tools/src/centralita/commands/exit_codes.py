"""How a command ends. Scripts may rely on these codes; every help text names those that are its own."""

import asyncio
import logging
import signal
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar

import structlog
import typer
from nats.errors import Error as NatsError
from pymongo.errors import PyMongoError
from rich.console import Console

OK = 0
NO = 1
"""The answer is no: refused, drifted, different, damaged, or a check that failed."""
WRONG_USE = 2
"""An option or a setting is missing or wrong."""
UNREACHABLE = 3
"""NATS or MongoDB does not answer, or not in time."""
INTERRUPTED = 130
"""Ctrl-C."""

EPILOG = "Exit codes: 0 well, 1 the answer is no (refused, different, failed), 2 wrong use, 3 a server does not answer."

errors = Console(stderr=True, soft_wrap=True, highlight=False)
T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs a command's work; a server that does not answer ends it with `UNREACHABLE`, Ctrl-C with 130."""
    # What libraries note goes where it cannot be taken for the answer; what is only news, nowhere.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        return asyncio.run(_cancelled_by_ctrl_c(work))
    except (NatsError, PyMongoError, TimeoutError, ConnectionError) as error:
        fail(f"{type(error).__name__}: {error or 'no answer'}", code=UNREACHABLE)
    except (asyncio.CancelledError, KeyboardInterrupt):
        raise typer.Exit(INTERRUPTED) from None


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


def note(stopped: BaseException) -> None:
    """Says on standard error what has been noted on an exception that ends the command."""
    for text in getattr(stopped, "__notes__", ()):
        errors.print(text, style="red", markup=False)


def fail(reason: str, *, code: int = NO) -> NoReturn:
    """Says why on standard error and ends the command."""
    errors.print(reason, style="red", markup=False)
    raise typer.Exit(code)
