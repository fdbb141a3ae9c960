"""The picture on the README's first screen is what the contracts say."""

import re
from pathlib import Path

import pytest

from contracts.events import EVENTS
from contracts.permissions import WORK
from contracts.picture import flowchart

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["README.md", "README.es.md"])
def test_the_readme_shows_the_picture_that_the_contracts_draw(page: str) -> None:
    found = re.search(r"<!-- picture -->\n```mermaid\n(.*?)\n```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert found
    assert found[1] == flowchart(), "run make docs"


def test_every_service_and_every_owned_family_of_the_log_is_in_the_picture() -> None:
    chart = flowchart()
    for service, work in WORK.items():
        assert f'["{service}"]' in chart
        for consumer in work.handles:
            assert f"{consumer.stream.name} -- " in chart
    for event in EVENTS.values():
        family = event.fact.split(".")[0]
        assert f"{family}.*" in chart or family in ("timer", "queue"), event.fact
