"""The pages before the real edge: what they show, and what every response has."""

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import uuid4

import httpx
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from tests.builders.turns import a_reply, an_utterance
from tests.integration.console.conftest import TOKEN, csrf_token, log_in, parsed, words
from tests.integration.edge.conftest import API_KEY, LIMITED, Orchestrator, secret_of
from tests.integration.edge.test_lists import CALL

from centralita_console.rendering import assets
from centralita_console.responses import CONTENT_SECURITY_POLICY
from chassis.event_log import EventLog
from contracts import Call, CallList, CallListQuery, CallRequested, CallStatus, DialPlaced, NumberCallsQuery, call_id_of

if TYPE_CHECKING:
    from tests.integration.console.conftest import AnsweredBy, OpenConsole

pytestmark = pytest.mark.usefixtures("listed")

RTL = "‮⁧"
HOSTILE = [
    '<img src=x onerror="alert(1)">',
    "</title><script>alert(1)</script>",
    "'\"><svg onload=alert(1)>",
    f"{RTL}evil",
    "{{ 7 * 7 }}{% raw %}",
    "w" * 20_000,
]


async def test_every_response_has_the_headers_of_the_policy(browser: httpx.AsyncClient, waiting: Call) -> None:
    paths = [
        "/",
        "/login",
        "/calls",
        "/campaigns",
        "/campaigns/spring",
        "/log",
        f"/calls/{waiting.call_id}",
        f"/calls/{waiting.call_id}/story",
    ]
    paths += [f"/calls/{waiting.call_id}/raw", f"/calls/{uuid4()}", "/nothing", "/calls?cursor=x", "/health/live"]
    paths += [path for _, path in assets().values()]

    for path in paths:
        answer = await browser.get(path)
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY, path
        assert answer.headers["x-content-type-options"] == "nosniff", path
        assert answer.headers["referrer-policy"] == "no-referrer", path
        expected = "public, max-age=31536000, immutable" if path.startswith("/static/") else "no-store"
        assert answer.headers["cache-control"] == expected, path


async def test_every_page_is_valid_for_the_policy_and_names_no_other_host(
    browser: httpx.AsyncClient, waiting: Call
) -> None:
    for path in ("/calls", f"/calls/{waiting.call_id}", f"/calls/{waiting.call_id}/raw", "/nothing"):
        text = (await browser.get(path)).text
        assert_safe(text)
        addresses = [value for _, attributes in parsed(text).tags for value in attributes.values() if value]
        assert [one for one in addresses if one.startswith(("http:", "https:", "//"))] == []


def assert_safe(page: str) -> None:
    """Checks that nothing in a page can run but the scripts of the console."""
    for tag, attributes in parsed(page).tags:
        assert tag in KNOWN_TAGS, tag
        assert not any(name.startswith(("on", "hx-on")) or name == "style" for name in attributes), (tag, attributes)
        assert tag != "script" or (attributes["src"] or "").startswith("/static/")


KNOWN_TAGS = {
    *("html", "head", "meta", "title", "link", "script", "body", "header", "nav", "main", "section", "dialog"),
    *("a", "form", "label", "input", "select", "option", "datalist", "button", "details", "summary"),
    *("h1", "h2", "h3", "p", "div", "span", "b", "i", "code", "pre", "kbd", "time", "ul", "ol", "li", "dl", "dt", "dd"),
    "small",
    *("bdi", "s", "table", "thead", "tbody", "tr", "th", "td", "svg", "rect", "progress", "noscript"),
    *("textarea", "fieldset", "legend"),
}


async def test_the_list_shows_calls_with_the_way_to_each_and_to_the_next_page(browser: httpx.AsyncClient) -> None:
    text = (await browser.get("/calls?campaign_id=spring&status=pending")).text

    page = parsed(text)
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert f"/calls/{CALL.call_id}" in links
    [older] = [link for link in links if link and "cursor=" in link]
    assert older.startswith("/calls?campaign_id=spring&status=pending&cursor=")
    assert (await browser.get(older)).status_code == 200
    assert "busy" in words(text)


async def test_filters_are_those_of_the_rest_api(browser: httpx.AsyncClient, bus_client: Client) -> None:
    asked: list[CallListQuery] = []

    async def note(message: Msg) -> None:
        asked.append(CallListQuery.model_validate_json(message.data))

    await bus_client.subscribe(CallListQuery.subject, cb=note)
    await browser.get(
        "/calls?campaign_id=+spring+&disposition=answered&status=completed&created_after=2026-11-20T10:00"
    )

    [query] = asked
    assert (query.campaign_id, query.disposition, query.status) == ("spring", "answered", "completed")
    assert query.created_after is not None
    assert query.created_after.isoformat() == "2026-11-20T10:00:00+00:00"


