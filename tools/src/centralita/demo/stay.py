"""A demo that stays: its console shows the calls until Ctrl-C."""

from collections.abc import Mapping
from dataclasses import dataclass

from rich.console import Console

from centralita.embedded.console import ApiKey, ConsoleLogin, is_installed
from centralita.embedded.system import System
from centralita.embedded.up import stop_requested
from centralita.embedded.views import print_console


@dataclass(frozen=True, slots=True)
class Stay:
    """Whether a demo stays, and the API key with which its console is entered."""

    is_wanted: bool
    key: ApiKey

    @property
    def login(self) -> ConsoleLogin | None:
        """How the console is entered; None: the demo has none."""
        return ConsoleLogin.of(self.key) if self.is_wanted and is_installed() else None

    @property
    def settings(self) -> Mapping[str, str]:
        """The settings of a run that stays: its key. Other runs need none."""
        return self.key.settings if self.is_wanted else {}

    def announce(self, console: Console, system: System) -> None:
        """Prints the link, so that the calls can be watched while the demo runs."""
        if self.is_wanted:
            print_console(console, system)

    async def until_stopped(self, console: Console) -> None:
        """Returns at Ctrl-C; at once, if the demo does not stay."""
        if self.is_wanted:
            stopped = stop_requested()
            console.print("\nThe demo has ended, and its console stays. Ctrl-C stops both.")
            await stopped.wait()
