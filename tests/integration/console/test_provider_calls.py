"""Finding a call in the console by the telephone provider's id of an attempt, before the real edge."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import httpx
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from tests.integration.console.conftest import csrf_token, log_in, parsed, words
from tests.integration.console.test_pages import HOSTILE, assert_safe
from tests.integration.edge.conftest import LIMITED, secret_of
from tests.integration.edge.test_lists import CALL

from contracts import CallList, ProviderCallsQuery

if TYPE_CHECKING:
    from tests.integration.console.conftest import AnsweredBy, OpenConsole

pytestmark = pytest.mark.usefixtures("listed")
ID = "CA" + "0a" * 16
FOUND = CALL.model_copy(update={"provider_call_ids": ("CA" + "0b" * 16, ID)})
Asked = list[ProviderCallsQuery]


@pytest.fixture
def found(bus_client: Client) -> Callable[[CallList], Awaitable[Asked]]:
    """Answers the query for an attempt with these calls; returns the queries as they arrive."""

    async def answered_with(page: CallList) -> Asked:
        asked: Asked = []

        async def answer(message: Msg) -> None:
            asked.append(ProviderCallsQuery.model_validate_json(message.data))
            await message.respond(page.model_dump_json().encode())

        await bus_client.subscribe(ProviderCallsQuery.subject, cb=answer)
        return asked

    return answered_with


Found = Callable[[CallList], Awaitable[Asked]]


async def test_the_search_field_opens_the_call_of_an_attempt(browser: httpx.AsyncClient, found: Found) -> None:
    asked = await found(CallList(calls=(FOUND,), has_more=False))
    token = csrf_token((await browser.get("/calls")).text)

    sent = await browser.post("/find", data={"csrf_token": token, "q": f" {ID}\n"})
    opened = await browser.get(sent.headers["location"])
    in_capitals = await browser.get("/find", params={"q": "CA" + "0A" * 16})

    assert (sent.status_code, sent.headers["location"]) == (303, f"/find?{urlencode({'q': ID})}")
    for answer in (opened, in_capitals):
        assert (answer.status_code, answer.headers["location"]) == (303, f"/calls/{CALL.call_id}")
    assert [one.provider_call_id for one in asked] == [ID, ID]


async def test_without_such_an_attempt_the_page_says_where_else_the_id_of_the_call_is(
    browser: httpx.AsyncClient, found: Found
) -> None:
    await found(CallList(calls=(), has_more=False))

    answer = await browser.get("/find", params={"q": ID})

    assert answer.status_code == 404
    assert_safe(answer.text)
    assert "address of the status callback" in words(answer.text)
    assert f'href="/calls?contact_id={ID}"' in answer.text, "it may be the id of a contact"


async def test_an_edge_that_does_not_know_the_filter_opens_no_other_call(answered_by: "AnsweredBy") -> None:
    page = {"calls": [{"id": str(CALL.call_id)}], "campaigns": [], "next": None}
    browser = await log_in(answered_by(lambda _: httpx.Response(200, json=page)), secret_of("good"))

    assert (await browser.get("/find", params={"q": ID})).status_code == 404


async def test_a_key_of_some_campaigns_is_led_to_each_with_the_id(open_console: "OpenConsole", found: Found) -> None:
    asked = await found(CallList(calls=(FOUND,), has_more=False))
    browser = await log_in(open_console(), secret_of(LIMITED))

    answer = await browser.get("/find", params={"q": ID})
    path = f"/calls?campaign_id=spring&provider_call_id={ID}"
    links = [one.get("href") for tag, one in parsed(answer.text).tags if tag == "a"]
    listed = await browser.get(path)

    assert (answer.status_code, path in links) == (422, True)
    assert (listed.status_code, f'href="/calls/{CALL.call_id}"' in listed.text) == (200, True)
    assert [(one.campaign_id, one.provider_call_id) for one in asked] == [("spring", ID)]


async def test_the_list_is_filtered_by_the_id_and_a_wrong_one_is_named(
    browser: httpx.AsyncClient, found: Found
) -> None:
    asked = await found(CallList(calls=(FOUND,), has_more=False))

    listed = await browser.get("/calls", params={"provider_call_id": f" {ID} "})
    wrong = await browser.get("/calls", params={"provider_call_id": ID, "status": "busy"})

    [field] = [one for tag, one in parsed(listed.text).tags if one.get("id") == "provider_call_id"]
    assert (listed.status_code, field["value"]) == (200, ID)
    assert (wrong.status_code, "leave out status" in words(wrong.text)) == (422, True)
    assert len(asked) == 1


@pytest.mark.parametrize("text", HOSTILE, ids=["image", "script", "svg", "rtl", "template", "long"])
async def test_hostile_ids_are_shown_as_text(browser: httpx.AsyncClient, text: str) -> None:
    answer = await browser.get("/calls", params={"provider_call_id": text})

    assert answer.status_code == 422
    assert_safe(answer.text)
