"""``python -m centralita.monitoring store | check``: stores the dashboards, or checks dashboards and alerts.

The check fails if a stored dashboard differs from the code, or if a query names a metric that no service has.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from centralita.monitoring import names
from centralita.monitoring.campaign import CAMPAIGN
from centralita.monitoring.conversation import CONVERSATION
from centralita.monitoring.grafana import render
from centralita.monitoring.operations import OPERATIONS
from centralita.monitoring.panels import Dashboard
from centralita.monitoring.providers import PROVIDERS

ROOT = Path(__file__).parents[4]
STORED = ROOT / "deploy/grafana/dashboards"
RULES = ROOT / "deploy/prometheus/rules"
DASHBOARDS: tuple[Dashboard, ...] = (OPERATIONS, CAMPAIGN, CONVERSATION, PROVIDERS)


def path_of(dashboard: Dashboard) -> Path:
    """Returns the file of a dashboard."""
    return STORED / f"{dashboard.uid.removeprefix('centralita-')}.json"


def store() -> None:
    """Writes every dashboard, and removes the files of former ones."""
    STORED.mkdir(parents=True, exist_ok=True)
    for old in STORED.glob("*.json"):
        old.unlink()
    for dashboard in DASHBOARDS:
        path_of(dashboard).write_text(render(dashboard))


def findings() -> Iterator[str]:
    """Yields a line for each stored dashboard that differs from the code, and for each unknown metric."""
    expected = {path_of(dashboard): render(dashboard) for dashboard in DASHBOARDS}
    for path in sorted(expected.keys() | set(STORED.glob("*.json"))):
        if not path.exists() or path.read_text() != expected.get(path):
            yield f"{path.relative_to(ROOT)} differs from the code: run `make dashboards`"
    known = names.known_metrics()
    for source, expression in _expressions():
        for name in sorted(names.metrics_in(expression) - known):
            yield f"{source}: no service has a metric {name}"


def _expressions() -> Iterator[tuple[str, str]]:
    for dashboard in DASHBOARDS:
        for panels in dashboard.rows.values():
            for panel in panels:
                yield from ((f"{dashboard.title}, {panel.title}", query) for query in panel.queries.values())
        for query in (dashboard.variables or {}).values():
            yield dashboard.title, query.removeprefix("label_values(").split(",")[0]
    for path in sorted(RULES.glob("*.yml")):
        yield from ((f"{path.name}, {alert}", query) for alert, query in names.alert_expressions(path))


def main(arguments: list[str]) -> int:
    """Prints a line for each finding. Returns the exit code: 0 no finding, 1 findings, 2 wrong use."""
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