@pytest.mark.parametrize(
    "query",
    [
        *("status=wrong", "created_after=yesterday", "campaign_id=a+b", "cursor=x", "contact_id=" + "x" * 300),
        "status=busy&contact_id=c-1",
    ],
)
async def test_a_wrong_filter_is_named_and_the_form_stays(browser: httpx.AsyncClient, query: str) -> None:
    answer = await browser.get(f"/calls?{query}")

    assert answer.status_code == 422
    assert query.split("=")[0] in words(answer.text)
    assert 'class="filters"' in answer.text


async def test_a_key_of_some_campaigns_is_led_to_them(open_console: "OpenConsole") -> None:
    browser = await log_in(open_console(), secret_of(LIMITED))

    answer = await browser.get("/calls")

    assert answer.status_code == 422
    assert 'href="/calls?campaign_id=spring"' in answer.text
    assert (await browser.get("/calls?campaign_id=spring")).status_code == 200
    assert (await browser.get("/calls?campaign_id=winter")).status_code == 422


async def test_an_empty_list_says_what_fills_it(answered_by: "AnsweredBy") -> None:
    browser = answered_by(lambda _: httpx.Response(200, json={"calls": [], "campaigns": [], "next": None}))
    await log_in(browser, secret_of("good"))

    assert "centralita call" in words((await browser.get("/calls")).text)


async def spoken_call(orchestrator: Orchestrator, calls: EventLog, body: dict[str, object], text: str) -> Call:
    """Returns a call whose every text is hostile."""
    named = {**body, "request_id": "r-hostile", "contact_id": text[:200], "variables": {"name": text[:1_000]}}
    await orchestrator.decide(CallRequested.model_validate(named))
    call_id = call_id_of("r-hostile")
    await orchestrator.move(call_id, status=CallStatus.DIALING, attempt=1)
    await calls.append(DialPlaced(call_id=call_id, attempt=1, provider_call_id="CA1"))
    await orchestrator.move(call_id, status=CallStatus.IN_PROGRESS, attempt=1)
    await calls.append(an_utterance(call_id, 1, text, attempt=1))
    await calls.append(a_reply(call_id, 1, text, attempt=1, is_fallback=True))
    return await orchestrator.move(call_id, status=CallStatus.FAILED, attempt=1, reason=text[:400])


@pytest.mark.parametrize("text", HOSTILE, ids=["image", "script", "svg", "rtl", "template", "long"])
async def test_hostile_names_and_transcripts_are_shown_as_text(
    browser: httpx.AsyncClient,
    orchestrator: Orchestrator,
    calls: EventLog,
    body: dict[str, object],
    bus_client: Client,
    text: str,
) -> None:
    call = await spoken_call(orchestrator, calls, body, text)
    page = (await browser.get(f"/calls/{call.call_id}")).text

    assert_safe(page)
    assert " ".join(text[:200].split()) in words(page)
    assert len(page) < 200_000
    for path in (f"/calls/{call.call_id}/raw", f"/calls/{call.call_id}/story", f"/find?q={call.call_id}"):
        assert_safe((await browser.get(path)).text)


@pytest.mark.parametrize("text", HOSTILE[:5], ids=["image", "script", "svg", "rtl", "template"])
async def test_hostile_texts_in_lists_and_searches_are_shown_as_text(answered_by: "AnsweredBy", text: str) -> None:
    hostile = CALL.model_copy(update={"contact_id": text, "reason": text})

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/calls"):
            return httpx.Response(200, json=_page(hostile.model_dump(mode="json")))
        if request.url.path.endswith("/campaigns"):
            return httpx.Response(200, json={"campaigns": [{"campaign_id": text}], "next": None})
        return httpx.Response(404, json={"detail": text})

    browser = await log_in(answered_by(answer), secret_of("good"))

    for path, parameters in (("/calls", {"contact_id": text}), ("/find", {"q": text}), (f"/calls/{uuid4()}", {})):
        page = (await browser.get(path, params=parameters)).text
        assert_safe(page)
        assert text in "".join(parsed(page).words)


def _page(call: dict[str, Any]) -> dict[str, Any]:
    shown = {**call, "id": call["call_id"], "attempts": 1, "duration": None, "next_attempt_at": None}
    return {"calls": [shown], "next": None}


