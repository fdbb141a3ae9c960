"""Acts on calls before the real edge: confirmation, report per call, refusals, and one act for each form."""

import re
from collections import Counter
from typing import TYPE_CHECKING
from uuid import UUID

import httpx
import pytest
from tests.integration.console.conftest import csrf_token, log_in, parsed, words
from tests.integration.console.test_pages import HOSTILE, assert_safe
from tests.integration.edge.conftest import API_KEY, LIMITED, Orchestrator, secret_of
from tests.integration.edge.test_lists import CALL

from centralita_console import rest_client
from centralita_console.act_reports import MAX_REPORTS, Report, Reports
from centralita_console.pages.call_acts import MAX_CALLS
from contracts import Call, CallRequested, CallStatus, call_id_of

if TYPE_CHECKING:
    from tests.integration.console.conftest import AnsweredBy, OpenConsole

pytestmark = pytest.mark.usefixtures("listed")


@pytest.fixture
async def calls_of_spring(orchestrator: Orchestrator, body: dict[str, object]) -> list[UUID]:
    """Three waiting calls."""
    for number in range(3):
        await orchestrator.decide(CallRequested.model_validate({**body, "request_id": f"r-{number}"}))
    return [call_id_of(f"r-{number}") for number in range(3)]


def asking(*call_ids: object) -> str:
    return "?" + "&".join(f"call={one}" for one in call_ids)


async def confirmed(browser: httpx.AsyncClient, act: str, *call_ids: object) -> httpx.Response:
    """Sends the form of the page that asks."""
    page = (await browser.get(f"/calls/{act}{asking(*call_ids)}")).text
    return await browser.post(f"/calls/{act}", data=fields_of(page))


def fields_of(page: str) -> dict[str, str]:
    names = ("csrf_token", "report_id", "calls")
    found = {name: re.search(rf'name="{name}" value="([^"]*)"', page) for name in names}
    return {name: one[1] for name, one in found.items() if one}


async def audited(edge: httpx.AsyncClient) -> Counter[tuple[str, str]]:
    answer = await edge.get("/api/v1/audit", headers={"X-API-Key": API_KEY})
    return Counter((entry["act"], entry["stage"]) for entry in answer.json()["entries"])


async def test_a_waiting_call_is_canceled_after_a_confirmation(
    browser: httpx.AsyncClient, orchestrator: Orchestrator, waiting: Call
) -> None:
    page = (await browser.get(f"/calls/{waiting.call_id}")).text
    [link] = [one["href"] for tag, one in parsed(page).tags if "/calls/cancel" in (one.get("href") or "")]
    asked = (await browser.get(link or "")).text

    assert_safe(asked)
    assert "contact-1" in words(asked)
    assert (await orchestrator.call(waiting.call_id)).status is CallStatus.PENDING
    answer = await browser.post("/calls/cancel", data=fields_of(asked))
    assert answer.status_code == 303
    report = (await browser.get(answer.headers["location"])).text
    assert_safe(report)
    assert "1 of 1 calls accepted it. " in words(report)
    assert "accepted canceled" in words(report)
    assert (await orchestrator.call(waiting.call_id)).status is CallStatus.CANCELED


@pytest.mark.parametrize(
    ("status", "acts"),
    [
        (CallStatus.PENDING, {"cancel", "initiate"}),
        (CallStatus.RINGING, {"cancel"}),
        (CallStatus.IN_PROGRESS, {"cancel"}),
        (CallStatus.BUSY, {"retry"}),
        (CallStatus.EXPIRED, {"retry"}),
        (CallStatus.COMPLETED, set()),
        (CallStatus.CANCELED, set()),
    ],
)
async def test_a_call_offers_the_acts_that_its_status_permits(
    browser: httpx.AsyncClient, orchestrator: Orchestrator, waiting: Call, status: CallStatus, acts: set[str]
) -> None:
    await orchestrator.move(waiting.call_id, status=status, attempt=1)
    page = (await browser.get(f"/calls/{waiting.call_id}")).text

    offered = re.findall(rf'href="/calls/([a-z]+)\?call={waiting.call_id}"', page)
    assert set(offered) == acts
    for act in ("cancel", "retry", "initiate"):
        asked = await browser.get(f"/calls/{act}{asking(waiting.call_id)}")
        assert ('name="report_id"' in asked.text) == (act in acts), act
    assert "/calls/cancel" not in (await browser.get(f"/calls/{waiting.call_id}?at=1")).text


