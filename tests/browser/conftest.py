"""Chromium before one embedded system, for all tests of this folder.

All of them run in the event loop of the session, in one process of `pytest -n` (`tests/conftest.py`).
"""

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Error, async_playwright, expect
from tests.browser.sample_run import SampleRun, sample_run
from tests.browser.visits import WAIT_MILLISECONDS, Visit

OpenVisit = Callable[..., Awaitable[Visit]]
CHROMIUM = shutil.which("chromium")
TIMEOUT_SECONDS = 600
"""For one test. The first one starts the system, too."""
expect.set_options(timeout=WAIT_MILLISECONDS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs the tests of this folder in the loop of the session, in which Chromium and the system run."""
    for item in items:
        if "browser" in item.path.parts and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            item.add_marker(pytest.mark.timeout(TIMEOUT_SECONDS))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """The browser. Without one, its tests are skipped."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install --no-install-recommends chromium")
    async with async_playwright() as playwright:
        try:
            # Chromium refuses its sandbox to root.
            started = await playwright.chromium.launch(executable_path=CHROMIUM, chromium_sandbox=os.getuid() != 0)
        except Error as error:
            pytest.skip(f"{CHROMIUM} does not start: {error.message.strip().splitlines()[0]}")
        yield started
        await started.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def run(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SampleRun]:
    """The system with its console, and calls that have ended."""
    async with sample_run(tmp_path_factory.mktemp("browser")) as run:
        yield run


@pytest_asyncio.fixture(loop_scope="session")
async def open_visit(chromium: Browser, run: SampleRun) -> AsyncIterator[OpenVisit]:
    """Opens a new profile of the browser. At the end, it must not have done what the console forbids."""
    async with AsyncExitStack() as stack:
        visits: list[Visit] = []

        async def opened(*, is_logged_in: bool = True, origin: str = run.origin, **options: object) -> Visit:
            visit = await Visit.begin(chromium, origin, **options)
            stack.push_async_callback(visit.context.close)
            visits.append(visit)
            if is_logged_in:
                await visit.log_in(run.api_key)
            return visit

        yield opened
        assert [problem for visit in visits for problem in visit.problems] == []


@pytest_asyncio.fixture(loop_scope="session")
async def visit(open_visit: OpenVisit) -> Visit:
    """A browser that is logged in with a key of every scope."""
    return await open_visit()
