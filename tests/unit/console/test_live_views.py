"""Views for many browsers: published in batches, rendered once for each language, and ended together."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from centralita_console import live_log, live_views
from centralita_console.live_log import LiveLog
from centralita_console.live_views import LiveView, LiveViews, TooManyWatchers

KEY = ("board", "key", "")
FOREVER = 30.0


@pytest.fixture
async def view() -> AsyncIterator[LiveView]:
    """A view that is followed until the test ends."""
    view = LiveView(task=asyncio.create_task(idle()))
    yield view
    assert view.task
    view.task.cancel()


async def idle(_: LiveView | None = None) -> None:
    await asyncio.Event().wait()


async def test_changes_of_a_moment_are_published_together_and_rendered_once_for_each_language(view: LiveView) -> None:
    rendered: list[tuple[str, int]] = []

    def text(language: str) -> bytes:
        def render() -> str:
            rendered.append((language, view.version))
            return f"{language} {view.version}"

        return view.text(language, render)

    for _ in range(100):
        view.change()
    assert await view.newer_than(0, FOREVER)
    assert {text("en") for _ in range(50)} == {b"en 100"}
    assert {text("es") for _ in range(50)} == {b"es 100"}

    view.change()  # it is not published yet: browsers that come now are sent what the others have
    assert {text("en") for _ in range(50)} == {b"en 100"}
    assert await view.newer_than(100, FOREVER)
    assert text("en") == b"en 101"
    assert rendered == [("en", 100), ("es", 100), ("en", 101)]


async def test_a_view_is_published_at_the_end_of_its_task_however_short_ago_it_was_published() -> None:
    async def follow(view: LiveView) -> None:
        view.change()
        await view.newer_than(0, FOREVER)
        view.change()

    async with LiveViews().watch(KEY, lambda: LiveView(min_seconds=3600), follow) as view:
        assert await view.newer_than(0, FOREVER)
        assert await view.newer_than(1, FOREVER)
        assert (view.published, view.is_followed) == (2, False)


async def test_browsers_with_one_key_have_one_view_until_the_last_one_leaves() -> None:
    views = LiveViews()
    async with (
        views.watch(KEY, LiveView, idle) as first,
        views.watch(KEY, LiveView, idle) as second,
        views.watch(("board", "other", ""), LiveView, idle) as other,
    ):
        assert (first is second, first is other) == (True, False)
    async with views.watch(KEY, LiveView, idle) as next_one:
        assert next_one is not first
    assert views._views == {}


async def test_a_view_that_has_failed_is_not_the_one_of_who_comes_next() -> None:
    async def fail(_: LiveView) -> None:
        pass

    views = LiveViews()
    async with views.watch(KEY, LiveView, fail) as failed:
        assert not await failed.newer_than(0, FOREVER)
        async with views.watch(KEY, LiveView, idle) as begun:
            assert (begun is failed, begun.is_followed) == (False, True)
        async with views.watch(KEY, LiveView, idle) as begun:
            assert begun.is_followed


async def test_a_stop_wakes_every_browser(view: LiveView) -> None:
    views, wake = LiveViews(), asyncio.Event()
    with views.woken_at_stop(wake):
        async with views.watch(KEY, LiveView, idle) as watched:
            waiting = asyncio.create_task(watched.newer_than(0, FOREVER))
            await asyncio.sleep(0)
            views.stop()
            assert not await waiting
            assert (watched.is_followed, wake.is_set()) == (False, True)


async def test_a_refused_browser_leaves_no_view(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_views, "MAX_WATCHERS", 1)
    views = LiveViews()
    with views.admitted(), pytest.raises(TooManyWatchers):
        async with views.watch(KEY, LiveView, idle):
            pass
    assert views._views == {}


def everything(_: object) -> bool:
    return True


async def test_a_log_keeps_a_bounded_number_of_lines_and_knows_from_where_on_it_has_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_log, "MAX_KEPT", 3)
    live = LiveLog()
    assert not live.has_all_after(10)
    live.add(10, None)
    for sequence in (12, 15, 17):
        live.add(sequence, {"sequence": sequence})
    assert live.after(12, everything) == '[{"sequence": 15}, {"sequence": 17}]'
    assert live.after(17, everything) == "[]"
    assert [one for one in range(20) if live.has_all_after(one)] == [10, 11, 12, 13, 14, 15, 16, 17]

    live.add(19, {"sequence": 19})
    assert [one for one in range(20) if live.has_all_after(one)] == [12, 13, 14, 15, 16, 17, 18, 19]
    assert live.after(12, lambda line: line["sequence"] != 17) == '[{"sequence": 15}, {"sequence": 19}]'
