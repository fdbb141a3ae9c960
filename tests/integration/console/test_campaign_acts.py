"""Start and finish of a campaign before the real edge: asked first, then audited."""

from typing import TYPE_CHECKING

import httpx
import pytest
from tests.integration.console.conftest import csrf_token, log_in, parsed, words
from tests.integration.console.test_campaigns import audited
from tests.integration.console.test_pages import HOSTILE, assert_safe
from tests.integration.edge.conftest import Orchestrator, secret_of
from tests.integration.edge.contact_import.conftest import asked, campaign

from contracts import CampaignChangeRequested, RequestedTerms

if TYPE_CHECKING:
    from tests.integration.console.conftest import OpenConsole

__all__ = ["asked", "campaign"]

pytestmark = pytest.mark.usefixtures("listed", "counted", "campaign")
SPRING = "/campaigns/spring"


async def confirm(browser: httpx.AsyncClient, act: str) -> httpx.Response:
    """Opens the page that asks, and sends its form."""
    page = (await browser.get(f"{SPRING}/acts/{act}")).text
    return await browser.post(f"{SPRING}/acts/{act}", data={"csrf_token": csrf_token(page)})


async def links(browser: httpx.AsyncClient) -> set[str]:
    """Returns the acts that the page of the campaign offers."""
    tags = parsed((await browser.get(SPRING)).text).tags
    return {href.rpartition("/")[2] for _, one in tags if "/acts/" in (href := one.get("href") or "")}


async def test_a_campaign_is_started_and_finished_once_each_and_both_are_audited(
    browser: httpx.AsyncClient, edge: httpx.AsyncClient
) -> None:
    offered = []
    for act in ("start", "finish"):
        offered.append(await links(browser))
        done = await confirm(browser, act)
        assert (done.status_code, done.headers["location"]) == (303, SPRING)
    offered.append(await links(browser))

    assert offered == [{"start", "finish"}, {"finish"}, set()]
    assert "It is finished" in words((await browser.get(SPRING)).text)
    assert [entry for entry in await audited(edge) if entry[2] == "asked"] == [
        ("good", "campaign.start", "asked"),
        ("good", "campaign.finish", "asked"),
    ]


@pytest.mark.parametrize("act", ["start", "finish"])
async def test_the_question_shows_whom_it_concerns_and_changes_nothing(
    browser: httpx.AsyncClient, edge: httpx.AsyncClient, act: str
) -> None:
    answer = await browser.get(f"{SPRING}/acts/{act}")

    assert answer.status_code == 200
    assert_safe(answer.text)
    assert "contacts that wait 0 calls that wait 1+ calls on the line 3+" in words(answer.text)
    assert await audited(edge) == []


@pytest.mark.parametrize("act", ["start", "finish"])
async def test_a_form_without_the_token_does_nothing(
    browser: httpx.AsyncClient, edge: httpx.AsyncClient, act: str
) -> None:
    assert (await browser.post(f"{SPRING}/acts/{act}", data={"csrf_token": "x"})).status_code == 403
    assert (await browser.post(f"{SPRING}/acts/{act}")).status_code == 403
    assert await audited(edge) == []


@pytest.mark.parametrize("path", [f"{SPRING}/acts/pause", f"{SPRING}/acts/x", "/campaigns/a%20b/acts/start"])
async def test_another_act_is_not_found(browser: httpx.AsyncClient, path: str) -> None:
    assert (await browser.get(path)).status_code == 404
    token = csrf_token((await browser.get("/campaigns")).text)
    assert (await browser.post(path, data={"csrf_token": token})).status_code == 404


async def test_a_refusal_is_shown_with_the_question(
    browser: httpx.AsyncClient, orchestrator: Orchestrator, open_console: "OpenConsole"
) -> None:
    orchestrator.refusal = ("the campaign is finished",)
    refused = await confirm(browser, "start")
    unscoped = await confirm(await log_in(open_console(), secret_of("reader")), "finish")

    assert (refused.status_code, unscoped.status_code) == (422, 422)
    assert "the campaign is finished" in words(refused.text)
    assert "lacks the scope" in words(unscoped.text)


async def test_a_hostile_name_is_shown_as_text(browser: httpx.AsyncClient, orchestrator: Orchestrator) -> None:
    terms = RequestedTerms(name=HOSTILE[0], script_template="Hello.")
    await orchestrator.handle(CampaignChangeRequested(campaign_id="spring", terms=terms))

    for path in (SPRING, f"{SPRING}/acts/start", f"{SPRING}/contacts"):
        text = (await browser.get(path)).text
        assert_safe(text)
        assert HOSTILE[0] in "".join(parsed(text).words)
