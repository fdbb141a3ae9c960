"""The memory of recent items."""

import pytest
from tests.fakes.clock import ManualClock

from edge.application import recent
from edge.application.recent import RecentlySeen


def test_an_item_is_forgotten_after_its_time() -> None:
    clock = ManualClock()
    seen = RecentlySeen(60, clock)
    seen.add("a")

    clock.now += 59
    assert seen.contains("a")
    assert not seen.contains("b")
    clock.now += 1
    assert not seen.contains("a")


def test_the_oldest_items_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "MAX_REMEMBERED", 2)
    seen = RecentlySeen(60, ManualClock())
    for item in ("a", "b", "a", "c"):
        seen.add(item)

    assert [seen.contains(item) for item in ("a", "b", "c")] == [True, False, True]
