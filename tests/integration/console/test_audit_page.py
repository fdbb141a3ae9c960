"""The audit log in the console: who did what to whom, the newest first, filtered."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qs
from uuid import UUID

import httpx
import pytest
from tests.integration.console.conftest import csrf_token, log_in, parsed, words
from tests.integration.console.test_pages import HOSTILE, assert_safe
from tests.integration.edge.conftest import secret_of

from contracts import Call
from contracts.audit import Stage
from edge.entrypoints.audit import AuditEntryResource

if TYPE_CHECKING:
    from tests.integration.console.conftest import AnsweredBy, OpenConsole


@pytest.mark.usefixtures("listed", "counted", "orchestrator")
async def test_acts_of_the_real_system_are_listed_the_newest_first(browser: httpx.AsyncClient, waiting: Call) -> None:
    page = (await browser.get(f"/calls/{waiting.call_id}")).text
    await browser.post(f"/calls/{waiting.call_id}/number", data={"csrf_token": csrf_token(page)})
    await browser.post(
        "/campaigns/spring/pause", data={"csrf_token": csrf_token(page), "reason": "the calendar is wrong"}
    )

    whole = (await browser.get("/audit")).text
    of_call = words((await browser.get(f"/audit?call_id={waiting.call_id}&key_name=good")).text)
    reads = words((await browser.get("/audit?act=call.read_number")).text)
    nothing = words((await browser.get("/audit?key_name=nobody")).text)

    assert_safe(whole)
    acts = [words(text) for text in whole.split("<tr")[2:]]
    assert "campaign.pause accepted spring" in acts[0]
    assert "call.read_events accepted" in acts[-1]
    assert 'href="/campaigns/spring"' in whole
    assert f'href="/calls/{waiting.call_id}"' in whole
    assert "the calendar is wrong" in words(whole)
    assert "campaign.pause" not in of_call
    assert "call.read_number" in of_call
    assert "call.read_events" not in reads
    assert "No entries match." in nothing


async def test_filters_and_pages_are_those_of_the_rest_api(answered_by: "AnsweredBy") -> None:
    asked: list[dict[str, list[str]]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/audit"):
            asked.append(parse_qs(request.url.query.decode()))
            return httpx.Response(200, json={"entries": [], "next": "/api/v1/audit?newest=true&before=7"})
        return httpx.Response(200, json={"campaigns": [], "next": None})

    browser = await log_in(answered_by(answer), secret_of("good"))
    page = await browser.get("/audit?key_name=+desk+&since=2026-11-20T10:00&until=2026-11-21T10:00&act=call")

    expected = {"key_name": ["desk"], "act": ["call"], "newest": ["true"], "limit": ["100"]}
    assert asked == [{**expected, "since": ["2026-11-20T10:00Z"], "until": ["2026-11-21T10:00Z"]}]
    assert "older ones may" in words(page.text)
    [older] = [one["href"] for tag, one in parsed(page.text).tags if one.get("rel") == "next" and tag == "a"]
    assert older is not None
    await browser.get(older)
    assert (asked[-1]["before"], asked[-1]["key_name"]) == (["7"], ["desk"])


async def test_wrong_keys_are_shown_with_their_addresses(answered_by: "AnsweredBy") -> None:
    entry = AuditEntryResource(
        sequence=1,
        act_id="a",
        act="key.use",
        target="wrong-keys",
        key_name="unknown",
        recorded_at=datetime(2026, 11, 29, tzinfo=UTC),
        stage=Stage.REFUSED,
        addresses={"198.51.100.7": 5, "others": 2},
        count=7,
    )

    def answer(request: httpx.Request) -> httpx.Response:
        kind = "entries" if request.url.path.endswith("/audit") else "campaigns"
        entries = [entry.model_dump(mode="json")] if kind == "entries" else []
        return httpx.Response(200, json={kind: entries, "next": None})

    browser = await log_in(answered_by(answer), secret_of("good"))
    page = words((await browser.get("/audit")).text)
    assert "198.51.100.7 × 5" in page
    assert "others × 2" in page


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize(
    "query",
    [
        "act=x+y",
        "call_id=1",
        "campaign_id=a+b",
        "since=yesterday",
        "before=-1",
        f"call_id={UUID(int=1)}&campaign_id=spring",
    ],
)
async def test_a_wrong_filter_is_named_and_the_form_stays(browser: httpx.AsyncClient, query: str) -> None:
    answer = await browser.get(f"/audit?{query}")
    assert answer.status_code == 422
    assert query.partition("=")[0] in words(answer.text)
    assert 'class="filters"' in answer.text


@pytest.mark.usefixtures("listed")
async def test_a_key_without_the_scope_reads_what_it_needs(open_console: "OpenConsole") -> None:
    reader = await log_in(open_console(), secret_of("reader"))
    for path in ("/audit", "/dead-letters"):
        answer = await reader.get(path)
        assert answer.status_code == 403
        assert "admin" in words(answer.text)
        assert f'href="{path}"' in answer.text


@pytest.mark.parametrize("text", HOSTILE, ids=["image", "script", "svg", "rtl", "template", "long"])
async def test_hostile_texts_are_shown_as_text(answered_by: "AnsweredBy", text: str) -> None:
    nothing = {
        "before": None,
        "after": {text: text},
        "request": None,
        "address": text,
        "count": 3,
        "addresses": {text: 3},
    }
    entry = {"act": f"key.{text}", "target": text, "key_name": text, "recorded_at": "2026-11-29T10:00:00Z"}
    entry |= {"stage": "refused", "fields": [text], "reasons": [text], "sequence": 1, **nothing}  # type: ignore[dict-item]

    def answer(request: httpx.Request) -> httpx.Response:
        kind = "entries" if request.url.path.endswith("/audit") else "campaigns"
        return httpx.Response(200, json={kind: [entry] if kind == "entries" else [], "next": None})

    browser = await log_in(answered_by(answer), secret_of("good"))
    page = (await browser.get("/audit", params={"key_name": text[:400]})).text
    assert_safe(page)
    assert " ".join(text[:200].split()) in words(page)