async def test_a_selection_is_acted_on_once_and_each_call_is_audited(
    browser: httpx.AsyncClient, edge: httpx.AsyncClient, orchestrator: Orchestrator, calls_of_spring: list[UUID]
) -> None:
    page = (await browser.get(f"/calls/cancel{asking(*calls_of_spring)}")).text
    first = await browser.post("/calls/cancel", data=fields_of(page))
    again = await browser.post("/calls/cancel", data=fields_of(page))

    assert (first.status_code, again.status_code) == (303, 303)
    assert first.headers["location"] == again.headers["location"]
    report = words((await browser.get(first.headers["location"])).text)
    assert "3 of 3 calls accepted it." in report
    assert all(str(one) in report for one in calls_of_spring)
    assert len(orchestrator.asked) == 3
    assert (await audited(edge))["call.cancel", "asked"] == 3


async def test_a_refusal_has_the_reason_of_the_rest_api_and_others_are_accepted(
    browser: httpx.AsyncClient, orchestrator: Orchestrator, calls_of_spring: list[UUID], edge: httpx.AsyncClient
) -> None:
    for one in calls_of_spring[:2]:
        await orchestrator.move(one, status=CallStatus.BUSY, attempt=1)
    orchestrator.refusal = ("max_retries: dialled 4 times, max_retries is 3",)
    answer = await confirmed(browser, "retry", *calls_of_spring)
    report = words((await browser.get(answer.headers["location"])).text)

    assert "0 of 2 calls accepted it." in report  # the third one waits, so the form has left it out
    assert report.count("dialled 4 times, max_retries is 3") == 2
    assert (await audited(edge))["call.retry", "refused"] == 2


async def test_a_key_that_may_only_read_is_refused_for_each_call(
    open_console: "OpenConsole", waiting: Call, orchestrator: Orchestrator
) -> None:
    reader = await log_in(open_console(), secret_of("reader"))
    answer = await confirmed(reader, "cancel", waiting.call_id)

    assert "scope" in words((await reader.get(answer.headers["location"])).text)
    assert orchestrator.asked == []


async def test_a_key_of_other_campaigns_learns_nothing_about_a_call(
    open_console: "OpenConsole", orchestrator: Orchestrator, body: dict[str, object]
) -> None:
    await orchestrator.decide(CallRequested.model_validate({**body, "campaign_id": "secret", "request_id": "s"}))
    limited = await log_in(open_console(), secret_of(LIMITED))
    page = (await limited.get(f"/calls/cancel{asking(call_id_of('s'))}")).text

    assert "secret" not in words(page)
    assert 'name="report_id"' not in page


async def test_an_act_without_an_answer_is_reported_as_unknown(answered_by: "AnsweredBy") -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            raise httpx.ReadTimeout("no answer")
        call = {"id": str(CALL.call_id), "status": "pending", "contact_id": "c", "campaign_id": "spring", "attempts": 0}
        return httpx.Response(200, json=call if "/calls/" in request.url.path else {"campaigns": [], "next": None})

    browser = await log_in(answered_by(answer), API_KEY)
    sent = await confirmed(browser, "cancel", CALL.call_id)

    report = words((await browser.get(sent.headers["location"])).text)
    assert "unknown ReadTimeout It may have happened" in report


async def test_the_report_has_what_was_done_before_the_key_was_revoked(answered_by: "AnsweredBy") -> None:
    posted: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        call = {
            "id": path.rpartition("/")[2],
            "status": "pending",
            "contact_id": "c",
            "campaign_id": "spring",
            "attempts": 0,
        }
        if request.method == "POST":
            posted.append(path)
            return (
                httpx.Response(401, json={}) if len(posted) == 2 else httpx.Response(200, json={"status": "canceled"})
            )
        return httpx.Response(200, json=call if "/calls/" in path else {"campaigns": [], "next": None})

    browser = await log_in(answered_by(answer), API_KEY)
    sent = await confirmed(browser, "cancel", *(UUID(int=number) for number in range(1, 4)))

    report = words((await browser.get(sent.headers["location"])).text)
    assert "2 of 3 calls accepted it." in report
    assert "refused" in report


async def test_a_call_that_is_named_twice_is_shown_once(browser: httpx.AsyncClient, waiting: Call) -> None:
    asked = (await browser.get(f"/calls/cancel{asking(waiting.call_id, str(waiting.call_id).upper())}")).text

    assert fields_of(asked)["calls"] == str(waiting.call_id)


