"""The NATS of a `centralita up` that was stopped, for commands that need its data and no service."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from centralita.embedded.credentials import CREDENTIALS_FILE, Credentials
from centralita.embedded.run_files import env_lines, write_private_file
from centralita.embedded.secret_keys import secret_keys
from centralita.embedded.servers import CannotStart, nats_server
from contracts.accounts import ADMIN

_CONNECT_SECONDS = 1.0


@contextmanager
def stopped_run(folder: Path) -> Iterator[tuple[str, Path]]:
    """Runs the nats-server of the folder. Yields the URL of the user admin, and a file with the secret keys.

    Raises CannotStart, also if the system of the folder is running.
    """
    _check_stopped(folder)
    access = Credentials.generate()
    with nats_server(folder / "nats", access=access) as address, TemporaryDirectory() as temporary:
        keys = Path(temporary, "keys.env")
        write_private_file(keys, env_lines(secret_keys(folder, os.environ)))
        yield access.url(address, ADMIN), keys


def _check_stopped(folder: Path) -> None:
    file = folder / "nats" / CREDENTIALS_FILE.name
    try:
        url = urlsplit(json.loads(file.read_text())[ADMIN])
    except (OSError, ValueError, KeyError):
        return
    try:
        socket.create_connection((url.hostname or "", url.port or 0), timeout=_CONNECT_SECONDS).close()
    except OSError:
        return
    raise CannotStart(
        f"a server listens at {url.hostname}:{url.port}, as NATS of {folder} did. Stop `centralita up` first"
    )
