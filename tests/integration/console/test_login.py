"""Logging in, the session's cookie, and who may send a form."""

from typing import TYPE_CHECKING
from uuid import UUID

import httpx
import pytest
from tests.integration.console.conftest import HERE, TOKEN, csrf_token, log_in, words
from tests.integration.edge.conftest import API_KEY, secret_of

from centralita_console import sessions

if TYPE_CHECKING:
    from tests.integration.console.conftest import OpenConsole

pytestmark = pytest.mark.usefixtures("listed")


async def test_without_a_session_every_page_asks_for_a_key_and_remembers_the_way(anyone: httpx.AsyncClient) -> None:
    answer = await anyone.get("/calls?status=failed")

    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=%2Fcalls%3Fstatus%3Dfailed"
    shown = await anyone.get(answer.headers["location"])
    assert 'name="next" value="/calls?status=failed"' in shown.text


async def test_a_key_that_the_rest_api_accepts_begins_a_session_and_continues(anyone: httpx.AsyncClient) -> None:
    answer = await anyone.post("/login", data={"api_key": f" {API_KEY}\n", "next": "/calls?status=failed"})

    assert (answer.status_code, answer.headers["location"]) == (303, "/calls?status=failed")
    assert (await anyone.get("/calls")).status_code == 200


@pytest.mark.parametrize("key", ["", "wrong", "ключ", "two words", "x" * 513, "a\x00b"])
async def test_a_wrong_key_begins_no_session_and_says_where_keys_are(anyone: httpx.AsyncClient, key: str) -> None:
    answer = await anyone.post("/login", data={"api_key": key})

    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert "python -m edge.make_key" in words(answer.text)


async def test_a_key_without_the_scope_read_is_refused_with_the_reason(anyone: httpx.AsyncClient) -> None:
    answer = await anyone.post("/login", data={"api_key": secret_of("auditor")})

    assert answer.status_code == 403
    assert "read" in words(answer.text)
    assert "set-cookie" not in answer.headers


async def test_the_link_logs_in_once(open_console: "OpenConsole") -> None:
    browser = open_console()
    wrong = await browser.get("/login", params={"token": TOKEN + "x"})
    first = await browser.get("/login", params={"token": TOKEN, "next": "/calls"})
    browser.cookies.clear()
    second = await browser.get("/login", params={"token": TOKEN})

    assert (wrong.status_code, second.status_code) == (401, 401)
    assert (first.status_code, first.headers["location"]) == (303, "/calls")
    assert "make up" in words(second.text)


async def test_without_a_token_no_link_logs_in(open_console: "OpenConsole") -> None:
    browser = open_console(console_token="", console_api_key="")

    assert (await browser.get("/login", params={"token": ""})).status_code == 200
    assert (await browser.get("/login", params={"token": "None"})).status_code == 401


async def test_the_cookie_is_for_this_host_and_for_no_script(open_console: "OpenConsole") -> None:
    here = await open_console().get("/login", params={"token": TOKEN})
    public = open_console("https://console.example.com", console_url="https://console.example.com")
    secure = await public.get("/login", params={"token": TOKEN})

    def parts(answer: httpx.Response) -> tuple[str, set[str]]:
        name, _, rest = answer.headers["set-cookie"].partition("=")
        return name, {part.strip().lower() for part in rest.split(";")[1:]}

    expected = {"httponly", "samesite=strict", "path=/", "max-age=43200"}
    assert parts(here) == ("centralita", expected)
    assert parts(secure) == ("__Host-centralita", expected | {"secure"})


async def test_no_page_contains_the_key_or_the_session(browser: httpx.AsyncClient) -> None:
    [session_id] = browser.cookies.values()
    for path in ("/calls", "/login", "/calls/nothing"):
        text = (await browser.get(path)).text
        assert API_KEY not in text
        assert session_id not in text


async def test_a_person_can_log_out(browser: httpx.AsyncClient) -> None:
    token = csrf_token((await browser.get("/calls")).text)
    before = dict(browser.cookies)

    answer = await browser.post("/logout", data={"csrf_token": token})
    browser.cookies.update(before)

    assert answer.status_code == 303
    assert (await browser.get("/calls")).status_code == 303


