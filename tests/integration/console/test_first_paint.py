"""How many bytes a browser loads before it shows a page, and which responses are compressed."""

import gzip
import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from starlette.types import ASGIApp
from tests.builders.long_call import UTTERANCE, append_long_call
from tests.integration.console.conftest import TOKEN, csrf_token, parsed, words
from tests.integration.console.test_dead_letters import Rest, dead_letter
from tests.integration.edge.conftest import Orchestrator

from centralita_console.app import create_app
from centralita_console.settings import Settings
from contracts import Call, Outcomes, OutcomesQuery, call_id_of
from contracts.events import EVENTS
from contracts.outcomes import EndReason, OutcomeCounts, OutcomePoint

if TYPE_CHECKING:
    from tests.integration.console.conftest import OpenConsole

pytestmark = pytest.mark.usefixtures("listed", "counted")

MAX_FIRST_PAINT = 100_000
LONG_CALL = 200
"""The events of a call whose page keeps the limit."""
LONGER_SEQUENCES = LONG_CALL * 2 * len("0000")
"""Each sequence is twice in the page; in a log of millions of events it has four digits more than in a test."""
ACCEPTED = {"Accept-Encoding": "gzip"}


@pytest.fixture
async def long_call(orchestrator: Orchestrator, waiting: Call) -> Call:
    """A completed call of 200 events."""
    created = waiting.model_copy(update={"call_id": call_id_of("long"), "request_id": "long"})
    return await append_long_call(orchestrator.log, created, events=LONG_CALL)


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


class FullLists(httpx.AsyncBaseTransport):
    """The edge, whose lists are as long as they are asked for, and a REST API with many dead letters."""

    def __init__(self, edge: ASGIApp) -> None:
        self._edge = httpx.ASGITransport(edge)
        self._dead_letters = Rest(*(dead_letter(sequence) for sequence in range(1, 120)))
        self._dead_letters.empty_pages = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/api/v1/dead-letters"):
            return self._dead_letters(request)
        answer = await self._edge.handle_async_request(request)
        content = await answer.aread()
        if "limit" in request.url.params:
            document = json.loads(content)
            for name, value in document.items() if isinstance(document, dict) else ():
                if isinstance(value, list):
                    document[name] = [one for _ in range(200) for one in value][: int(request.url.params["limit"])]
            content = json.dumps(document).encode()
        return httpx.Response(answer.status_code, headers={"content-type": "application/json"}, content=content)


OPERATION, CALLS_OF_ACT = "list_calls_api_v1_calls_get", 50
PAGES = {
    "/": ("/", "/?campaign_id=spring", "/?interval=1h"),
    "/calls": ("/calls",),
    "/find": ("/find?q=nothing",),
    "/calls/{call_id:uuid}": ("/calls/{call}", "/calls/{call}?at=100"),
    "/calls/{call_id:uuid}/change": ("/calls/{call}/change",),
    "/calls/{call_id:uuid}/raw": ("/calls/{call}/raw", "/calls/{call}/raw?after=100"),
    "/calls/{act}": ("/calls/retry?" + "&".join(["call={call}"] * CALLS_OF_ACT),),
    "/log": ("/log",),
    "/campaigns": ("/campaigns",),
    "/campaigns/{campaign_id}": ("/campaigns/spring",),
    "/campaigns/{campaign_id}/change": ("/campaigns/spring/change",),
    "/campaigns/{campaign_id}/acts/{act}": ("/campaigns/spring/acts/start",),
    "/campaigns/{campaign_id}/contacts": ("/campaigns/spring/contacts",),
    "/new-campaign": ("/new-campaign",),
    "/dead-letters": ("/dead-letters",),
    "/dead-letters/{sequence:dead_letter}": ("/dead-letters/1",),
    "/dead-letters/{act}": ("/dead-letters/retry?" + "&".join(f"dead_letter={n}" for n in range(1, 100)),),
    "/dead-letters/sent": ("/dead-letters/sent?dead_letter=1&stream=REQUESTS&sequence=999999",),
    "/audit": ("/audit",),
    "/health": ("/health",),
    "/contracts": ("/contracts",),
    "/contracts/events/{name}": tuple(f"/contracts/events/{name}" for name in EVENTS),
    "/contracts/operations/{name}": (f"/contracts/operations/{OPERATION}",),
}
"""Every page of a session, with addresses whose content is large."""
NO_PAGES = {
    "/login": "measured without a session",
    "/calls/acts/{report_id}": "it has one line for each of at most 50 calls, as the confirmation before it",
    "/calls/{call_id:uuid}/live": "a stream of events",
    "/calls/{call_id:uuid}/story": "a part of the page of the call",
    "/campaigns/{campaign_id}/contacts/example.csv": "a file",
    "/health/live": "for supervisors",
    "/log/events": "a stream of events",
    "/now/board": "a stream of events",
    "/now/outcomes": "a part of the first page",
    "/campaigns/{campaign_id}/outcomes": "a part of the page of the campaign",
    "/static/{digest}/{name}": "a file",
}


