"""Dead letters in the console: groups, one beside its message, and acts that are shown before they happen."""

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import httpx
import pytest
from nats.aio.client import Client
from tests.builders.dead_letters import dead_letter_process, store_dead_letter
from tests.integration.console.conftest import csrf_token, log_in, parsed, words
from tests.integration.console.test_pages import HOSTILE, assert_safe
from tests.integration.edge.conftest import API_KEY, secret_of

from centralita_console.pages import dead_letters
from chassis.dead_letters import read_dead_letters
from contracts.streams import REQUESTS

if TYPE_CHECKING:
    from tests.integration.console.conftest import AnsweredBy, OpenConsole

GROUP, OTHER = "0123456789abcdef", "fedcba9876543210"
CALL_ID = "0a4c0f6e-5d53-5b43-8d8a-0d3d1f4fd1c6"
AT = "2026-11-29T10:00:00Z"
COUNTED = {"stream": "REQUESTS", "consumer": "orchestrator-requests", "message": "call.requested", "oldest_at": AT}


def dead_letter(sequence: int, text: str = "campaign_id: Field required", **changes: object) -> dict[str, Any]:
    """A dead letter as the REST API shows it."""
    message = {
        "message_id": "m-1",
        "size_bytes": 40,
        "is_sealed": False,
        "body": {"phone_number": "(999)", "note": "x"},
    }
    return {
        "sequence": sequence,
        "stored_at": AT,
        "age_seconds": 600,
        "stream": "REQUESTS",
        "message_sequence": 7,
        "consumer": "orchestrator-requests",
        "subject": "call.requested",
        "call_id": CALL_ID,
        "tries": 9,
        "reasons": [text, "phone_number: not in E.164"],
        "group": GROUP,
        "message": message,
        "problem": None,
        **changes,
    }


class Rest:
    """A REST API with dead letters. `posted`: the acts in their order; `answers`: those of acts by their path.

    `empty_pages`: how many pages of a group are empty before the first one that is not.
    """

    def __init__(self, *dead_letters: dict[str, Any]) -> None:
        self.dead_letters = {one["sequence"]: one for one in dead_letters}
        self.posted: list[str] = []
        self.answers: dict[str, httpx.Response] = {}
        self.is_permitted = True
        self.empty_pages = 1

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1")
        if path.startswith("/dead-letters") and not self.is_permitted:
            problem = {"type": "urn:centralita:problem:missing-scope", "detail": "the key lacks the scope admin"}
            return httpx.Response(403, json=problem)
        if request.method == "POST":
            self.posted.append(path)
            return self.answers.get(path) or self._acted(path)
        query = parse_qs(request.url.query.decode())
        if path == "/dead-letters":
            return httpx.Response(200, json=self._page(query))
        if path == "/dead-letters/groups":
            return httpx.Response(200, json={"groups": self._groups(), "other_count": 0, "next": None})
        if path.startswith("/dead-letters/"):
            found = self.dead_letters.get(int(path.rpartition("/")[2]))
            return httpx.Response(200, json=found) if found else httpx.Response(404, json={"detail": "unknown"})
        if path == f"/calls/{CALL_ID}" and self.posted:
            return httpx.Response(200, json={"id": CALL_ID, "contact_id": "c-1", "status": "pending"})
        return httpx.Response(200 if path == "/campaigns" else 404, json={"campaigns": [], "next": None})

    def _acted(self, path: str) -> httpx.Response:
        sequence = int(path.split("/")[2])
        if self.dead_letters.pop(sequence, None) is None:
            return httpx.Response(404, json={"detail": "there is none"})
        answer = {"sequence": sequence, "stream": "REQUESTS", "stored_sequence": 70 + sequence, "call_id": CALL_ID}
        return httpx.Response(200, json=answer)

    def _groups(self) -> list[dict[str, Any]]:
        names = [one["group"] for one in self.dead_letters.values()]
        return [
            {**COUNTED, "newest_at": AT, "reason": one, "count": names.count(one), "first_sequence": 1, "group": one}
            for one in sorted(set(names), key=lambda name: -names.count(name))
        ]

    def _page(self, query: dict[str, list[str]]) -> dict[str, Any]:
        """Returns a page, and empty ones first, as after a long part without matches."""
        after, limit = int(query.get("cursor", ["0"])[0]), int(query.get("limit", ["100"])[0])
        wanted = query.get("group", [None])[0]
        if after < self.empty_pages and wanted:
            return {"dead_letters": [], "next": f"/api/v1/dead-letters?group={wanted}&cursor={after + 1}"}
        left = [one for one in self.dead_letters.values() if wanted in (None, one["group"]) and one["sequence"] > after]
        last = left[limit - 1]["sequence"] if len(left) > limit else None
        return {"dead_letters": left[:limit], "next": last and f"/api/v1/dead-letters?group={wanted}&cursor={last}"}


