"""The console before the real edge on a real NATS server, without a browser."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from html.parser import HTMLParser

import httpx
import pytest
from fastapi import FastAPI
from nats.aio.client import Client
from nats.aio.msg import Msg
from starlette.types import ASGIApp
from tests.integration.edge.conftest import (
    API_KEY,
    app,
    body,
    on_a_port,
    orchestrator,
    settings,
    talking,
    waiting,
)
from tests.integration.edge.test_lists import CALL, CAMPAIGN

from centralita_console.app import api_client, create_app
from centralita_console.settings import Settings
from contracts import (
    CallList,
    CallListQuery,
    CampaignList,
    CampaignListQuery,
    CampaignStatistics,
    CampaignStatisticsQuery,
)

__all__ = ["app", "body", "on_a_port", "orchestrator", "settings", "talking", "waiting"]

TOKEN = "the-token-of-the-link"
HERE = "http://127.0.0.1:8080"

OnAPort = Callable[[ASGIApp], AbstractAsyncContextManager[str]]
OpenConsole = Callable[..., httpx.AsyncClient]
AnsweredBy = Callable[[Callable[[httpx.Request], httpx.Response]], httpx.AsyncClient]


@pytest.fixture
async def edge(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    """The connections of the console to the REST API."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://edge.internal:8000") as http:
        yield http


@pytest.fixture
async def open_console(edge: httpx.AsyncClient) -> AsyncIterator[OpenConsole]:
    """Returns a browser before a new console with these settings, without a session."""
    async with AsyncExitStack() as stack:

        def opened(base_url: str = HERE, api: httpx.AsyncClient = edge, **given: str) -> httpx.AsyncClient:
            return browser_before(stack, base_url, api, **given)

        yield opened


def browser_before(stack: AsyncExitStack, base_url: str, api: httpx.AsyncClient, **given: str) -> httpx.AsyncClient:
    """Returns a browser before a new console, which sends its requests to `api`."""
    values = {"console_token": TOKEN, "console_api_key": API_KEY, **given}
    console = create_app(Settings.model_validate(values), api)
    transport = httpx.ASGITransport(console, raise_app_exceptions=False)
    browser = httpx.AsyncClient(transport=transport, base_url=base_url)
    stack.push_async_callback(browser.aclose)
    return browser


@pytest.fixture
async def answered_by() -> AsyncIterator[AnsweredBy]:
    """Returns a browser before a console whose REST API is a function. No server runs for it."""
    async with AsyncExitStack() as stack:

        def opened(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.AsyncClient:
            api = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://edge.internal:8000")
            return browser_before(stack, HERE, api)

        yield opened


@pytest.fixture
def anyone(open_console: OpenConsole) -> httpx.AsyncClient:
    """A browser without a session."""
    return open_console()


@pytest.fixture
async def browser(anyone: httpx.AsyncClient) -> httpx.AsyncClient:
    """A browser that is logged in with a key of every scope."""
    await anyone.get("/login", params={"token": TOKEN})
    return anyone


async def log_in(browser: httpx.AsyncClient, key: str) -> httpx.AsyncClient:
    """Logs in with a key, and returns the browser."""
    answer = await browser.post("/login", data={"api_key": key})
    assert answer.status_code == 303, answer.text
    return browser


@pytest.fixture
async def edge_url(app: ASGIApp, on_a_port: OnAPort) -> AsyncIterator[str]:
    async with on_a_port(app) as url:
        yield url


@pytest.fixture
async def console(edge_url: str) -> AsyncIterator[FastAPI]:
    settings = Settings.model_validate({"api_url": edge_url})
    async with api_client(settings) as http:
        yield create_app(settings, http)


@pytest.fixture
async def console_url(console: FastAPI, on_a_port: OnAPort) -> AsyncIterator[str]:
    async with on_a_port(console) as url:
        yield url
        console.state.live.stop()


@pytest.fixture
async def watcher(console_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that is logged in with a key of every scope, on a real port."""
    async with httpx.AsyncClient(base_url=console_url, trust_env=False, timeout=60) as browser:
        yield await log_in(browser, API_KEY)


@pytest.fixture
async def listed(bus_client: Client) -> None:
    """Answers the queries for lists with one call and one campaign, and more to come."""

    def answering(body: str) -> Callable[[Msg], object]:
        async def answer(message: Msg) -> None:
            await message.respond(body.encode())

        return answer

    calls, campaigns = CallList(calls=(CALL,), has_more=True), CampaignList(campaigns=(CAMPAIGN,), has_more=False)
    await bus_client.subscribe(CallListQuery.subject, cb=answering(calls.model_dump_json()))  # type: ignore[arg-type]
    await bus_client.subscribe(
        CampaignListQuery.subject,
        cb=answering(campaigns.model_dump_json()),  # type: ignore[arg-type]
    )


@pytest.fixture
async def counted(bus_client: Client) -> None:
    """Answers the query for the counters of a campaign."""

    async def answer(message: Msg) -> None:
        counters = CampaignStatistics(campaign_id="spring", total=4, completed=2, failed=1, average_duration_seconds=31)
        await message.respond(counters.model_dump_json().encode())

    await bus_client.subscribe(CampaignStatisticsQuery.subject, cb=answer)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def parsed(text: str) -> _Page:
    """Returns the tags and the words of a page."""
    page = _Page()
    page.feed(text)
    return page


def words(text: str) -> str:
    """Returns what a person reads, with single spaces."""
    return " ".join(" ".join(parsed(text).words).split())


def csrf_token(page: str) -> str:
    """Returns the token in the forms of a page."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found
    return found[1]
