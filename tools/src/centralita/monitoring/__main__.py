"""``python -m centralita.monitoring store | check``: what is stored must be what the code makes, and what it has."""

import sys
from collections.abc import Iterator
from pathlib import Path

from centralita.monitoring import names
from centralita.monitoring.campaign import CAMPAIGN
from centralita.monitoring.conversation import CONVERSATION
from centralita.monitoring.grafana import rendered
from centralita.monitoring.operations import OPERATIONS
from centralita.monitoring.panels import Dashboard
from centralita.monitoring.providers import PROVIDERS

ROOT = Path(__file__).parents[4]
STORED = ROOT / "deploy/grafana/dashboards"
RULES = ROOT / "deploy/prometheus/rules"
DASHBOARDS: tuple[Dashboard, ...] = (OPERATIONS, CAMPAIGN, CONVERSATION, PROVIDERS)


def path_of(dashboard: Dashboard) -> Path:
    """Where a dashboard is stored."""
    return STORED / f"{dashboard.uid.removeprefix('centralita-')}.json"


def store() -> None:
    """Writes every dashboard, and removes what is none any more."""
    STORED.mkdir(parents=True, exist_ok=True)
    for old in STORED.glob("*.json"):
        old.unlink()
    for dashboard in DASHBOARDS:
        path_of(dashboard).write_text(rendered(dashboard))


def findings() -> Iterator[str]:
    """A line for each stored dashboard that is not the code's, and for each metric that nobody has."""
    wanted = {path_of(dashboard): rendered(dashboard) for dashboard in DASHBOARDS}
    for path in sorted(wanted.keys() | set(STORED.glob("*.json"))):
        if not path.exists() or path.read_text() != wanted.get(path):
            yield f"{path.relative_to(ROOT)} is not what the code makes: run make dashboards"
    known = names.of_the_code()
    for place, expression in _expressions():
        for name in sorted(names.in_expression(expression) - known):
            yield f"{place}: no service has a metric {name}"


def _expressions() -> Iterator[tuple[str, str]]:
    for dashboard in DASHBOARDS:
        for panels in dashboard.rows.values():
            for panel in panels:
                yield from ((f"{dashboard.title}, {panel.title}", query) for query in panel.queries.values())
        for choice in (dashboard.choices or {}).values():
            yield dashboard.title, choice.removeprefix("label_values(").split(",")[0]
    for path in sorted(RULES.glob("*.yml")):
        yield from ((f"{path.name}, {alert}", query) for alert, query in names.in_rules(path))


def main(arguments: list[str]) -> int:
    """Exit code 1: something does not fit; each finding is a line."""
    if arguments == ["store"]:
        store()
    elif arguments != ["check"]:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    found = list(findings())
    sys.stderr.writelines(f"{line}\n" for line in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
