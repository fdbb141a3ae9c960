"""The flow chart in the README is generated from the contracts."""

from pathlib import Path

import pytest

from centralita.docs.event_flow import MARKED, flowchart, renewed
from contracts.events import EVENTS
from contracts.work import WORK

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["README.md", "README.es.md"])
def test_the_chart_in_the_readme_is_current(page: str) -> None:
    found = MARKED.search((ROOT / page).read_text(encoding="utf-8"))
    assert found
    assert found["chart"] == f"{flowchart()}\n", "run make docs"


@pytest.mark.parametrize("chart", ["", "flowchart LR\n", "flowchart LR\n    a --> b\n"])
def test_renewing_the_chart_changes_only_the_chart(chart: str) -> None:
    before, after = "# Title\n\n<!-- picture -->\n", "\n\n## What it promises\n\n```python\ncode\n```\n"
    page = renewed(f"{before}```mermaid\n{chart}```{after}")
    assert page == f"{before}```mermaid\n{flowchart()}\n```{after}"


def test_every_service_and_every_owned_family_of_the_log_is_in_the_chart() -> None:
    chart = flowchart()
    for service, work in WORK.items():
        assert f'["{service}"]' in chart
        for consumer in work.handles:
            assert f"{consumer.stream.name} -- " in chart
    for event in EVENTS.values():
        family = event.event_name.split(".")[0]
        assert f"{family}.*" in chart or family in ("timer", "queue"), event.event_name
