"""The page of the installation's health: the findings with what to do, and who may see it."""

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from tests.integration.console.conftest import log_in, words
from tests.integration.console.test_pages import HOSTILE, assert_safe
from tests.integration.edge.conftest import LIMITED, secret_of

from centralita_console.pages.health import size_of
from centralita_console.responses import CONTENT_SECURITY_POLICY

if TYPE_CHECKING:
    from tests.integration.console.conftest import AnsweredBy, OpenConsole

pytestmark = pytest.mark.usefixtures("listed")


async def test_findings_are_shown_with_what_to_do_and_the_state_of_the_bus(browser: httpx.AsyncClient) -> None:
    text = (await browser.get("/health")).text

    assert_safe(text)
    assert (await browser.get("/health")).headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    shown = words(text)
    assert "no process answers → start voice" in shown
    assert "orchestrator-requests" in shown
    assert "Run again" in shown
    assert shown.index("warning") < shown.index("stream CALLS")


@pytest.mark.parametrize("is_well", [True, False])
async def test_checks_that_are_ok_are_folded_after_what_needs_attention(
    answered_by: "AnsweredBy", is_well: bool
) -> None:
    results = ["ok", "ok"] if is_well else ["ok", "skipped", "failed", "ok", "odd", "warning"]
    finding = {"area": "bus", "found": "found", "advice": "advice"}
    body: dict[str, Any] = {
        "examined_at": "2026-11-29T12:00:00Z",
        "findings": [{**finding, "check": f"check {number}", "result": one} for number, one in enumerate(results)],
        "streams": [],
        "consumers": [],
        "services": [],
    }

    def answer(request: httpx.Request) -> httpx.Response:
        is_health = request.url.path.endswith("/health")
        return httpx.Response(200, json=body if is_health else {"campaigns": [], "next": None})

    browser = await log_in(answered_by(answer), secret_of("good"))
    page = (await browser.get("/health")).text

    opened, folded = page.split("<details>")[0], page.split("<details>")[1].split("</details>")[0]
    assert "<summary>Checks that are ok: 2</summary>" in folded
    assert [name in folded for name in ("check 0", "check 1", "check 3")] == [True, is_well, not is_well]
    shown = words(opened)
    assert ("Nothing needs attention." in shown) is is_well
    if not is_well:
        places = [shown.index(f"bus: check {number}") for number in (2, 5, 1, 4)]
        assert places == sorted(places)


async def test_a_key_of_some_campaigns_is_told_that_it_may_not(open_console: "OpenConsole") -> None:
    browser = await log_in(open_console(), secret_of(LIMITED))

    for path in ("/health", "/health?campaign_id=spring"):
        answer = await browser.get(path)
        assert answer.status_code == 403
        assert "limited to the campaigns" in words(answer.text)


async def test_without_a_rest_api_the_page_says_which_setting_is_missing_and_what_to_type(
    answered_by: "AnsweredBy",
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/health"):
            raise httpx.ConnectError("refused")
        return httpx.Response(200, json={"campaigns": [], "next": None})

    browser = await log_in(answered_by(answer), secret_of("good"))
    page = await browser.get("/health")

    assert page.status_code == 502
    assert "API_URL" in words(page.text)
    assert "centralita doctor" in words(page.text)


@pytest.mark.parametrize("text", HOSTILE, ids=["image", "script", "svg", "rtl", "template", "long"])
async def test_hostile_words_are_shown_as_text(answered_by: "AnsweredBy", text: str) -> None:
    finding = {"area": text, "check": text, "result": text, "found": text, "advice": text}
    stream = {"messages": 1, "bytes": 10, "max_bytes": 20, "replicas": 1, "current_replicas": 1}
    counts: dict[str, object] = {"pending": 1, "unacknowledged": 1, "redelivered": 1, "is_subscribed": False}
    counts["unacknowledged_since"] = "2026-11-29T12:00:00Z"
    process = {"service": text, "instance": text, "version": text, "started_at": "2026-11-29T12:00:00Z"}
    body: dict[str, Any] = {
        "examined_at": "2026-11-29T12:00:00Z",
        "findings": [finding],
        "streams": [{**stream, "name": text, "leader": text}],
        "consumers": [{**counts, "name": text, "stream": text}],
        "services": [{**process, "breakers": {text: text}}, {**process, "breakers": {}}],
    }

    def answer(request: httpx.Request) -> httpx.Response:
        is_health = request.url.path.endswith("/health")
        return httpx.Response(200, json=body if is_health else {"campaigns": [], "next": None})

    browser = await log_in(answered_by(answer), secret_of("good"))
    page = (await browser.get("/health")).text

    assert_safe(page)
    assert " ".join(text[:200].split()) in words(page)
    assert "1 / 2" in words(page)
    assert "2 / 2" in words(page)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1_500, "1.5 kB"), (2 * 10**9, "2.0 GB"), (5 * 10**15, "5000.0 TB")],
)
def test_sizes_are_for_people(number: int, text: str) -> None:
    assert size_of(number) == text