@pytest.fixture
def rest() -> Rest:
    return Rest(dead_letter(11), *(dead_letter(number) for number in (12, 13)), dead_letter(21, group=OTHER))


@pytest.fixture
async def browser(rest: Rest, answered_by: "AnsweredBy") -> httpx.AsyncClient:
    return await log_in(answered_by(rest), secret_of("good"))


async def send(browser: httpx.AsyncClient, path: str) -> httpx.Response:
    """Sends the form of a page that asks, as a browser does."""
    page = await browser.get(path)
    assert page.status_code == 200, page.text
    fields = {one["name"]: one["value"] for tag, one in parsed(page.text).tags if tag == "input" and "value" in one}
    return await browser.post(path.partition("?")[0], data={**fields, "csrf_token": csrf_token(page.text)})  # type: ignore[dict-item]


async def test_the_page_opens_on_the_largest_group(browser: httpx.AsyncClient) -> None:
    page = (await browser.get("/dead-letters")).text

    assert_safe(page)
    links = [one["href"] for tag, one in parsed(page).tags if tag == "a"]
    assert [f"/dead-letters/{number}" for number in (11, 12, 13)] == [
        one for one in links if one and one.startswith("/dead-letters/1")
    ]
    assert f"/dead-letters?group={OTHER}" in links
    assert f"/dead-letters/retry?group={GROUP}" in links
    assert 'href="/dead-letters/21"' in (await browser.get(f"/dead-letters?group={OTHER}")).text
    assert "The largest group" in words((await browser.get("/dead-letters?group=" + "0" * 16)).text)


async def test_without_dead_letters_the_page_says_what_fills_it(rest: Rest, browser: httpx.AsyncClient) -> None:
    rest.dead_letters.clear()
    assert "nats pub call.requested" in words((await browser.get("/dead-letters")).text)


async def test_a_dead_letter_has_the_reason_beside_the_value(browser: httpx.AsyncClient) -> None:
    page = (await browser.get("/dead-letters/11")).text

    assert_safe(page)
    shown = words(page)
    assert 'campaign_id Field required phone_number "(999)" not in E.164 note "x"' in shown
    assert "orchestrator-requests" in shown
    assert "10 minutes" in shown
    assert CALL_ID in shown
    assert f'href="/calls/{CALL_ID}"' not in page  # the call exists only once its request is processed
    assert (await browser.get("/dead-letters/99")).status_code == 404


async def test_nothing_is_resent_before_the_message_was_shown_and_confirmed(
    rest: Rest, browser: httpx.AsyncClient
) -> None:
    asked = await browser.get("/dead-letters/retry?dead_letter=12&dead_letter=11")
    assert '"(999)"' in words(asked.text)
    assert (await browser.post("/dead-letters/retry", data={"dead_letters": "11 12"})).status_code == 403
    assert rest.posted == []

    done = await send(browser, "/dead-letters/retry?dead_letter=12&dead_letter=11")

    assert rest.posted == ["/dead-letters/12/retry", "/dead-letters/11/retry"]
    assert "2 of 2." in words(done.text)
    sent = f"/dead-letters/sent?dead_letter=11&stream=REQUESTS&sequence=81&call_id={CALL_ID}"
    assert f'href="{sent.replace("&", "&amp;")}"' in done.text
    outcome = (await browser.get(sent)).text
    assert f'href="/calls/{CALL_ID}"' in outcome
    rest.dead_letters[30] = dead_letter(30, "still wrong", message_sequence=81)
    again = (await browser.get(sent)).text
    assert 'href="/dead-letters/30"' in again
    assert "still wrong" in words(again)