def test_every_page_is_measured() -> None:
    def paths(routes: Iterable[Any]) -> Iterator[str]:
        for route in routes:
            if included := getattr(route, "original_router", None):
                yield from paths(included.routes)
            elif "GET" in route.methods:
                yield route.path

    found = set(paths(create_app(Settings(), httpx.AsyncClient()).routes))
    assert found == PAGES.keys() | NO_PAGES.keys()


@pytest.fixture
async def full_outcomes(bus_client: Client) -> None:
    """Answers the query for outcomes with every outcome in each interval, and every reason."""
    counts = dict.fromkeys(OutcomeCounts.model_fields, 12_345)

    async def answer(message: Msg) -> None:
        query = OutcomesQuery.model_validate_json(message.data)
        begin, count = query.interval.begin(query.since), (query.until - query.since) // query.interval.length
        points = [OutcomePoint(at=begin + n * query.interval.length, **counts) for n in range(count)]
        outcomes = Outcomes(points=tuple(points), reasons=dict.fromkeys(EndReason, 12_345))
        await message.respond(outcomes.model_dump_json().encode())

    await bus_client.subscribe(OutcomesQuery.subject, cb=answer)


@pytest.mark.usefixtures("full_outcomes")
async def test_no_page_loads_more_than_its_limit_before_it_is_shown(
    app: ASGIApp, open_console: "OpenConsole", long_call: Call
) -> None:
    assert await first_paint(open_console(), "/login") <= MAX_FIRST_PAINT
    async with httpx.AsyncClient(transport=FullLists(app), base_url="http://edge.internal:8000") as api:
        browser = open_console(api=api)
        await browser.get("/login", params={"token": TOKEN})
        sizes = {
            path: await first_paint(browser, path.replace("{call}", str(long_call.call_id)))
            for pages in PAGES.values()
            for path in pages
        }

    assert {path: size for path, size in sizes.items() if size > MAX_FIRST_PAINT} == {}


@pytest.mark.parametrize("is_completed", [True, False], ids=["completed", "in progress"])
async def test_a_call_of_200_events_in_a_large_log_keeps_the_limit(
    browser: httpx.AsyncClient, orchestrator: Orchestrator, waiting: Call, is_completed: bool
) -> None:
    created = waiting.model_copy(update={"call_id": call_id_of("long"), "request_id": "long"})
    call = await append_long_call(orchestrator.log, created, events=LONG_CALL, is_completed=is_completed)
    size = await first_paint(browser, f"/calls/{call.call_id}")
    page = (await browser.get(f"/calls/{call.call_id}")).text

    assert size + LONGER_SEQUENCES <= MAX_FIRST_PAINT
    assert page.count('<a href="?at=') == LONG_CALL + 1
    assert ("hx-sse:connect" in page) is not is_completed


async def test_a_call_of_many_events_shows_what_was_spoken_once_in_full(
    browser: httpx.AsyncClient, long_call: Call
) -> None:
    page = (await browser.get(f"/calls/{long_call.call_id}")).text
    assert page.count('<a href="?at=') == LONG_CALL + 1
    assert words(page).count(UTTERANCE.format(n=7)) == 1
    assert len(page) < 70_000


async def test_the_events_of_a_long_call_are_shown_in_pages_without_a_gap(
    browser: httpx.AsyncClient, long_call: Call
) -> None:
    path = f"/calls/{long_call.call_id}/raw"
    query: str | None = ""
    shown: list[str | None] = []
    while query is not None:
        tags = parsed((await browser.get(f"{path}{query}")).text).tags
        shown += [one["id"] for tag, one in tags if tag == "details" and "id" in one]
        query = next((one["href"] for _, one in tags if one.get("rel") == "next"), None)

    assert len(shown) == len(set(shown)) == LONG_CALL


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
