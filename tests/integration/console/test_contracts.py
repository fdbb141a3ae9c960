"""The pages of the contracts: every event and every operation, and commands that can be typed as they are."""

import json
import re
import shlex
from html import unescape
from urllib.parse import quote

import httpx
import pytest
from tests.integration.console.conftest import parsed, words
from tests.integration.console.test_pages import assert_safe

from contracts import EVENTS, CallRequested

pytestmark = pytest.mark.usefixtures("listed")


def links_of(text: str, beginning: str) -> list[str]:
    found = [attributes.get("href") or "" for tag, attributes in parsed(text).tags if tag == "a"]
    return [one for one in found if one.startswith(beginning)]


async def test_every_event_and_every_operation_has_a_page(browser: httpx.AsyncClient) -> None:
    text = (await browser.get("/contracts")).text

    assert_safe(text)
    assert len(text.encode()) < 100_000
    events, operations = links_of(text, "/contracts/events/"), links_of(text, "/contracts/operations/")
    assert events == [f"/contracts/events/{name}" for name in sorted(EVENTS)]
    assert len(operations) == len(set(operations)) > 40
    for path in (*events[::8], *operations[::8]):
        page = await browser.get(path)
        assert page.status_code == 200, path
        assert_safe(page.text)


async def test_an_event_is_shown_with_its_schema_and_example(browser: httpx.AsyncClient) -> None:
    shown = words((await browser.get("/contracts/events/call.requested")).text)

    assert "appointment-1027" in shown
    assert "phone_number * string E.164" in shown
    assert "consent_at string (date-time) or null when the person consented" in shown
    assert '"$defs"' in shown


@pytest.mark.parametrize("name", ["nothing", "call.requested.v1", quote("<img src=x onerror=alert(1)>"), "w" * 5_000])
@pytest.mark.parametrize("kind", ["events", "operations"])
async def test_an_unknown_name_is_not_found(browser: httpx.AsyncClient, kind: str, name: str) -> None:
    answer = await browser.get(f"/contracts/{kind}/{name}")

    assert answer.status_code == 404
    assert_safe(answer.text)


async def test_the_commands_have_a_valid_request(browser: httpx.AsyncClient) -> None:
    text = (await browser.get("/contracts")).text
    nats, curl = (unescape(one) for one in re.findall(r"<pre[^>]*><code>(.*?)</code></pre>", text, re.DOTALL))

    assert shlex.split(nats)[:3] == ["nats", "request", "call.request"]
    for command in (nats, curl):
        CallRequested.model_validate(json.loads(shlex.split(command)[-1]))


async def test_without_a_session_no_contract_is_shown(anyone: httpx.AsyncClient) -> None:
    for path in ("/contracts", "/contracts/events/call.requested", "/contracts/operations/x"):
        assert (await anyone.get(path)).status_code == 303