async def test_a_call_shows_its_state_its_decisions_and_what_was_said(
    browser: httpx.AsyncClient, orchestrator: Orchestrator, calls: EventLog, body: dict[str, object]
) -> None:
    call = await spoken_call(orchestrator, calls, body, "I cannot come")

    shown = words((await browser.get(f"/calls/{call.call_id}")).text)

    assert "failed I cannot come" in shown
    assert "Attempt 1" in shown
    assert "dial.placed" in shown
    assert "fallback" in shown
    assert f"centralita replay show {call.call_id} --at " in shown
    assert call.phone_number not in shown


async def test_a_call_is_shown_as_it_was_after_any_of_its_events(
    browser: httpx.AsyncClient, orchestrator: Orchestrator, calls: EventLog, body: dict[str, object]
) -> None:
    call = await spoken_call(orchestrator, calls, body, "I cannot come")
    page = (await browser.get(f"/calls/{call.call_id}")).text
    [story] = [attributes for _, attributes in parsed(page).tags if attributes.get("id") == "story"]
    first, second, *_, last = (story["data-sequences"] or "").split(",")

    earlier = (await browser.get(f"/calls/{call.call_id}", params={"at": second})).text
    part = (await browser.get(f"/calls/{call.call_id}/story", params={"at": first})).text

    assert f"State after event {second}" in words(earlier)
    assert "Nothing was said up to this event." in words(earlier)
    assert f'href="?at={first}"' in earlier
    assert f"State after event {first}" in words(part)
    assert "<html" not in part
    assert f"State after event {last}" in words(page)


async def test_the_events_of_a_call_are_shown_with_masked_numbers(browser: httpx.AsyncClient, waiting: Call) -> None:
    shown = words((await browser.get(f"/calls/{waiting.call_id}/raw")).text)

    assert "call.created" in shown
    assert waiting.phone_number not in shown
    assert f"{waiting.phone_number[:2]}•" in shown


async def test_a_number_is_shown_on_request_only_and_the_read_is_audited(
    browser: httpx.AsyncClient, edge: httpx.AsyncClient, waiting: Call
) -> None:
    page = (await browser.get(f"/calls/{waiting.call_id}")).text
    path, headers = f"/calls/{waiting.call_id}/number", {"X-API-Key": API_KEY}

    shown = await browser.post(path, data={"csrf_token": csrf_token(page)})

    assert waiting.phone_number not in page
    assert waiting.phone_number in words(shown.text)
    entries = (await edge.get(f"/api/v1/audit?call_id={waiting.call_id}", headers=headers)).json()["entries"]
    assert [(entry["key_name"], entry["act"]) for entry in entries] == [
        ("good", "call.read_events"),
        ("good", "call.read_number"),
    ]
    assert (await browser.get(path)).status_code == 405
    assert (await browser.post(path)).status_code == 403


@pytest.mark.parametrize("suffix", ["", "/story", "/raw", "?at=1"])
async def test_an_unknown_call_is_not_found_and_the_page_says_what_to_type(
    browser: httpx.AsyncClient, suffix: str
) -> None:
    answer = await browser.get(f"/calls/{uuid4()}{suffix}")

    assert answer.status_code == 404
    assert "centralita why" in words(answer.text)


@pytest.mark.parametrize("at", ["x", "-1", "1.5", "9" * 30])
async def test_a_wrong_sequence_is_named(browser: httpx.AsyncClient, waiting: Call, at: str) -> None:
    answer = await browser.get(f"/calls/{waiting.call_id}", params={"at": at})

    assert answer.status_code == 422
    assert "at:" in words(answer.text)


async def test_a_call_is_found_by_its_id_or_its_request_id(browser: httpx.AsyncClient, waiting: Call) -> None:
    for wanted in (str(waiting.call_id), f" {waiting.request_id} "):
        answer = await browser.get("/find", params={"q": wanted})
        assert (answer.status_code, answer.headers["location"]) == (303, f"/calls/{waiting.call_id}")


async def test_the_calls_of_a_number_are_found_without_the_number_in_an_address(
    browser: httpx.AsyncClient, edge: httpx.AsyncClient, bus_client: Client
) -> None:
    async def answer(message: Msg) -> None:
        await message.respond(CallList(calls=(CALL,), has_more=True).model_dump_json().encode())

    await bus_client.subscribe(NumberCallsQuery.subject, cb=answer)
    token = csrf_token((await browser.get("/calls")).text)

    found = await browser.post("/find", data={"csrf_token": token, "q": " +1 (212) 555-0123 "})

    assert found.status_code == 200
    assert_safe(found.text)
    assert f'href="/calls/{CALL.call_id}"' in found.text
    assert "+12125550123" not in found.text
    assert "Only the newest 1 are shown." in words(found.text)
    entries = (await edge.get("/api/v1/audit", headers={"X-API-Key": API_KEY})).json()["entries"]
    assert [entry["act"] for entry in entries] == ["number.search"]


