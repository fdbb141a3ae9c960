"""What `centralita up` was told, kept for the other commands that are run in its folder. It holds secrets."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

SETTINGS = Path(".data/settings.env")
"""Where `centralita up` keeps what it told its services, unless it is told another folder.

What its own environment says is not copied: real vendors' secrets come to no disk.
"""


def keep(file: Path, text: str) -> None:
    """Writes a file anew that its owner alone may read."""
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as kept:
        kept.write(text)


def lines(settings: Mapping[str, str]) -> str:
    """Settings as a shell and pydantic-settings read them."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in sorted(settings.items()))


def setting(name: str, file: Path = SETTINGS) -> str | None:
    """A setting of the kept run, if there is one."""
    return dotenv_values(file).get(name) if file.exists() else None