async def test_all_of_a_group_are_dropped_and_what_is_refused_is_named(rest: Rest, browser: httpx.AsyncClient) -> None:
    rest.answers["/dead-letters/12/drop"] = httpx.Response(409, json={"detail": "decided already"})
    rest.dead_letters.pop(13)

    done = words((await send(browser, f"/dead-letters/drop?group={GROUP}")).text)

    assert rest.posted == ["/dead-letters/11/drop", "/dead-letters/12/drop"]
    assert "1 of 2." in done
    assert "decided already" in done
    assert 21 in rest.dead_letters


async def test_a_confirmation_that_is_sent_twice_acts_once(rest: Rest, browser: httpx.AsyncClient) -> None:
    await send(browser, "/dead-letters/retry?dead_letter=11")
    again = await send(browser, "/dead-letters/retry?dead_letter=11")
    assert "It does not exist any more." in words(again.text)
    assert "0 of 1." in words(again.text)


async def test_at_the_limit_of_the_key_the_rest_is_kept(rest: Rest, browser: httpx.AsyncClient) -> None:
    rest.answers["/dead-letters/12/retry"] = httpx.Response(429, json={"detail": "slower"})
    done = (await send(browser, f"/dead-letters/retry?group={GROUP}")).text
    assert rest.posted == ["/dead-letters/11/retry", "/dead-letters/12/retry"]
    assert 'name="dead_letters" value="12 13"' in done


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_it_stops_at_an_act_without_an_answer_and_keeps_the_results(
    rest: Rest, browser: httpx.AsyncClient, status: int
) -> None:
    rest.answers["/dead-letters/12/retry"] = httpx.Response(status, json={"detail": "the process does not answer"})
    done = (await send(browser, f"/dead-letters/retry?group={GROUP}")).text

    assert rest.posted == ["/dead-letters/11/retry", "/dead-letters/12/retry"]
    assert "1 of 3." in words(done)
    assert "12 unknown the process does not answer" in words(done)
    assert 'name="dead_letters" value="13"' in done


async def test_a_group_that_was_not_read_to_its_end_has_more(rest: Rest, browser: httpx.AsyncClient) -> None:
    rest.empty_pages = dead_letters.MAX_PAGES - 1
    rest.dead_letters = {number: dead_letter(number) for number in range(11, 71)}
    asked = words((await browser.get(f"/dead-letters/retry?group={GROUP}")).text)
    assert "Resend: 50" in asked
    assert "The group has more" in asked


async def test_one_page_asks_for_a_bounded_number(rest: Rest, browser: httpx.AsyncClient) -> None:
    rest.dead_letters = {number: dead_letter(number) for number in range(11, 311)}
    asked = (await browser.get(f"/dead-letters/retry?group={GROUP}")).text
    [field] = [one["value"] or "" for _, one in parsed(asked).tags if one.get("name") == "dead_letters"]
    assert len(field.split()) == 100
    assert "The group has more" in words(asked)
    assert asked.count("(999)") == 10
    many = "&".join(f"dead_letter={number}" for number in range(1, 102))
    assert (await browser.get(f"/dead-letters/retry?{many}")).status_code == 422