async def test_the_parts_of_a_call_are_no_search(browser: httpx.AsyncClient, waiting: Call) -> None:
    for part in ("events", "story"):
        answer = await browser.get("/find", params={"q": f"{waiting.call_id}/{part}"})
        assert answer.status_code == 200, part


@pytest.mark.parametrize("text", ["212-555-0123", "0012125550123", "+1212555012345678", "(212) 555 0123"])
async def test_a_number_without_its_country_is_in_no_address_either(browser: httpx.AsyncClient, text: str) -> None:
    token = csrf_token((await browser.get("/calls")).text)

    answer = await browser.post("/find", data={"csrf_token": token, "q": text})

    assert answer.status_code == 422
    assert_safe(answer.text)
    assert "with + and the country, such as +12125550123" in words(answer.text)
    links = [one["href"] for tag, one in parsed(answer.text).tags if tag == "a"]
    assert f"/find?{urlencode({'q': text})}" in links  # the id of a contact may have the form of a number


@pytest.mark.parametrize("text", ["c-1", "+12", "contact 2125550123", "<b>", ""])
async def test_a_posted_text_that_is_no_number_has_an_address(browser: httpx.AsyncClient, text: str) -> None:
    token = csrf_token((await browser.get("/calls")).text)

    answer = await browser.post("/find", data={"csrf_token": token, "q": text})

    assert (answer.status_code, answer.headers["location"]) == (303, f"/find?{urlencode({'q': text})}")


async def test_a_search_for_a_number_needs_the_form(browser: httpx.AsyncClient) -> None:
    assert (await browser.post("/find", data={"q": "+12125550123"})).status_code == 403


async def test_another_text_is_searched_among_the_contacts(browser: httpx.AsyncClient) -> None:
    for wanted in ("c-1", "../campaigns", "a/b?c#d", "%2e%2e", f"{uuid4()}/events", "by-request/x"):
        answer = await browser.get("/find", params={"q": wanted})
        assert answer.status_code == 200, wanted
        [field] = [one for tag, one in parsed(answer.text).tags if one.get("id") == "contact_id"]
        assert field["value"] == wanted


async def test_without_the_rest_api_every_page_says_how_to_start_it(
    answered_by: "AnsweredBy",
) -> None:
    is_up = True

    def answer(request: httpx.Request) -> httpx.Response:
        if is_up:
            return httpx.Response(200, json={})
        raise httpx.ConnectError("refused")

    browser = await log_in(answered_by(answer), secret_of("good"))
    is_up = False

    for path in ("/calls", f"/calls/{uuid4()}", "/find?q=x"):
        shown = await browser.get(path)
        assert shown.status_code == 502
        assert "make up" in words(shown.text)
        assert "http://edge.internal:8000" in words(shown.text)


async def test_a_file_has_no_other_address(browser: httpx.AsyncClient) -> None:
    _, path = assets()["console.js"]

    assert (await browser.get(path)).headers["content-type"].startswith("text/javascript")
    for wrong in ("/static/0/console.js", path.replace("console.js", "vendor.lock"), "/static/0/..%2f..%2fapp.py"):
        assert (await browser.get(wrong)).status_code == 404


def test_the_first_paint_is_small(browser: httpx.AsyncClient) -> None:
    names = ("console.css", "console.js", "htmx.js", "hx-sse.js", "icon.svg")

    assert sum(assets()[name][0].stat().st_size for name in names) <= 70_000


@pytest.mark.parametrize("status", [404, 409, 422, 429, 500, 503])
async def test_an_error_of_a_part_is_sentences_above_the_page(answered_by: "AnsweredBy", status: int) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        problem = {"type": "urn:centralita:problem:x", "detail": HOSTILE[0]}
        return httpx.Response(status, json=problem, headers={"Retry-After": "3"})

    browser = answered_by(answer)
    await browser.get("/login", params={"token": TOKEN})
    for path, headers in ((f"/calls/{uuid4()}/story", {"HX-Request": "true"}), (f"/calls/{uuid4()}", {})):
        answered = await browser.get(path, headers=headers)
        assert answered.status_code == (502 if status == 500 else status)
        assert_safe(answered.text)
        is_part = bool(headers)
        assert ("<html" in answered.text) is not is_part
        assert answered.headers.get("HX-Retarget") == ("#part-problem" if is_part else None)
        if is_part:  # also for a request that selects its own part of the answer, as of a resent dead letter
            assert answered.headers["HX-Reselect"] == "[role=alert]"
            assert next(one.get("role") for _, one in parsed(answered.text).tags) == "alert"
        assert "Wait 3 seconds." in words(answered.text)
