"""The console of an embedded run: its process, and the link that logs in once."""

import importlib.util
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from centralita.embedded.processes import SupervisedProcess
from centralita.embedded.servers import listen

PACKAGE = "centralita_console"
PLACEHOLDER = "YOUR-KEY"
"""Shown instead of an API key of which the settings have only the digest."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """The API key of a run. `settings` make it valid: they are empty if the environment has keys."""

    key: str = field(repr=False)
    settings: Mapping[str, str] = field(repr=False)

    @property
    def is_known(self) -> bool:
        """Whether this is a key, and not `PLACEHOLDER`."""
        return self.key != PLACEHOLDER


def api_key(api_keys: str) -> ApiKey:
    """Returns a key of the setting API_KEYS; a new one, if that is empty.

    An entry with a colon contains only the digest of a key, so it cannot be printed.
    """
    entries = [entry.strip() for entry in api_keys.split(",") if entry.strip()]
    if not entries:
        key = secrets.token_urlsafe(24)
        return ApiKey(key, {"API_KEYS": key})
    return ApiKey(next((entry for entry in entries if ":" not in entry), PLACEHOLDER), {})


@dataclass(frozen=True, slots=True)
class ConsoleLogin:
    """How the console of a run is entered. Without a known key, its page asks for one."""

    token: str = field(repr=False)
    api_key: str | None = field(repr=False)

    @classmethod
    def of(cls, key: ApiKey) -> "ConsoleLogin":
        """Returns a new link with a key."""
        return cls(secrets.token_urlsafe(24), key.key if key.is_known else None)

    def link(self, url: str) -> str:
        """Returns the address to open in a browser."""
        return f"{url}/login?token={self.token}" if self.api_key else url

    @property
    def settings(self) -> dict[str, str]:
        """The settings of the process."""
        return {"CONSOLE_TOKEN": self.token, "CONSOLE_API_KEY": self.api_key} if self.api_key else {}


def is_installed() -> bool:
    """Whether the extra ``console`` is installed."""
    return importlib.util.find_spec(PACKAGE) is not None


def console_process(
    login: ConsoleLogin, api_url: str, listener: socket.socket, environment: Mapping[str, str], folder: Path
) -> SupervisedProcess:
    """Returns the process of the console, which listens on a socket. It gets no secret but that of its link."""
    inherited = {name: environment[name] for name in ("PATH", "HOME", "LANG", "LOG_LEVEL") if name in environment}
    return SupervisedProcess(
        name="console",
        command=[sys.executable, "-m", PACKAGE],
        environment={**inherited, "API_URL": api_url, **login.settings, "HTTP_FD": str(listener.fileno())},
        log=folder / "console.log",
        inherited=(listener.fileno(),),
    )


@asynccontextmanager
async def running_console(
    login: ConsoleLogin | None, api_url: str, port: int, environment: Mapping[str, str], folder: Path
) -> AsyncIterator[str | None]:
    """Runs the console, and yields the link that logs in; None without a login. Raises CannotStart.

    Requests wait on its socket until the process has started.
    """
    if login is None:
        yield None
        return
    with listen("console", port) as listener:
        process = console_process(login, api_url, listener, environment, folder)
        await process.start()
        try:
            yield login.link(f"http://127.0.0.1:{listener.getsockname()[1]}")
        finally:
            await process.stop()
