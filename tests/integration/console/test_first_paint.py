"""How many bytes a browser loads before it shows a page, and which responses are compressed."""

import gzip
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.builders.long_call import UTTERANCE, append_long_call
from tests.integration.console.conftest import csrf_token, parsed, words
from tests.integration.edge.conftest import Orchestrator

from contracts import Call, call_id_of

if TYPE_CHECKING:
    from tests.integration.console.conftest import OpenConsole

pytestmark = pytest.mark.usefixtures("listed", "counted")

MAX_FIRST_PAINT = 100_000
ACCEPTED = {"Accept-Encoding": "gzip"}


@pytest.fixture
async def long_call(orchestrator: Orchestrator, waiting: Call) -> Call:
    """A call of 200 events, with the long sequences of a large log."""
    created = waiting.model_copy(update={"call_id": call_id_of("long"), "request_id": "long"})
    return await append_long_call(orchestrator.log, created)


async def transferred(browser: httpx.AsyncClient, path: str) -> tuple[int, httpx.Response]:
    """Returns how many bytes of a response are sent, and the response."""
    async with browser.stream("GET", path, headers=ACCEPTED) as answer:
        raw = b"".join([part async for part in answer.aiter_raw()])
    content = gzip.decompress(raw) if answer.headers.get("content-encoding") == "gzip" else raw
    return len(raw), httpx.Response(answer.status_code, headers={"content-type": "text/html"}, content=content)


async def first_paint(browser: httpx.AsyncClient, path: str) -> int:
    """Returns the bytes of a page, and of the style sheets and scripts that it loads."""
    size, page = await transferred(browser, path)
    assert page.status_code == 200, path
    tags = parsed(page.text).tags
    files = [one["href"] for tag, one in tags if tag == "link" and one["rel"] == "stylesheet"]
    files += [one["src"] for tag, one in tags if tag == "script"]
    assert len(files) >= 3
    return size + sum([(await transferred(browser, file or ""))[0] for file in files])


async def test_no_page_loads_more_than_its_limit_before_it_is_shown(
    browser: httpx.AsyncClient, open_console: "OpenConsole", long_call: Call
) -> None:
    path = f"/calls/{long_call.call_id}"
    assert await first_paint(open_console(), "/login") <= MAX_FIRST_PAINT
    for one in ("/", "/calls", "/campaigns", "/campaigns/spring", path, f"{path}?at=100"):
        assert await first_paint(browser, one) <= MAX_FIRST_PAINT, one


async def test_a_call_of_many_events_shows_what_was_spoken_once_in_full(
    browser: httpx.AsyncClient, long_call: Call
) -> None:
    page = (await browser.get(f"/calls/{long_call.call_id}")).text
    assert page.count('<a href="?at=') == 200 + 1
    assert words(page).count(UTTERANCE.format(n=7)) == 1
    assert len(page) < 75_000


async def test_only_responses_without_a_secret_are_compressed(browser: httpx.AsyncClient, long_call: Call) -> None:
    path = f"/calls/{long_call.call_id}"
    token = csrf_token((await browser.get(path)).text)
    for page in ("/", "/calls?campaign_id=guess", path, f"{path}/raw", "/static/guess/console.css", "/calls/x/story"):
        answer = await browser.get(page, headers=ACCEPTED)
        assert "content-encoding" not in answer.headers, page
    unknown = await browser.get(f"/calls/{call_id_of('unknown')}/story", headers=ACCEPTED)
    assert (unknown.status_code, token in unknown.text, "content-encoding" in unknown.headers) == (404, True, False)

    part = await browser.get(f"{path}/story?at=100", headers=ACCEPTED)
    assert (part.headers["content-encoding"], part.headers["vary"]) == ("gzip", "Accept-Encoding")
    assert token not in part.text
    assert part.headers["cache-control"] == "no-store"
    plain = await browser.get(f"{path}/story?at=100", headers={"Accept-Encoding": "identity"})
    assert ("content-encoding" in plain.headers, plain.text) == (False, part.text)