@pytest.mark.parametrize(
    ("token", "headers"),
    [
        ("", {}),
        ("x", {}),
        (None, {"Origin": "https://evil.example"}),
        (None, {"Origin": "null"}),
        (None, {"Sec-Fetch-Site": "cross-site"}),
        (None, {"Sec-Fetch-Site": "same-site"}),
    ],
)
async def test_a_form_of_another_site_does_nothing(
    browser: httpx.AsyncClient, token: str | None, headers: dict[str, str]
) -> None:
    right = csrf_token((await browser.get("/calls")).text)
    given = right if token is None else token

    answer = await browser.post("/logout", data={"csrf_token": given}, headers=headers)

    assert answer.status_code == 403
    assert (await browser.get("/calls")).status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": HERE}, {"Origin": "null", "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}]
)
async def test_a_form_of_the_console_is_accepted_as_browsers_send_it(
    anyone: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    answer = await anyone.post("/login", data={"api_key": API_KEY}, headers=headers)

    assert answer.status_code == 303


async def test_another_site_cannot_log_a_browser_in(anyone: httpx.AsyncClient) -> None:
    answer = await anyone.post("/login", data={"api_key": API_KEY}, headers={"Origin": "https://evil.example"})

    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("path", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:x", "/\nx"])
async def test_the_way_on_leads_to_no_other_site(anyone: httpx.AsyncClient, path: str) -> None:
    answer = await anyone.post("/login", data={"api_key": API_KEY, "next": path})

    assert answer.headers["location"] == "/"


async def test_a_key_that_is_removed_ends_the_session(
    browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.entrypoints.keys.find_key", lambda *_: None)

    assert (await browser.get("/calls")).status_code == 303
    monkeypatch.undo()
    assert (await browser.get("/calls")).status_code == 303


async def test_a_session_ends_after_twelve_hours(open_console: "OpenConsole", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "SESSION_SECONDS", 0)
    browser = await log_in(open_console(), API_KEY)

    assert (await browser.get("/calls")).status_code == 303


async def test_a_part_of_a_page_without_a_session_leads_the_whole_page_to_the_login(anyone: httpx.AsyncClient) -> None:
    answer = await anyone.get("/calls", headers={"HX-Request": "true"})

    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/login")
    shown = {"HX-Request": "true", "HX-Current-URL": f"{HERE}/calls?status=failed"}
    part = await anyone.get(f"/calls/{UUID(int=1)}/story?at=8", headers=shown)
    assert part.headers["hx-redirect"] == "/login?next=%2Fcalls%3Fstatus%3Dfailed"


async def test_a_name_of_another_site_for_this_address_is_refused(anyone: httpx.AsyncClient) -> None:
    answer = await anyone.get("/login", headers={"Host": "rebound.evil.example:8080"})

    assert answer.status_code == 421
    assert "content-security-policy" in answer.headers


@pytest.mark.parametrize("path", ["/login", "/logout", "/language"])
async def test_a_large_body_is_refused_before_it_is_read(anyone: httpx.AsyncClient, path: str) -> None:
    answer = await anyone.post(path, content=b"x" * 65_537, headers={"Content-Type": "text/plain"})

    assert answer.status_code == 413


async def test_a_body_without_a_length_is_refused(anyone: httpx.AsyncClient) -> None:
    async def parts() -> object:
        yield b"api_key="

    answer = await anyone.post("/login", content=parts())  # type: ignore[arg-type]

    assert answer.status_code == 411


async def test_many_fields_are_refused(browser: httpx.AsyncClient) -> None:
    answer = await browser.post("/logout", data={f"f{n}": "" for n in range(60)})

    assert answer.status_code == 403


async def test_the_language_is_that_of_the_browser_until_it_is_chosen(browser: httpx.AsyncClient) -> None:
    spanish = await browser.get(f"{HERE}/login?next=/", headers={"Accept-Language": "es-ES,es;q=0.9"})
    assert spanish.status_code == 303  # logged in already

    token = csrf_token((await browser.get("/calls")).text)
    await browser.post("/language", data={"csrf_token": token, "language": "es", "next": "/calls"})
    await browser.post("/language", data={"csrf_token": token, "language": "xx"})

    assert "Llamadas" in words((await browser.get("/calls")).text)


async def test_another_login_ends_the_session_before_it(browser: httpx.AsyncClient) -> None:
    before = dict(browser.cookies)
    await log_in(browser, API_KEY)
    assert (await browser.get("/contracts")).status_code == 200

    browser.cookies.clear()
    answer = await browser.get("/contracts", headers={"Cookie": "; ".join(f"{k}={v}" for k, v in before.items())})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2Fcontracts")
