"""Outcomes over time, the funnel and the reasons on the pages Now and Campaign, before the real edge."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from tests.integration.console.conftest import parsed, words
from tests.integration.console.test_pages import HOSTILE, assert_safe

import centralita_console
from centralita_console.outcomes import SERIES, STAGES, ShownOutcomes
from centralita_console.rendering import environment
from contracts import Outcomes, OutcomesQuery
from contracts.outcomes import EndReason, Funnel, Interval, OutcomePoint

NOW = datetime.now(UTC).replace(microsecond=0)
ANSWER = Outcomes(
    funnel=Funnel(requested=8, dialled=6, rang=4, answered=3, person=2, goal=1),
    reasons={EndReason.DECLINED: 2, EndReason.FAX: 1},
    undialled_attempts=3,
    points=tuple(OutcomePoint(at=NOW - timedelta(hours=n), attempts=3, completed=2, busy=1) for n in (3, 2, 1)),
)
PAGES = ["/campaigns/spring", "/"]
PARTS = ["/campaigns/spring/outcomes", "/now/outcomes"]
Asked = list[dict[str, Any]]
Answering = Callable[[Outcomes], None]


@pytest.fixture
def answers() -> list[Outcomes]:
    """What campaign-stats answers: each once, the last one from then on."""
    return [ANSWER]


@pytest.fixture
async def asked(bus_client: Client, answers: list[Outcomes], listed: None, counted: None) -> Asked:
    """Answers the query; returns the queries as they arrive."""
    queries: Asked = []

    async def answer(message: Msg) -> None:
        queries.append(json.loads(message.data))
        await message.respond((answers.pop(0) if len(answers) > 1 else answers[0]).model_dump_json().encode())

    await bus_client.subscribe(OutcomesQuery.subject, cb=answer)
    return queries


def tags(text: str, name: str) -> list[dict[str, str | None]]:
    return [attributes for tag, attributes in parsed(text).tags if tag == name]


@pytest.mark.parametrize(("page", "interval"), [(PAGES[0], "1h"), (PAGES[1], "5m")])
async def test_a_page_has_a_chart_and_a_table_with_its_numbers(
    browser: httpx.AsyncClient, asked: Asked, page: str, interval: str
) -> None:
    text = (await browser.get(page)).text
    assert_safe(text)
    [chart] = [one for one in tags(text, "div") if one.get("id") == "chart"]
    assert chart["data-step"] == str(Interval(interval).length.seconds)
    assert (chart["role"], bool(chart["aria-label"])) == ("img", True)
    rows = [one["data-at"] for one in tags(text, "tr") if "data-at" in one]
    assert rows == [str(int(point.at.timestamp())) for point in ANSWER.points]
    assert "2 0 0 1 0 0 0 3 0" in words(text), "the counts of a row, in the order of its columns"
    assert [one["data-series"] for one in tags(text, "th") if "data-series" in one] == list(SERIES)
    assert [one["src"] for one in tags(text, "script") if "chart" in (one["src"] or "")]
    assert not [one for one in tags(text, "script") if "uPlot" in (one["src"] or "")], "it is loaded afterwards"
    assert [one["interval"] for one in asked] == [interval]


@pytest.mark.parametrize("page", [*PAGES, *PARTS])
async def test_the_address_names_the_interval(browser: httpx.AsyncClient, asked: Asked, page: str) -> None:
    text = (await browser.get(page, params={"interval": "1d"})).text
    assert [one["interval"] for one in asked] == ["1d"]
    current = [one["href"] for one in tags(text, "a") if one.get("aria-current") == "true"]
    of_page = dict(zip(PARTS, PAGES, strict=True)).get(page, page)
    assert current == [f"{of_page}?interval=1d"]
    assert f'data-part="{dict(zip(PAGES, PARTS, strict=True)).get(page, page)}?interval=1d"' in text


@pytest.mark.parametrize("page", [*PAGES, *PARTS])
@pytest.mark.parametrize("interval", ["1s", '"><img src=x onerror=alert(1)>'])
async def test_an_unknown_interval_is_as_none_and_is_not_repeated(
    browser: httpx.AsyncClient, asked: Asked, page: str, interval: str
) -> None:
    answer = await browser.get(page, params={"interval": interval[:10]})
    assert answer.status_code == 200
    assert asked[0]["interval"] in ("1h", "5m")
    assert interval[:10] not in answer.text
    assert (await browser.get(page, params={"interval": "x" * 11})).status_code == 422


async def test_the_first_page_of_a_campaign_asks_for_its_outcomes(browser: httpx.AsyncClient, asked: Asked) -> None:
    text = (await browser.get("/", params={"campaign_id": "spring"})).text
    assert [one["campaign_id"] for one in asked] == ["spring"]
    assert 'data-part="/now/outcomes?campaign_id=spring"' in text
    assert 'href="/?campaign_id=spring&amp;interval=1h"' in text


async def test_few_outcomes_are_shown_by_minutes(
    browser: httpx.AsyncClient, asked: Asked, answers: list[Outcomes]
) -> None:
    answers[:] = [ANSWER.model_copy(update={"points": ANSWER.points[:1]}), ANSWER]
    text = (await browser.get(PAGES[0])).text
    assert [one["interval"] for one in asked] == ["1h", "1m"]
    assert 'data-step="60"' in text


async def test_the_funnel_shows_each_stage_with_its_share(browser: httpx.AsyncClient, asked: Asked) -> None:
    text = (await browser.get(PAGES[0])).text
    bars = [(one["x"], one["width"]) for one in tags(text, "rect") if one["class"] == "fill-stage"]
    assert len(bars) == len(STAGES)
    assert bars[:3] == [("0.0", "100.0"), ("12.5", "75.0"), ("25.0", "50.0")]
    shown = (
        "requested 8 100 % dialled 6 75 % rang 4 50 % answered 3 38 % reached a person 2 25 % reached the goal 1 12 %"
    )
    assert shown in words(text)


async def test_only_a_reason_whose_calls_a_list_has_exactly_is_a_link(browser: httpx.AsyncClient, asked: Asked) -> None:
    text = (await browser.get(PAGES[0])).text
    assert "declined 2 a fax machine answered 1 attempts that did not reach the network 3" in words(text)
    links = [one["href"] for one in tags(text, "a") if "disposition" in (one.get("href") or "")]
    assert links == ["/calls?campaign_id=spring&status=completed&disposition=declined"]


def test_every_reason_has_a_text() -> None:
    template = (Path(centralita_console.__file__).parent / "templates/parts/reasons.html").read_text()
    assert [reason for reason in EndReason if f"'{reason}': _('" not in template] == []


@pytest.mark.parametrize("page", PAGES)
async def test_without_outcomes_a_page_says_what_to_type(
    browser: httpx.AsyncClient, asked: Asked, answers: list[Outcomes], page: str
) -> None:
    answers[0] = Outcomes()
    text = (await browser.get(page)).text
    assert "Nothing was dialled from" in words(text)
    assert "centralita call +12125550123" in words(text)
    assert not [one for one in tags(text, "div") if one.get("id") == "chart"]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.usefixtures("listed", "counted")
async def test_if_campaign_stats_does_not_answer_the_rest_of_the_page_is_shown(
    browser: httpx.AsyncClient, page: str
) -> None:
    answer = await browser.get(page)
    assert answer.status_code == 200
    assert "The REST API has no outcomes. Look with: centralita doctor" in words(answer.text)


@pytest.mark.parametrize("part", PARTS)
async def test_a_part_needs_a_session(anyone: httpx.AsyncClient, asked: Asked, part: str) -> None:
    answer = await anyone.get(part, headers={"HX-Request": "true"})
    assert (answer.status_code, asked) == (401, [])


async def test_an_impossible_campaign_has_no_part(browser: httpx.AsyncClient, asked: Asked) -> None:
    for campaign in ("*", "%3Cimg%20src=x%3E", "x" * 101):
        assert (await browser.get(f"/campaigns/{campaign}/outcomes")).status_code == 404
    assert asked == []


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_words_of_a_rest_api_stay_text(hostile: str) -> None:
    """A newer REST API may have reasons that this console does not know."""
    reason = {"reason": hostile, "calls": 1, "status": hostile, "disposition": None, "list": "/api/v1/calls"}
    shown = ShownOutcomes.of(
        {
            "campaign_id": hostile,
            "interval": "5m",
            "since": NOW.isoformat(),
            "until": NOW.isoformat(),
            "points": [],
            "funnel": ANSWER.funnel.model_dump(),
            "reasons": [reason],
            "undialled_attempts": 0,
        }
    )
    text = str(environment("en").get_template("parts/reasons.html").module.reasons(shown))  # type: ignore[attr-defined]
    assert_safe(text)
    assert [tag for tag, _ in parsed(text).tags if tag in ("img", "script", "svg")] == []
    assert shown.reasons[0].name == hostile
