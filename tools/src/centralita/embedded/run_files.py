"""The settings of an embedded run, stored for the other commands that are run in the same folder. They are secrets."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from dotenv import dotenv_values

SETTINGS_FILE = Path(".data/settings.env")
"""Where `centralita up` stores the settings of its services, if it uses its default folder.

Settings from its own environment are not stored, so that secrets of real vendors are never written to disk.
"""


def write_private_file(file: Path, text: str) -> None:
    """Replaces a file; only its owner can read the new one."""
    file.unlink(missing_ok=True)
    with create_private_file(file) as stream:
        stream.write(text.encode())


def create_private_file(file: Path) -> BinaryIO:
    """Opens a new file that only its owner can read, with any umask. Raises FileExistsError."""
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def env_lines(settings: Mapping[str, str]) -> str:
    """Returns the settings in the syntax that a shell and pydantic-settings read."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in sorted(settings.items()))


def store_settings(folder: Path, settings: Mapping[str, str], environment: Mapping[str, str], edge_url: str) -> None:
    """Stores the settings of a run in its folder, but for those of its environment, and the address of the REST API."""
    own = {name: value for name, value in settings.items() if environment.get(name) != value}
    write_private_file(folder / SETTINGS_FILE.name, env_lines({**own, "API_URL": edge_url}))


def read_setting(name: str, file: Path = SETTINGS_FILE) -> str | None:
    """Returns a setting of the stored run, or None."""
    return dotenv_values(file).get(name) if file.exists() else None
