"""The results of a chaos run, as a table that can be pasted into a note."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.table import Table
from tests.chaos.schedule import Kind

from centralita.demo.reconciliation import Reconciliation
from centralita.replay.verifying import Verification


@dataclass
class Report:
    """The results of one run. `violations`: by the name of the check, a line each."""

    seed: int
    clock: str
    duration_seconds: float = 0.0
    faults: Counter[Kind] = field(default_factory=Counter)
    restarts: int = 0
    sent: Counter[str] = field(default_factory=Counter)
    refusals: int = 0
    outcomes: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    contacts: Counter[str] = field(default_factory=Counter)
    reconciliation: Reconciliation | None = None
    verification: Verification | None = None
    violations: dict[str, list[str]] = field(default_factory=dict)

    def add(self, check: str, lines: Iterable[str]) -> None:
        """Adds the violations that a check has found, also if there are none."""
        self.violations.setdefault(check, []).extend(lines)

    @property
    def found(self) -> list[str]:
        """All violations."""
        return [f"{check}: {line}" for check, lines in self.violations.items() for line in lines]

    def table(self) -> Table:
        """Returns the report as a table."""
        table = Table(title=f"make chaos: seed {self.seed}, {self.duration_seconds:.0f} s", title_justify="left")
        table.add_column("record")
        table.add_column("value", justify="right")
        for name, count in sorted(self.sent.items()):
            table.add_row(f"published and acknowledged: {name}", str(count))
        table.add_row("refused by a full REQUESTS", str(self.refusals))
        table.add_row("outcomes of requests and commands received", str(self.outcomes))
        for name, count in sorted(self.statuses.items()):
            table.add_row(f"calls that are {name}", str(count))
        for name, count in self.contacts.items():
            table.add_row(f"contacts: {name}", str(count))
        if (result := self.reconciliation) is not None:
            attempts = f"{result.attempts}: {result.dials} + {result.refused} + {result.unsent}"
            table.add_row("attempts: dialled + refused + never sent", attempts)
        if (verified := self.verification) is not None:
            table.add_row("decisions verified, doubts", f"{verified.decisions}, {len(verified.doubts)}")
        table.add_section()
        for kind in Kind:
            table.add_row(f"fault: {kind}", str(self.faults[kind]))
        table.add_row("fault: the clock of one orchestrator", self.clock)
        table.add_row("processes that were restarted", str(self.restarts))
        table.add_section()
        for check, lines in self.violations.items():
            table.add_row(check, str(len(lines)), style="red" if lines else None)
        return table