async def test_what_exceeds_the_rate_limit_of_the_key_is_sent_again(
    answered_by: "AnsweredBy", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest_client, "MAX_WAIT_SECONDS", 0.01)
    sent: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        call = {"id": str(CALL.call_id), "status": "pending", "contact_id": "c", "campaign_id": "spring", "attempts": 0}
        if request.method == "POST":
            sent.append(request.url.path)
            if len(sent) < 3:
                problem = {"type": "urn:centralita:problem:too-many-requests", "detail": "slow down"}
                return httpx.Response(429, json=problem, headers={"Retry-After": "1"})
            return httpx.Response(202, json={**call, "status": "canceled"})
        return httpx.Response(200, json=call if "/calls/" in request.url.path else {"campaigns": [], "next": None})

    browser = await log_in(answered_by(answer), API_KEY)
    answered = await confirmed(browser, "cancel", CALL.call_id)

    assert len(sent) == 3
    assert "1 of 1 calls accepted it." in words((await browser.get(answered.headers["location"])).text)


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_texts_are_shown_as_text(answered_by: "AnsweredBy", text: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(409, json={"type": "urn:centralita:problem:refused", "detail": text})
        call = {"id": str(CALL.call_id), "status": "busy", "contact_id": text, "campaign_id": "spring", "attempts": 1}
        return httpx.Response(200, json=call if "/calls/" in request.url.path else {"campaigns": [], "next": None})

    browser = await log_in(answered_by(answer), API_KEY)
    asked = (await browser.get(f"/calls/retry{asking(CALL.call_id)}")).text
    sent = await browser.post("/calls/retry", data=fields_of(asked))
    for page in (asked, (await browser.get(sent.headers["location"])).text):
        assert_safe(page)
        assert text[:200] in "".join(parsed(page).words)


@pytest.mark.parametrize("act", ["cancel", "retry", "initiate"])
async def test_a_link_and_a_foreign_form_do_not_act(
    browser: httpx.AsyncClient, waiting: Call, orchestrator: Orchestrator, act: str
) -> None:
    asked = await browser.get(f"/calls/{act}{asking(waiting.call_id)}")
    assert asked.status_code == 200
    form = {"calls": str(waiting.call_id), "report_id": "x" * 32}
    assert (await browser.post(f"/calls/{act}", data=form)).status_code == 403
    assert orchestrator.asked == []


MANY = asking(*(UUID(int=number) for number in range(MAX_CALLS + 1)))


@pytest.mark.parametrize("query", ["", "?call=", "?call=x", MANY], ids=["none", "empty", "wrong", "many"])
async def test_an_impossible_selection_is_refused_before_a_request(browser: httpx.AsyncClient, query: str) -> None:
    answer = await browser.get(f"/calls/cancel{query}")

    assert answer.status_code == 422
    assert 'name="report_id"' not in answer.text


@pytest.mark.parametrize(
    "fields",
    [{"calls": ""}, {"calls": "x"}, {"report_id": "x"}, {"report_id": "../" * 10}, {"calls": f"{UUID(int=1)} x"}],
)
async def test_a_form_that_no_page_has_made_does_nothing(
    browser: httpx.AsyncClient, waiting: Call, orchestrator: Orchestrator, fields: dict[str, str]
) -> None:
    token = csrf_token((await browser.get("/calls")).text)
    form = {"csrf_token": token, "calls": str(waiting.call_id), "report_id": "x" * 32, **fields}

    assert (await browser.post("/calls/cancel", data=form)).status_code == 422
    assert orchestrator.asked == []


async def test_another_act_and_an_unknown_report_are_not_found(browser: httpx.AsyncClient) -> None:
    assert (await browser.get("/calls/delete")).status_code == 404
    assert (await browser.get(f"/calls/acts/{'x' * 32}")).status_code == 404


async def test_the_list_lets_calls_be_selected(browser: httpx.AsyncClient) -> None:
    page = (await browser.get("/calls?campaign_id=spring")).text

    boxes = [one["value"] for tag, one in parsed(page).tags if tag == "input" and one.get("name") == "call"]
    assert boxes == [str(CALL.call_id)]
    assert 'formaction="/calls/retry"' in page


def test_a_session_keeps_few_reports_and_a_form_counts_once() -> None:
    reports = Reports()
    assert all(reports.begin(str(number), Report("cancel", 1)) for number in range(MAX_REPORTS + 1))

    assert not reports.begin(str(MAX_REPORTS), Report("cancel", 1))
    assert reports.find("0") is None