@pytest.mark.parametrize("sequences", ["", "x", "1 x", "9" * 16, "-1", "1.5", "٣", " ".join(map(str, range(1, 200)))])
async def test_a_forged_selection_does_nothing(rest: Rest, browser: httpx.AsyncClient, sequences: str) -> None:
    token = csrf_token((await browser.get("/dead-letters")).text)
    answer = await browser.post("/dead-letters/drop", data={"csrf_token": token, "dead_letters": sequences})
    assert (answer.status_code, rest.posted) == (404, [])


@pytest.mark.parametrize(
    "path",
    [
        "/dead-letters/0",
        "/dead-letters/-1",
        "/dead-letters/erase",
        "/dead-letters/" + "9" * 5_000,
        "/dead-letters/retry?dead_letter=-1",
    ],
)
async def test_an_impossible_address_is_not_found(browser: httpx.AsyncClient, path: str) -> None:
    assert (await browser.get(path)).status_code == 404


@pytest.mark.parametrize("query", ["?group=x", "?group=*", "?after=x", "?after=-1"])
async def test_a_wrong_parameter_is_named(browser: httpx.AsyncClient, query: str) -> None:
    assert (await browser.get(f"/dead-letters{query}")).status_code == 422


async def test_a_key_without_the_scope_reads_what_it_needs(rest: Rest, browser: httpx.AsyncClient) -> None:
    rest.is_permitted = False
    for path in ("/dead-letters", "/dead-letters/11", "/dead-letters/retry?dead_letter=11"):
        answer = await browser.get(path)
        assert answer.status_code == 403
        assert "API_KEYS" in words(answer.text)
        assert 'href="/dead-letters"' in answer.text


@pytest.mark.parametrize("text", HOSTILE, ids=["image", "script", "svg", "rtl", "template", "long"])
async def test_hostile_texts_are_shown_as_text(rest: Rest, browser: httpx.AsyncClient, text: str) -> None:
    body = {text: text, "list": [text, {text: None}]}
    message = {"message_id": text, "size_bytes": 1, "is_sealed": True, "body": body}
    rest.dead_letters = {
        11: dead_letter(11, f"{text}: {text}", subject=text, consumer=text, problem=text, message=message)
    }
    rest.answers["/dead-letters/11/drop"] = httpx.Response(409, json={"detail": text})
    pages = [
        (await browser.get(path)).text
        for path in ("/dead-letters", "/dead-letters/11", "/dead-letters/drop?dead_letter=11")
    ]
    for page in (*pages, (await send(browser, "/dead-letters/drop?dead_letter=11")).text):
        assert_safe(page)
        assert len(page) < 100_000


@pytest.fixture
async def process(nats_url: str, bus_client: Client) -> AsyncIterator[Client]:
    async with dead_letter_process(nats_url) as client:
        yield client


@pytest.mark.usefixtures("listed", "process")
async def test_a_dead_letter_of_the_real_system_is_resent_by_hand(
    open_console: "OpenConsole", edge: httpx.AsyncClient, bus_client: Client
) -> None:
    body = json.dumps({"phone_number": "212 555 0123", "password": "secret"}).encode()
    await store_dead_letter(bus_client, body=body, reasons=("phone_number: not in E.164",))
    person = await log_in(open_console(), API_KEY)

    shown = (await person.get("/dead-letters/1")).text
    assert '"999 999 9999" not in E.164' in words(shown)
    assert "secret" not in shown
    done = await send(person, "/dead-letters/retry?dead_letter=1")

    assert "1 of 1." in words(done.text)
    assert [one async for one in read_dead_letters(bus_client)] == []
    assert (await bus_client.jetstream().get_msg(REQUESTS.name, 2)).data == body
    entries = (await edge.get("/api/v1/audit", headers={"X-API-Key": API_KEY})).json()["entries"]
    assert [(one["key_name"], one["act"], one["stage"]) for one in entries] == [
        ("good", "dead_letter.retry", "asked"),
        ("good", "dead_letter.retry", "accepted"),
    ]
    audited = (await person.get("/audit?act=dead_letter")).text
    assert 'href="/dead-letters/1"' in audited
