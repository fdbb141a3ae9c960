"""The figures of the first page: what they show, what a key may not see, and what needs a person."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from tests.integration.console.conftest import log_in, parsed, words
from tests.integration.console.test_pages import HOSTILE, assert_safe
from tests.integration.edge.conftest import API_KEY

from centralita_console.figures import LIST_SIZE, Admission, FigureReader, stalled_in
from centralita_console.rest_client import RestClient

if TYPE_CHECKING:
    from tests.integration.console.conftest import AnsweredBy

STATE: dict[str, Any] = {
    "campaign_id": None,
    "at": "2026-11-29T12:00:00Z",
    "is_open": True,
    "live": 3,
    "max_live": 20,
    "waiting": 7,
    "waiting_closed": 4,
    "oldest_due_at": "2026-11-29T11:30:00Z",
    "dials_in_second": 1,
    "dials_in_minute": 41,
    "max_dials_per_second": 1.5,
    "max_calls_per_minute": None,
    "longest_waiting": [
        {"campaign_id": "stuck", "waiting": 2, "live": 0, "oldest_due_at": "2026-11-29T11:30:00Z"},
        {"campaign_id": "busy", "waiting": 1, "live": 3, "oldest_due_at": "2026-11-29T11:31:00Z"},
        {"campaign_id": "fresh", "waiting": 1, "live": 0, "oldest_due_at": "2026-11-29T11:55:01Z"},
    ],
}
PAUSED = {"campaign_id": "spring", "paused": True, "since": "2026-11-29T10:00:00Z", "reason": "a holiday"}
NO_CALLS: dict[str, Any] = {"calls": [], "next": None}
GROUPS = {"groups": [{"count": 2}, {"count": 1}], "other_count": 4, "next": None}
FINDING = {"area": "vendors", "check": "openai", "found": "the circuit breaker is open", "advice": "look at its status"}
HEALTH = {
    "findings": [
        {**FINDING, "result": "warning"},
        {**FINDING, "check": "ok", "result": "ok"},
        {**FINDING, "area": "NATS", "check": "dead letters", "result": "warning"},
        {**FINDING, "area": "NATS", "check": "stream CALLS", "result": "failed"},
        *({**FINDING, "check": f"other {n}", "result": "warning"} for n in range(4)),
    ]
}
Answers = dict[str, tuple[int, Any]]


def rest(asked: Counter[str], **changes: tuple[int, Any]) -> Callable[[httpx.Request], httpx.Response]:
    """Returns a REST API with these answers by the first part of the path."""
    answers: Answers = {
        "admission": (200, STATE),
        "campaigns": (200, {"campaigns": [PAUSED, {**PAUSED, "campaign_id": "open", "paused": False}], "next": None}),
        "dead-letters": (200, GROUPS),
        "calls": (200, NO_CALLS),
        "health": (200, HEALTH),
        "outcomes": (404, {}),
        **{name.replace("_", "-"): answer for name, answer in changes.items()},
    }

    def answer(request: httpx.Request) -> httpx.Response:
        name = request.url.path.removeprefix("/api/v1/").partition("/")[0]
        asked[name] += 1
        status, body = answers[name]
        return httpx.Response(status, json=body)

    return answer


def reader(
    answer: Callable[[httpx.Request], httpx.Response], campaign_id: str = "", *, is_live: bool = False
) -> FigureReader:
    http = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://edge")
    return FigureReader(RestClient(http, "a-key"), campaign_id, is_live=is_live)


async def test_the_first_page_shows_figures_with_their_limits_and_what_needs_attention(
    answered_by: "AnsweredBy",
) -> None:
    browser = await log_in(answered_by(rest(Counter())), API_KEY)
    text = (await browser.get("/")).text

    assert_safe(text)
    read = words(text)
    for shown in (
        "Calls in progress 3 / 20",
        "Dials in the last second 1 / 1.5",
        "Dials in the last minute 41 / 90",
        "Waiting 7 4 of them in closed campaigns",
        "Dead letters 7",
        "7 messages could not be processed.",
        "stuck makes no progress: 2 calls wait",
        "spring is paused since",
        ": a holiday",
    ):
        assert shown in read
    assert "fresh" not in read
    red = [one.get("id") for tag, one in parsed(text).tags if one.get("class") == "bad" and tag == "dd"]
    assert red == ["figure-dead-letters"]


async def test_a_paused_campaign_is_found_after_many_others_and_a_partial_count_says_so(
    answered_by: "AnsweredBy",
) -> None:
    others = [{**PAUSED, "campaign_id": f"a-{number}", "paused": False} for number in range(LIST_SIZE)]
    counted = {**GROUPS, "next": "/api/v1/dead-letters/groups?cursor=2000"}
    everything = rest(Counter(), dead_letters=(200, counted))

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/api/v1/campaigns" or request.url.params["limit"] == "1":
            return everything(request)
        is_second = "cursor" in request.url.params
        page = {"campaigns": [PAUSED], "next": None}
        first = {"campaigns": others, "next": "/api/v1/campaigns?cursor=a-99"}
        return httpx.Response(200, json=page if is_second else first)

    browser = await log_in(answered_by(answer), API_KEY)
    read = words((await browser.get("/")).text)

    assert "spring is paused since" in read
    assert "Dead letters 7+" in read
    assert "7+ messages could not be processed." in read


async def test_a_quiet_system_needs_nothing(answered_by: "AnsweredBy") -> None:
    quiet = {**STATE, "longest_waiting": [], "oldest_due_at": None, "max_live": None}
    answers: Answers = {
        "admission": (200, quiet),
        "campaigns": (200, {"campaigns": [], "next": None}),
        "dead_letters": (200, {"groups": [], "other_count": 0, "next": None}),
    }
    browser = await log_in(answered_by(rest(Counter(), **answers)), API_KEY)
    text = (await browser.get("/")).text

    assert "What needs attention Nothing." in words(text)
    assert 'class="bad"' not in text


@pytest.mark.parametrize("status", [403, 404, 503])
async def test_what_the_key_may_not_read_or_does_not_answer_is_left_out(answered_by: "AnsweredBy", status: int) -> None:
    refused = (status, {"type": "urn:centralita:problem:unavailable", "detail": "not read yet"})
    browser = await log_in(answered_by(rest(Counter(), admission=refused, dead_letters=refused)), API_KEY)
    answer = await browser.get("/")

    assert answer.status_code == 200
    assert "No figures of slots and dials: not read yet" in words(answer.text)
    assert words(answer.text).count("Dead letters") == 1  # the link to their page


async def test_a_key_that_may_not_read_dead_letters_does_not_ask_again() -> None:
    asked = Counter[str]()
    figures = reader(rest(asked, dead_letters=(403, {"detail": "scope"})))
    for _ in range(3):
        assert (await figures.read()).dead_letters is None

    assert asked["dead-letters"] == 1


async def test_what_changes_rarely_is_kept_from_the_reading_before() -> None:
    asked = Counter[str]()
    figures = reader(rest(asked))
    first = await figures.read()

    assert await figures.read(first) == first
    assert asked == {"admission": 2, "campaigns": 1, "dead-letters": 1}


async def test_a_campaign_has_figures_of_its_own() -> None:
    asked = Counter[str]()
    of_spring = {**STATE, "campaign_id": "spring", "live": 0, "max_calls_per_minute": 30.0, "longest_waiting": []}
    figures = await reader(rest(asked, admission=(200, of_spring), campaigns=(200, PAUSED)), "spring").read()

    assert figures.admission
    assert figures.admission.max_dials_per_minute == 30
    assert [one.campaign_id for one in figures.stalled] == ["spring"]
    assert [one.reason for one in figures.paused] == ["a holiday"]
    assert asked["dead-letters"] == 0, "they are of all campaigns"


def test_only_due_calls_without_progress_are_stalled() -> None:
    assert [one.campaign_id for one in stalled_in(STATE)] == ["stuck"]
    assert stalled_in({**STATE, "campaign_id": "spring", "live": 1}) == []
    assert stalled_in({**STATE, "campaign_id": "spring", "live": 0, "oldest_due_at": None}) == []
    assert Admission.of(STATE).oldest_due_at == STATE["oldest_due_at"]


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_texts_are_shown_as_text(answered_by: "AnsweredBy", text: str) -> None:
    paused = {"campaigns": [{**PAUSED, "reason": text}], "next": None}
    refused = (503, {"detail": text})
    browser = await log_in(answered_by(rest(Counter(), campaigns=(200, paused), admission=refused)), API_KEY)
    page = (await browser.get("/")).text

    assert_safe(page)
    assert "".join(parsed(page).words).count(text[:200]) >= 2


async def test_what_the_doctor_finds_needs_attention_failures_first_and_no_reading_waits_for_it() -> None:
    asked: Counter[str] = Counter()
    figures = reader(rest(asked), is_live=True)
    first = await figures.read()
    for _ in range(100):
        await asyncio.sleep(0)
    second = await figures.read(first)
    third = await figures.read(second)

    assert (first.problems, first.problem_count, asked["health"]) == ((), 0, 1)
    assert (second.problem_count, third.problem_count) == (6, 6)
    assert [(one.name, one.is_failed) for one in second.problems][:2] == [
        ("NATS: stream CALLS", True),
        ("vendors: openai", False),
    ]
    assert len(second.problems) == 5
    await figures.read()
    assert asked["health"] == 2


async def test_a_key_that_may_not_read_dead_letters_sees_the_finding_about_them() -> None:
    figures = reader(rest(Counter(), dead_letters=(403, {})), is_live=True)
    first = await figures.read()
    for _ in range(100):
        await asyncio.sleep(0)

    found = await figures.read(first)

    assert found.problem_count == 7
    assert "NATS: dead letters" in [one.name for one in found.problems]


@pytest.mark.parametrize(("status", "times"), [(403, 1), (503, 3)])
async def test_a_key_that_may_not_see_the_health_is_not_asked_for_it_again(status: int, times: int) -> None:
    asked: Counter[str] = Counter()
    figures = reader(rest(asked, health=(status, {})), is_live=True)
    for _ in range(3):
        found = await figures.read()
        for _ in range(100):
            await asyncio.sleep(0)

    assert (found.problems, asked["health"]) == ((), times)


async def test_a_failed_examination_keeps_what_the_one_before_found() -> None:
    asked: Counter[str] = Counter()
    answers = [rest(asked), rest(asked, health=(503, {})), rest(asked)]
    figures = reader(lambda request: answers[min(asked["health"], 2)](request), is_live=True)
    counts = []
    for _ in range(4):
        counts.append((await figures.read()).problem_count)
        for _ in range(100):
            await asyncio.sleep(0)

    assert (counts, asked["health"]) == ([0, 6, 6, 6], 4)


async def test_one_page_and_a_page_of_one_campaign_do_not_examine_the_installation() -> None:
    asked: Counter[str] = Counter()
    await reader(rest(asked)).read()
    await reader(rest(asked, campaigns=(200, PAUSED)), "spring", is_live=True).read()
    await asyncio.sleep(0)

    assert asked["health"] == 0
