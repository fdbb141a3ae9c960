"""Every screen of the console, with addresses that fill it. A route that is not here fails a test."""

from collections.abc import Callable, Mapping

from tests.browser.sample_run import CAMPAIGN, DRAFT, HOSTILE_CAMPAIGN, HOSTILE_DEAD_LETTER, SampleRun

Address = Callable[[SampleRun], str]

NO_PAGE = "(no such page)"
SCREENS: Mapping[str, tuple[Address, ...]] = {
    "/": (lambda _: "/", lambda _: "/?interval=1m", lambda _: f"/?campaign_id={HOSTILE_CAMPAIGN}"),
    "/login": (lambda _: "/login",),
    "/calls": (lambda _: "/calls", lambda _: "/calls?status=expired", lambda _: "/calls?created_after=never"),
    "/calls/{call_id:uuid}": (
        lambda run: f"/calls/{run.calls['retried']}",
        lambda run: f"/calls/{run.calls['invalid']}",
        lambda run: f"/calls/{run.calls['hostile']}",
        lambda run: f"/calls/{run.calls['live']}",
    ),
    "/calls/{call_id:uuid}/change": (lambda run: f"/calls/{run.calls['invalid']}/change",),
    "/calls/{call_id:uuid}/raw": (lambda run: f"/calls/{run.calls['hostile']}/raw",),
    "/find": (lambda _: "/find?q=nothing",),
    "/calls/{act}": (
        lambda run: f"/calls/retry?call={run.calls['invalid']}&call={run.calls['hostile']}",
        lambda _: "/calls/cancel",
    ),
    "/log": (lambda _: "/log",),
    "/campaigns": (lambda _: "/campaigns",),
    "/campaigns/{campaign_id}/change": (
        lambda _: f"/campaigns/{CAMPAIGN}/change",
        lambda _: f"/campaigns/{HOSTILE_CAMPAIGN}/change",
    ),
    "/campaigns/{campaign_id}": (
        lambda _: f"/campaigns/{CAMPAIGN}",
        lambda _: f"/campaigns/{CAMPAIGN}?interval=1d",
        lambda _: f"/campaigns/{HOSTILE_CAMPAIGN}",
    ),
    "/campaigns/{campaign_id}/acts/{act}": (
        lambda _: f"/campaigns/{DRAFT}/acts/start",
        lambda _: f"/campaigns/{HOSTILE_CAMPAIGN}/acts/finish",
    ),
    "/campaigns/{campaign_id}/contacts": (
        lambda _: f"/campaigns/{DRAFT}/contacts",
        lambda _: f"/campaigns/{HOSTILE_CAMPAIGN}/contacts",
    ),
    "/new-campaign": (lambda _: "/new-campaign",),
    "/dead-letters": (lambda _: "/dead-letters", lambda _: "/dead-letters?group=0123456789abcdef"),
    "/dead-letters/{sequence:dead_letter}": (
        lambda _: f"/dead-letters/{HOSTILE_DEAD_LETTER}",
        lambda _: "/dead-letters/999",
    ),
    "/dead-letters/{act}": (
        lambda _: f"/dead-letters/retry?dead_letter={HOSTILE_DEAD_LETTER}",
        lambda _: f"/dead-letters/drop?dead_letter={HOSTILE_DEAD_LETTER}&dead_letter=999",
        lambda _: "/dead-letters/retry",
    ),
    "/dead-letters/sent": (
        lambda _: f"/dead-letters/sent?dead_letter={HOSTILE_DEAD_LETTER}&stream=REQUESTS&sequence=999999",
    ),
    "/audit": (lambda _: "/audit", lambda _: "/audit?act=nothing", lambda _: "/audit?since=never"),
    "/health": (lambda _: "/health",),
    "/contracts": (lambda _: "/contracts",),
    "/contracts/events/{name}": (lambda _: "/contracts/events/call.status_changed",),
    "/contracts/operations/{name}": (lambda _: "/contracts/operations/list_calls_api_v1_calls_get",),
    NO_PAGE: (lambda _: "/nothing",),
}
"""The addresses of each page, by its route."""

WITHOUT_SESSION = ("/login",)
"""Screens of a person who is not logged in."""

NO_SCREENS: Mapping[str, str] = {
    "/calls/{call_id:uuid}/live": "a stream of events",
    "/calls/{call_id:uuid}/story": "a part of the page of the call",
    "/calls/acts/{report_id}": "test_an_act_on_a_call_is_confirmed_and_reported_on_accessible_screens",
    "/campaigns/{campaign_id}/contacts/example.csv": "a file",
    "/log/events": "a stream of events",
    "/now/board": "a stream of events",
    "/now/outcomes": "a part of the first page",
    "/campaigns/{campaign_id}/outcomes": "a part of the page of the campaign",
    "/health/live": "for supervisors",
    "/static/{digest}/{name}": "files",
}
"""Why a route has no screen of its own."""
