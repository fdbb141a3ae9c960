"""Optional packages of commands."""

import importlib.util

from centralita.commands import exit_codes
from centralita.commands.exit_codes import ExitCode


def require(package: str) -> None:
    """Exits if a service's package, which the extra ``replay`` installs, is missing."""
    if importlib.util.find_spec(package) is None:
        exit_codes.fail(
            f"{package} is not installed. Install it with `pip install 'centralita[replay]'`.", code=ExitCode.WRONG_USE
        )
